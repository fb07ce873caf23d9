/** What the kernel says of a process. */
export interface ProcessState {
  /** Largest resident memory so far, in bytes. */
  readonly peak: number;
  /** The paths of the files that it has open, as it has named them. */
  readonly openFiles: readonly string[];
}

/** Reads it from `/proc`. */
export function readProcess(pid: number): ProcessState {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  const openFiles = [...Deno.readDirSync(`/proc/${pid}/fd`)].flatMap(({ name }) => {
    try {
      return [Deno.readLinkSync(`/proc/${pid}/fd/${name}`)];
    } catch {
      // It was closed meanwhile.
      return [];
    }
  });
  return { peak: Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024, openFiles };
}
