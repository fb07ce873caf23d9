/** The state of a process. */
export interface ProcessState {
  /** The largest resident memory so far, in bytes. */
  readonly peak: number;
  /** The paths of its open files. */
  readonly openFiles: readonly string[];
}

/** Reads the state of a process from `/proc`. */
export function readProcess(pid: number): ProcessState {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  const openFiles = [...Deno.readDirSync(`/proc/${pid}/fd`)].flatMap(({ name }) => {
    try {
      return [Deno.readLinkSync(`/proc/${pid}/fd/${name}`)];
    } catch {
      // The file was closed in the meantime.
      return [];
    }
  });
  return { peak: Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024, openFiles };
}
