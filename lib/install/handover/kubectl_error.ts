/** What a run of kubectl left behind. */
export interface KubectlResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs kubectl to its end.
 *
 * @param input its standard input
 * @returns `undefined` where there is no kubectl
 */
export type RunKubectl = (args: readonly string[], input?: string) => Promise<KubectlResult | undefined>;

const MAX_LINES = 20;
const MAX_LINE = 500;

// What kubectl says → what a person can do.
const ADVICE: readonly (readonly [RegExp, string])[] = [
  [
    /connection to the server|connection refused|no such host|i\/o timeout|context deadline exceeded|Unable to connect/i,
    "it does not reach the cluster; check that it runs, and which one $KUBECONFIG names",
  ],
  [/forbidden|Unauthorized|must be logged in/i, "the cluster does not allow it; use a login that may, by $KUBECONFIG"],
  [/permission denied/i, "it cannot read its configuration; run it as a user who can, or name another by $KUBECONFIG"],
  [
    /Apply failed with \d+ conflict|conflicts? with "/i,
    "others manage these fields of the objects too; take them out of the manifests, or apply once by hand with --force-conflicts",
  ],
  [
    /no matches for kind/i,
    "the cluster does not know these kinds; the package has to bring their definitions, or the cluster to have them",
  ],
];

/** A failure of kubectl: a line that says what to do, and below it the lines that it said. */
export class KubectlError extends Error {
  override readonly name = "KubectlError";

  /** @param what what could not be done: `Cannot hand over line4@1.0.0` */
  constructor(what: string, result: KubectlResult | undefined) {
    super(
      result === undefined ? `${what}: there is no kubectl on $PATH; install it, or use --manifests-dir` : [
        `${what}: kubectl failed with status ${result.code}: ${adviceFor(result)}`,
        ...linesOf(result).slice(0, MAX_LINES).map((line) => `  kubectl: ${line}`),
      ].join("\n"),
    );
  }
}

/** What kubectl said, line by line, with nothing in it that a terminal would act on. */
export function linesOf({ stderr, stdout }: KubectlResult): string[] {
  const text = stderr.trim() === "" ? stdout : stderr;
  return text.split(/\r?\n/)
    // deno-lint-ignore no-control-regex
    .map((line) => line.replaceAll(/\x1b\[[0-9;]*m|[\x00-\x08\x0b-\x1f\x7f]/g, "").trimEnd().slice(0, MAX_LINE))
    .filter((line) => line !== "");
}

function adviceFor(result: KubectlResult): string {
  const text = linesOf(result).join("\n");
  return ADVICE.find(([pattern]) => pattern.test(text))?.[1] ?? "put right what it says, and run this again";
}
