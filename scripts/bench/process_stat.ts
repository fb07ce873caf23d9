// proc(5): times are in clock ticks, of which Linux has 100 a second on every platform that Deno runs on.
const TICKS_PER_SECOND = 100;
const POLL_MILLISECONDS = 20;

/** Returns the user and system time that a process has used, in seconds. @throws {Error} when it has ended */
export function cpuSecondsOf(pid: number): number {
  const [user, system] = readTimes(pid);
  return (user! + system!) / TICKS_PER_SECOND;
}

/** Returns the user and system time of all child processes of this one that have ended, in seconds. */
export function cpuSecondsOfChildren(): number {
  const [, , user, system] = readTimes("self");
  return (user! + system!) / TICKS_PER_SECOND;
}

// The fields 14 to 17: utime, stime, cutime, cstime. The name of the program, field 2, may contain spaces.
function readTimes(pid: number | "self"): number[] {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ").slice(11, 15).map(Number);
}

/** Returns the resident size of a process, in bytes; `NaN` when it has ended. */
export function memoryOf(pid: number): number {
  return readStatus(pid, "VmRSS") ?? NaN;
}

/** Returns the largest resident size of a process since its start or `resetPeakMemory`, in bytes; 0 when it has ended. */
export function peakMemoryOf(pid: number): number {
  return readStatus(pid, "VmHWM") ?? 0;
}

/** Makes the kernel forget the largest resident size of a process so far; without effect where it does not allow that. */
export function resetPeakMemory(pid: number): void {
  try {
    Deno.writeTextFileSync(`/proc/${pid}/clear_refs`, "5");
  } catch {
    // The peak then is that of the whole life of the process.
  }
}

/** Polls the resident size of the programs that this process starts, and of those that they start. */
export function watchChildren(): { stop(): void; peak(): number } {
  const before = new Set(listDescendants());
  let peak = 0;
  const poll = () => {
    for (const pid of listDescendants()) if (!before.has(pid)) peak = Math.max(peak, peakMemoryOf(pid));
  };
  const timer = setInterval(poll, POLL_MILLISECONDS);
  return { stop: () => clearInterval(timer), peak: () => peak };
}

function listDescendants(parent: number | "self" = "self"): number[] {
  return listChildren(parent).flatMap((pid) => [pid, ...listDescendants(pid)]);
}

// A child belongs to the thread that started it.
function listChildren(parent: number | "self"): number[] {
  try {
    return [...Deno.readDirSync(`/proc/${parent}/task`)].flatMap(({ name }) =>
      Deno.readTextFileSync(`/proc/${parent}/task/${name}/children`).split(" ").filter((pid) => pid !== "").map(Number)
    );
  } catch {
    // The process or the thread has ended.
    return [];
  }
}

function readStatus(pid: number, name: string): number | undefined {
  let status: string;
  try {
    status = Deno.readTextFileSync(`/proc/${pid}/status`);
  } catch {
    return undefined;
  }
  const kilobytes = new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}

/** Polls the peak resident size of a process that may end; `stop` returns the largest value, in bytes. */
export function watchMemory(pid: number): { stop(): number } {
  let peak = 0;
  const poll = () => {
    peak = Math.max(peak, peakMemoryOf(pid));
  };
  const timer = setInterval(poll, POLL_MILLISECONDS);
  return {
    stop() {
      poll();
      clearInterval(timer);
      return peak;
    },
  };
}
