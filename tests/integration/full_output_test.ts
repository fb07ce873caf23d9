import { assertEquals } from "../support/assert.ts";
import { runCrpe, spawnCrpe } from "../support/crpe_process.ts";
import { freePorts } from "../support/object_storage.ts";
import { peerTest } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

// /dev/full is of Linux: every write to it fails with ENOSPC.
const within = (redirection: string) => ["/bin/sh", "-c", `exec "$@" ${redirection}`, "sh"];
const NO_RESULT = { code: 1, stdout: "", stderr: "crpe: Cannot write standard output: no space left on the device\n" };

for (
  const [args, redirection, expected] of [
    [["mirror-config", "--help"], ">/dev/full", NO_RESULT],
    [["completion", "zsh"], ">/dev/full", NO_RESULT],
    [["version", "--json"], ">/dev/full", NO_RESULT],
    [["images", "--json", "--data=."], "2>/dev/full", { code: 0, stdout: "[]\n", stderr: "" }],
    [["images", "--frobnicate"], "2>/dev/full", { code: 2, stdout: "", stderr: "" }],
    [["verify", "missing.tgz"], "2>/dev/full", { code: 1, stdout: "", stderr: "" }],
  ] as const
) {
  peerTest(`[31] crpe ${args.join(" ")} ${redirection} has the right exit status`, ["/proc"], async () => {
    await using folder = await TestFolder.create();
    const options = { env: { HOME: folder.path }, cwd: folder.path, within: within(redirection) };
    assertEquals(await runCrpe(args, options), expected);
  });
}

peerTest("[31] a registry serves although its log cannot be written", ["/proc"], async () => {
  await using folder = await TestFolder.create();
  const [port] = freePorts(1);
  const args = ["registry", `--addr=127.0.0.1:${port}`, `--data=${folder.path}/data`, "--offline"];
  await using crpe = spawnCrpe(args, { env: { HOME: folder.path }, within: within("2>/dev/full") });
  const ended = crpe.finished.then(({ code }) => `it ended with ${code}`);
  const answer = async () => {
    for (;;) {
      try {
        const response = await fetch(`http://127.0.0.1:${port}/v2/none/manifests/1`);
        await response.body?.cancel();
        return response.status;
      } catch {
        // It does not listen yet.
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  };
  assertEquals(await Promise.race([answer(), ended]), 404);
  assertEquals(await Promise.race([answer(), ended]), 404);
  crpe.kill("SIGTERM");
  assertEquals(await crpe.finished, { code: 0, stdout: "", stderr: "" });
});
