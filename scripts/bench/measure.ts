import { cpuSecondsOf, cpuSecondsOfChildren, peakMemoryOf, resetPeakMemory, watchChildren } from "./process_stat.ts";
import { runProgram } from "./program.ts";

/** The figures of doing some work once. */
export interface Measurement {
  /** The figure in the unit of its row. */
  readonly figure: number;
  /** User and system time of the process that did the work, in seconds. */
  readonly cpu?: number;
  /** The largest resident size of that process, in bytes. */
  readonly peak?: number;
}

/**
 * Measures what a server does for some work: the time in seconds, and the CPU time and the memory of its process.
 * Pending writes are synced first, so that their time is not counted.
 */
export async function measureServer(pid: number, work: () => Promise<unknown>): Promise<Required<Measurement>> {
  await runProgram("sync");
  resetPeakMemory(pid);
  const before = cpuSecondsOf(pid);
  const started = performance.now();
  await work();
  const figure = (performance.now() - started) / 1000;
  return { figure, cpu: cpuSecondsOf(pid) - before, peak: peakMemoryOf(pid) };
}

/**
 * Measures the programs that `work` runs to their end: the time in seconds, the CPU time of all of them, and the memory
 * of the largest one. Pending writes are synced first. No other program may end in the meantime.
 */
export async function measurePrograms(work: () => Promise<unknown>): Promise<Required<Measurement>> {
  await runProgram("sync");
  const memory = watchChildren();
  const before = cpuSecondsOfChildren();
  const started = performance.now();
  try {
    await work();
  } finally {
    memory.stop();
  }
  const figure = (performance.now() - started) / 1000;
  return { figure, cpu: cpuSecondsOfChildren() - before, peak: memory.peak() };
}
