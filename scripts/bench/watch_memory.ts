/** What the kernel says of a process's resident memory, in bytes; `undefined` when it has ended. */
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

/** The largest resident size that the kernel has seen of a process, in bytes; asked again and again until it ends. */
export function watchMemory(pid: number): { stop(): number } {
  let peak = 0;
  const look = () => {
    peak = Math.max(peak, readMemory(pid)?.peak ?? 0);
  };
  const timer = setInterval(look, 20);
  return {
    stop() {
      look();
      clearInterval(timer);
      return peak;
    },
  };
}
