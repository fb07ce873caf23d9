import type { KubectlCall, KubectlResult } from "../../lib/install/handover/kubectl_error.ts";

/** What a kubectl of a test answers; a text is its standard error, with status 1. */
export type KubectlAnswer = string | Partial<KubectlResult> | undefined;

/** A `RunKubectl` that records its calls, and answers as a test says. */
export class RecordedKubectl {
  readonly calls: KubectlCall[] = [];
  /** `null`: kubectl is not installed. `undefined`: it succeeds without output. */
  answer: (call: KubectlCall) => KubectlAnswer | null = () => undefined;

  readonly run = (call: KubectlCall): Promise<KubectlResult | undefined> => {
    this.calls.push(call);
    const answer = this.answer(call);
    if (answer === null) return Promise.resolve(undefined);
    const result = typeof answer === "string" ? { code: 1, stderr: answer } : answer;
    return Promise.resolve({ code: 0, stdout: "", stderr: "", ...result });
  };

  /** The first word of each call since the last question, and the names of the objects that it was given. */
  take(): string[] {
    return this.calls.splice(0).map(({ args: [command = "", ...args], input = "" }) => {
      const flags = args.filter((arg) => ["--force-conflicts", "--dry-run=server", "--wait=false"].includes(arg));
      return [command, ...flags, ...namesIn(input)].join(" ");
    });
  }
}

/** The names of the objects in the input of a call. */
export function namesIn(input: string): string[] {
  return [...input.matchAll(/^ {2}name: "?(.*?)"?$/gm)].map(([, name]) => name!);
}
