import { createAgentFixture } from "../support/agent_fixture.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";

Deno.test("[104] a named token pushes until it is revoked, and the agent does not restart", async () => {
  await using site = await createAgentFixture();
  const { file } = await site.pack("1.0.0", 1000);
  await using agent = await site.startAgent();
  const create = (...words: string[]) => site.crpe("token", "create", "--data=site", ...words);
  const ci = await create("ci", "--scope=import", "--expires=90d");
  assertEquals([ci.code, /^[\w-]{43}\n$/.test(ci.stdout)], [0, true]);
  assertStringIncludes(ci.stderr, "ci: import, until ");
  const look = JSON.parse((await create("look", "--scope=read", "--json")).stdout);
  assertEquals([look.name, look.scope, look.expires], ["look", "read", undefined]);
  const write = async (name: string, token: string) => {
    await Deno.writeTextFile(`${site.folder.path}/${name}`, token, { mode: 0o600 });
    return `--token-file=${site.folder.path}/${name}`;
  };
  const [ciFile, lookFile] = [await write("ci", ci.stdout), await write("look", look.token)];

  const push = (...flags: string[]) => site.crpe("push", file, `--to=${agent.url}`, ...flags);
  const refused = await push(lookFile);
  assertEquals(refused.code, 1);
  assertStringIncludes(refused.stderr, "Cannot import: the token look has the scope read, and this needs import");
  assertStringIncludes((await push(ciFile, "--force")).stderr, "this needs admin");
  const pushed = await push(ciFile);
  assertEquals(pushed.code, 0, pushed.stderr);

  const listed = JSON.parse((await site.crpe("token", "list", "--data=site", "--json")).stdout);
  assertEquals(listed.map((it: Record<string, unknown>) => [it.name, it.scope, it.expired]), [
    ["ci", "import", false],
    ["look", "read", false],
  ]);
  assert(!JSON.stringify(listed).includes("hash"), "hashes are not listed");
  assertStringIncludes((await site.crpe("token", "--data=site")).stdout, "EXPIRES (UTC)");

  assertEquals((await site.crpe("token", "revoke", "ci", "--data=site")).stdout, "revoked ci\n");
  const after = await push(ciFile);
  assertEquals(after.code, 1);
  assertStringIncludes(after.stderr, "the token is not the one of this server");
  const again = await site.crpe("token", "revoke", "loook", "--data=site");
  assertEquals(again.code, 1);
  assertStringIncludes(again.stderr, 'did you mean "look"');
});

const WRONG = [
  [["ci"], 2, "without --scope"],
  [["ci", "--scope=root"], 2, "choose read, import, admin"],
  [["a b", "--scope=read"], 3, "a name has 1 to 63"],
  [["ci", "--scope=read", "--expires=0"], 2, "still to come"],
  [["ci", "--scope=read", "--expires=2020-01-01"], 2, "still to come"],
  [["ci", "--scope=read", "--expires=2027-02-31x"], 2, "still to come"],
  [["ci", "--scope=read", "--expires=soon"], 2, "a duration"],
] as const;

Deno.test("[104] what cannot be a token is refused in one line", async () => {
  await using site = await createAgentFixture();
  for (const [words, code, text] of WRONG) {
    const { code: found, stderr } = await site.crpe("token", "create", "--data=site", ...words);
    assertEquals([words, found], [words, code]);
    assertStringIncludes(stderr, text);
  }
});
