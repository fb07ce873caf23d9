/** Reads the resident memory of a process from the kernel, in bytes; `undefined` when the process has ended. */
export function readMemory(pid: number): { readonly now: number; readonly peak: number } | undefined {
  let status: string;
  try {
    status = Deno.readTextFileSync(`/proc/${pid}/status`);
  } catch {
    return undefined;
  }
  const read = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) * 1024;
  return { now: read("VmRSS"), peak: read("VmHWM") };
}

/** Polls the peak resident size of a process; `stop` returns the largest value, in bytes. */
export function watchMemory(pid: number): { stop(): number } {
  let peak = 0;
  const poll = () => {
    peak = Math.max(peak, readMemory(pid)?.peak ?? 0);
  };
  const timer = setInterval(poll, 20);
  return {
    stop() {
      poll();
      clearInterval(timer);
      return peak;
    },
  };
}
