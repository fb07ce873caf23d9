import { adviseOn, failureLinesOf, shortenLine } from "./kubectl_advice.ts";
import { cannot, CrpeError } from "../../oci/error.ts";

/** One run of kubectl. */
export interface KubectlCall {
  readonly args: readonly string[];
  /** The standard input of kubectl. */
  readonly input?: string | undefined;
  /** Seconds after which a kubectl that has not exited is ended. */
  readonly timeLimit: number;
}

/** The result of a run of kubectl. */
export interface KubectlResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Set if kubectl was ended at its time limit, in seconds. The other fields hold what it had written until then. */
  readonly timedOutAfter?: number;
}

/**
 * Runs kubectl until it exits, or until its time limit.
 *
 * @returns `undefined` if kubectl is not installed
 */
export type RunKubectl = (call: KubectlCall) => Promise<KubectlResult | undefined>;

const MAX_LINES = 20;
// Characters at each end of a line.
const MAX_END = 250;

/**
 * A failure of kubectl. The first line of the message says what to do; the lines below it are the output of kubectl.
 */
export class KubectlError extends CrpeError {
  /** @param action what failed: `hand over line4@1.0.0` */
  constructor(action: string, result: KubectlResult | undefined) {
    const lines = result === undefined ? [] : failureLinesOf(result).slice(0, MAX_LINES);
    const output = lines.map((line) => `\n  kubectl: ${shortenLine(line, MAX_END)}`).join("");
    super(cannot(action, `${describe(result)}${output}`));
  }
}

function describe(result: KubectlResult | undefined): string {
  if (result === undefined) return "kubectl is not on $PATH; install it, or use --manifests-dir";
  const { code, timedOutAfter } = result;
  if (timedOutAfter === undefined) {
    return `kubectl failed with status ${code}: ${adviseOn(failureLinesOf(result))}`;
  }
  return `kubectl did not answer in ${timedOutAfter} s; check that the API server answers, and that no login program of ` +
    "the kubeconfig waits for input";
}
