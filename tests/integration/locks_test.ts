import { assertEquals, assertMatch } from "../support/assert.ts";
import { createAgentFixture } from "../support/agent_fixture.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { peerTest } from "../support/peers.ts";

/** Runs crpe with every `flock` failing. */
const WITHIN = (
  error: string,
) => ["strace", "-f", "-o", "/dev/null", "-e", "trace=flock", "-e", `inject=flock:error=${error}`];

peerTest(
  "[93] without its locks crpe refuses to serve, import, and collect; nothing is changed",
  ["strace"],
  async () => {
    await using site = await createAgentFixture();
    const { file } = await site.pack("1.0.0", 1000);
    for (
      const args of [["import", file], ["gc"], ["pull", "registry.test/app:1", "--offline"], [
        "registry",
        "--addr=127.0.0.1:0",
      ]]
    ) {
      const { code, stderr } = await runCrpe([...args, "--data=site"], {
        env: { HOME: site.folder.path },
        cwd: site.folder.path,
        within: WITHIN("ENOLCK"),
      });
      assertEquals(code, 1, args.join(" "));
      assertMatch(stderr, /^crpe: .*[Cc]annot lock site\/ingest\/[a-z]+\.lock: no locks available/m);
    }
    assertEquals((await site.folder.listFiles("site")).filter((name) => !name.endsWith(".lock")), []);
  },
);

peerTest("[93] on a file system that has no locks, an import works and a collection does not", ["strace"], async () => {
  await using site = await createAgentFixture();
  const { file } = await site.pack("1.0.0", 1000);
  const run = (...args: string[]) =>
    runCrpe([...args, "--data=site"], {
      env: { HOME: site.folder.path },
      cwd: site.folder.path,
      within: WITHIN("EOPNOTSUPP"),
    });
  assertEquals((await run("import", file)).code, 0);
  const { code, stderr } = await run("gc");
  assertEquals(code, 1);
  assertMatch(stderr, /its file system has no locks/);
});
