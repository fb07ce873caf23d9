import { createAgentFixture, IMAGE_REPO } from "../support/agent_fixture.ts";
import { assertEquals } from "../support/assert.ts";

Deno.test("[105] commands and requests are in the audit log, in order, with who did it", async () => {
  await using site = await createAgentFixture();
  for (const version of ["1.0.0", "1.1.0"]) await site.pack(version, 1000);
  const run = async (...words: string[]) => {
    const { code, stderr } = await site.crpe(...words, "--data=site");
    assertEquals([words, code, stderr.includes("Cannot")], [words, 0, false]);
  };
  await run("import", "1.0.0.tgz", "--manifests-dir=manifests");
  await site.crpe("keygen", "desk");
  {
    await using agent = await site.startAgent("--trust-on-first-use", "--trusted-keys=desk.pub");
    assertEquals((await site.push(`${site.folder.path}/1.1.0.tgz`, agent.url).finished).code, 3);
  }
  {
    await using agent = await site.startAgent();
    assertEquals((await site.push(`${site.folder.path}/1.1.0.tgz`, agent.url).finished).code, 0);
  }
  await run("token", "create", "ci", "--scope=read");
  await run("token", "revoke", "ci");
  await run("packages", "rollback", "line4");
  await site.crpe("packages", "remove", "line4", "--wait=0", "--data=site");
  await site.crpe("images", "rm", `${IMAGE_REPO}:nope`, "--data=site");
  const text = await Deno.readTextFile(`${site.folder.path}/site/audit.ndjson`);
  const ends = text.trimEnd().split("\n").map((line) => JSON.parse(line)).filter(({ phase }) => phase === "end");
  const who = ({ by: { user, token, address } }: { by: Record<string, string> }) =>
    user === undefined ? `${token} at ${address}` : user === "agent" ? user : "user";
  assertEquals(ends.map((line) => [line.action, line.version ?? line.name ?? "", line.result, who(line)]), [
    ["import", "1.0.0", "imported", "user"],
    ["trusted-keys", "", "in use", "agent"],
    ["import", "1.1.0", "refused", "first at 127.0.0.1"],
    ["import", "1.1.0", "imported", "first at 127.0.0.1"],
    ["token-creation", "ci", "done", "user"],
    ["token-revocation", "ci", "done", "user"],
    ["rollback", "line4", "done", "user"],
    ["removal", "1.0.0", "pending", "user"],
    ["image-removal", "", "failed", "user"],
  ]);
});
