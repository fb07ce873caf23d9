import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { createAgentFixture } from "../support/agent_fixture.ts";
import { makeTar } from "../unit/bundle/bundle_support.ts";
import { A, B, LIST_FILES, listFiles, packageOf } from "../unit/bundle/list_bundle.ts";

const NEXT = listFiles([packageOf("a", A, "0.9.0"), packageOf("b", B, "1.1.0")]);

/** The folder of an agent, with `list.tar`, a bundle of two packages, and `next.tar`, of which one is a downgrade. */
async function createFixture() {
  const fixture = await createAgentFixture();
  await fixture.folder.write("list.tar", makeTar(LIST_FILES));
  await fixture.folder.write("next.tar", makeTar(NEXT));
  return fixture;
}

Deno.test("[80] import of a bundle of two packages reports each, and fails with the worst exit status", async () => {
  await using fixture = await createFixture();
  const imported = await fixture.crpe("import", "list.tar", "--data=site", "--json", "--manifests-dir=manifests");
  assertEquals(imported.code, 0, imported.stderr);
  assertEquals(
    JSON.parse(imported.stdout).map((it: Record<string, unknown>) => [it.file, it.name, it.verdict, it.imported]),
    [["list.tar", "a", "install", true], ["list.tar", "b", "install", true]],
  );
  assertEquals(await fixture.folder.listFiles("manifests"), ["a.yaml", "b.yaml"]);

  const dryRun = await fixture.crpe("import", "next.tar", "--data=site", "--dry-run");
  assertEquals([dryRun.code, dryRun.stderr], [3, ""]);
  assertMatch(
    dryRun.stdout,
    /^would refuse a@0\.9\.0: 1\.0\.0 is installed, which is higher; --force allows it$[^]*^would upgrade b@1\.1\.0 from 1\.0\.0$/m,
  );

  const next = await fixture.crpe("import", "next.tar", "--data=site", "--json", "--manifests-dir=manifests");
  assertEquals(next.code, 3, next.stderr);
  assertStringIncludes(next.stderr, "crpe: Cannot import a@0.9.0: 1.0.0 is installed, which is higher");
  const [a, b] = JSON.parse(next.stdout);
  assertEquals([a.name, a.imported, b.name, b.verdict, b.imported], ["a", false, "b", "upgrade", true]);
  assertStringIncludes(a.error, "1.0.0 is installed");

  const { stdout } = await fixture.crpe("packages", "--data=site");
  assertEquals(stdout.trim().split("\n").slice(1).map((line) => line.split(/\s+/).slice(0, 2)), [
    ["a", "1.0.0"],
    ["b", "1.1.0"],
  ]);
});

Deno.test("[80] inspect and verify show both packages of a bundle", async () => {
  await using fixture = await createFixture();
  const inspected = await fixture.crpe("inspect", "list.tar", "--json");
  assertEquals(JSON.parse(inspected.stdout).map(({ name }: { name: string }) => name), ["a", "b"]);
  assertMatch((await fixture.crpe("inspect", "list.tar")).stdout, /^a@1\.0\.0, [^]*\n\nb@1\.0\.0, /);
  const verified = await fixture.crpe("verify", "list.tar");
  assertEquals([verified.code, verified.stdout.split(":")[0]], [0, "a@1.0.0, b@1.0.0"]);
});

Deno.test("[80] push sends a bundle of two packages whole, and reports each", async () => {
  await using fixture = await createFixture();
  await using agent = await fixture.startAgent();
  const push = (file: string) =>
    fixture.crpe("push", file, `--to=${agent.url}`, `--token-file=${fixture.tokenFile}`, "--quiet");
  const pushed = await push("list.tar");
  assertEquals(pushed.code, 0, pushed.stderr);
  assertMatch(pushed.stdout, /^installed a@1\.0\.0 at [^]*^installed b@1\.0\.0 at /m);
  const next = await push("next.tar");
  assertEquals(next.code, 3, next.stderr);
  assertStringIncludes(next.stderr, "Cannot import a@0.9.0: 1.0.0 is installed, which is higher");
});
