/** The result of a run of kubectl. */
export interface KubectlResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs kubectl until it exits.
 *
 * @param input the standard input of kubectl
 * @returns `undefined` if kubectl is not installed
 */
export type RunKubectl = (args: readonly string[], input?: string) => Promise<KubectlResult | undefined>;

const MAX_LINES = 20;
const MAX_LINE = 500;

// kubectl's message → what the user can do.
const ADVICE: readonly (readonly [RegExp, string])[] = [
  [
    /connection to the server|connection refused|no such host|i\/o timeout|context deadline exceeded|Unable to connect/i,
    "it does not reach the cluster; check that the cluster runs, and which one $KUBECONFIG names",
  ],
  [
    /forbidden|Unauthorized|must be logged in/i,
    "the cluster does not allow it; use a login that is allowed to, with $KUBECONFIG",
  ],
  [
    /permission denied/i,
    "it cannot read its configuration; run it as a user who can, or name another file with $KUBECONFIG",
  ],
  [
    /Apply failed with \d+ conflict|conflicts? with "/i,
    "other managers own some of these fields; remove the fields from the manifests, or apply them once by hand with --force-conflicts",
  ],
  [
    /no matches for kind/i,
    "the cluster does not know these kinds; add their definitions to the package, or install them in the cluster first",
  ],
];

/**
 * A failure of kubectl. The first line of the message says what to do; the lines below it are the output of kubectl.
 */
export class KubectlError extends Error {
  override readonly name = "KubectlError";

  /** @param what the start of the message: `Cannot hand over line4@1.0.0` */
  constructor(what: string, result: KubectlResult | undefined) {
    super(
      result === undefined ? `${what}: kubectl is not on $PATH; install it, or use --manifests-dir` : [
        `${what}: kubectl failed with status ${result.code}: ${adviceFor(result)}`,
        ...linesOf(result).slice(0, MAX_LINES).map((line) => `  kubectl: ${line}`),
      ].join("\n"),
    );
  }
}

/** Returns the output of kubectl, line by line, without control characters that a terminal would interpret. */
export function linesOf({ stderr, stdout }: KubectlResult): string[] {
  const text = stderr.trim() === "" ? stdout : stderr;
  return text.split(/\r?\n/)
    // deno-lint-ignore no-control-regex
    .map((line) => line.replaceAll(/\x1b\[[0-9;]*m|[\x00-\x08\x0b-\x1f\x7f]/g, "").trimEnd().slice(0, MAX_LINE))
    .filter((line) => line !== "");
}

function adviceFor(result: KubectlResult): string {
  const text = linesOf(result).join("\n");
  return ADVICE.find(([pattern]) => pattern.test(text))?.[1] ??
    "correct the cause that it names, and run this command again";
}
