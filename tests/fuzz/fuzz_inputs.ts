import process from "node:process";
import { Random } from "../support/random.ts";
import { checkPrototype, fault, FaultError, type FuzzTarget } from "./fuzz_target.ts";

/** Which cases to run, and where. */
export interface FuzzInputsOptions {
  readonly seed: number;
  /** The number of the first case. */
  readonly first?: number;
  readonly count: number;
  /** The only folder that is written to; it exists and is empty. */
  readonly folder: string;
  /** Whether to stop before the next case. */
  readonly isOver?: () => boolean;
}

/** The result of a run. */
export interface FuzzInputsResult {
  /** `case NUMBER (what was changed): what is wrong` */
  readonly findings: readonly string[];
  /** The number of cases by outcome. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly done: number;
}

const MAX_FINDINGS = 20;
/** The time after which a case counts as never ending, in milliseconds. */
const HANG = 30_000;
/** What a case may cost, in CPU seconds of this process. The inputs are small. */
const MAX_CPU = 5;

/** Runs the cases of a target, each from its own numbers: the same seed and number give the same case. */
export async function fuzzInputs(target: FuzzTarget, options: FuzzInputsOptions): Promise<FuzzInputsResult> {
  const { seed, first = 0, count, folder, isOver = () => false } = options;
  const findings: string[] = [];
  const outcomes: Record<string, number> = {};
  const rejections: unknown[] = [];
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    rejections.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  let number = first;
  try {
    await using cases = await target.prepare(folder);
    for (; number < first + count && !isOver() && findings.length < MAX_FINDINGS; number++) {
      let what = "";
      try {
        const began = process.cpuUsage();
        const outcome = await withinTime(cases.run(new Random(seed, number), (text) => void (what = text)));
        const { user, system } = process.cpuUsage(began);
        if ((user + system) / 1e6 > MAX_CPU) fault(`the case took ${(user + system) / 1e6} CPU seconds`);
        checkPrototype();
        if (rejections.length > 0) fault(`unhandled rejection: ${rejections.splice(0).map(textOf)}`);
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      } catch (error) {
        findings.push(`case ${number} (${what.slice(0, 600)}): ${textOf(error)}`);
      }
    }
  } finally {
    globalThis.removeEventListener("unhandledrejection", onRejection);
  }
  return { findings, outcomes, done: number - first };
}

async function withinTime<T>(work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new FaultError("the case does not end")), HANG);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error && !(error instanceof FaultError) ? error.stack ?? error.message : String(error);
}
