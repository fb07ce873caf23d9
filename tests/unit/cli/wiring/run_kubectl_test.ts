import { runKubectl } from "../../../../lib/cli/wiring/run_kubectl.ts";
import type { KubectlCall, KubectlResult } from "../../../../lib/install/handover/kubectl_error.ts";
import { assert, assertEquals, assertStringIncludes } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";

// A user's PATH may have nothing but Deno, and the scripts use programs of the system.
const START = "#!/bin/sh\nPATH=$PATH:/usr/bin:/bin\n";

/** Runs `runKubectl` with a shell script as kubectl; without one there is no kubectl. */
async function runScript(
  script: string | undefined,
  call: Partial<KubectlCall> = {},
): Promise<{ result: KubectlResult | undefined; seconds: number }> {
  await using folder = await TestFolder.create();
  if (script !== undefined) await Deno.chmod(await folder.write("kubectl", `${START}${script}\n`), 0o755);
  const before = Deno.env.get("PATH") ?? "";
  Deno.env.set("PATH", script === undefined ? folder.path : `${folder.path}:${before}`);
  const start = performance.now();
  try {
    const result = await runKubectl({ args: [], timeLimit: 10, ...call });
    return { result, seconds: (performance.now() - start) / 1000 };
  } finally {
    Deno.env.set("PATH", before);
  }
}

Deno.test("runKubectl() gives arguments and input, and returns status and output", async () => {
  const { result } = await runScript('echo "$*"; cat; echo no >&2; exit 3', { args: ["get", "a b"], input: "text" });
  assertEquals(result, { code: 3, stdout: "get a b\ntext", stderr: "no\n" });
});

Deno.test("runKubectl() without a kubectl returns undefined", async () => {
  assertEquals((await runScript(undefined)).result, undefined);
});

Deno.test("runKubectl() without input closes the standard input", async () => {
  assertEquals((await runScript("cat; echo end")).result?.stdout, "end\n");
});

Deno.test("runKubectl() does not wait until a kubectl has read all input", async () => {
  const { result } = await runScript("exit 1", { input: "x".repeat(4_000_000) });
  assertEquals(result?.code, 1);
});

Deno.test("runKubectl() turns off what a user's preferences would change", async () => {
  const { result } = await runScript('echo "$KUBERC-$KUBECTL_EXTERNAL_DIFF-$LD_PRELOAD"');
  assertEquals(result?.stdout, "off--\n");
});

for (
  const [what, script] of [
    ["waits", "echo log in >&2; exec sleep 60"],
    ["waits for a child that holds its output", "echo log in >&2; sleep 60"],
    ["ignores that it is told to end", "trap '' TERM; echo log in >&2; while :; do sleep 1; done"],
    ["does not read its input", "echo log in >&2; exec sleep 60"],
  ] as const
) {
  Deno.test(`[95] a kubectl that ${what} is ended at its time limit`, async () => {
    const { result, seconds } = await runScript(script, { timeLimit: 1, input: "x".repeat(4_000_000) });
    assertEquals([result?.timedOutAfter, result?.code, result?.stderr], [1, 1, "log in\n"]);
    assert(seconds >= 1 && seconds < 8, `${seconds} s`);
  });
}

Deno.test("[95] a child of kubectl that holds the output open is not waited for", async () => {
  const { result, seconds } = await runScript("echo done; sleep 30 & exit 0");
  assertEquals(result, { code: 0, stdout: "done\n", stderr: "" });
  assert(seconds < 8, `${seconds} s`);
});

Deno.test("runKubectl() bounds the output that it keeps", async () => {
  const { result } = await runScript("head -c 70000000 /dev/zero; head -c 3000000 /dev/zero | tr '\\0' x >&2");
  assertEquals([result?.code, result?.stdout], [1, ""]);
  assertStringIncludes(result!.stderr, "the output is larger than 64 MiB");
  const noisy = await runScript("head -c 3000000 /dev/zero | tr '\\0' x >&2");
  assertEquals([noisy.result?.code, noisy.result?.stderr.length], [0, 1024 * 1024]);
});
