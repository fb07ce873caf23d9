import { createAgentFixture } from "../support/agent_fixture.ts";
import { assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { until } from "../support/cache_fixture.ts";
import { peerTest } from "../support/peers.ts";

const PENDING = "site/kubepkg/line4/pending.json";

/** Creates a site with release 1.0.0 of `line4` installed, if asked for, and a push of 2.0.0 that was given up. */
async function createSite({ isInstalled }: { isInstalled: boolean }) {
  const site = await createAgentFixture();
  const { file } = await site.pack("2.0.0", 2_000_000);
  {
    await using agent = await site.startAgent();
    if (isInstalled) {
      const { file } = await site.pack("1.0.0", 1000);
      assertEquals((await site.push(file, agent.url).finished).code, 0);
    }
    const headers = { authorization: `Bearer ${(await Deno.readTextFile(site.tokenFile)).trim()}` };
    const inspected = JSON.parse((await site.crpe("inspect", file, "--json")).stdout);
    const body = await readRelease(file);
    const { missing } = await (await fetch(`${agent.url}/kubepkgs/plan`, { method: "POST", headers, body })).json();
    // Half of the largest blob arrives.
    const { digest, size } = missing.reduce((a: { size: number }, b: { size: number }) => b.size > a.size ? b : a);
    const response = await fetch(`${agent.url}/kubepkgs/blobs/${digest}`, {
      method: "PUT",
      headers: { ...headers, "content-range": `bytes 0-999999/${size}` },
      body: new Uint8Array(1_000_000),
    });
    assertEquals([response.status, inspected.version], [202, "2.0.0"]);
    await response.body?.cancel();
  }
  return site;
}

/** Reads the first entry of a bundle. */
async function readRelease(file: string): Promise<Uint8Array<ArrayBuffer>> {
  const { stdout } = await new Deno.Command("tar", { args: ["-xzOf", file, "kubepkg.json"] }).output();
  return stdout;
}

const partials = async (site: { folder: { listFiles(name: string): Promise<string[]> } }) =>
  (await site.folder.listFiles("site/ingest")).filter((name) => name.endsWith(".partial")).length;

peerTest("[94] a push that was given up is listed, and ended by its name; gc frees its space", ["tar"], async () => {
  await using site = await createSite({ isInstalled: false });
  const listed = await site.crpe("packages", "--pending", "--data=site");
  assertMatch(listed.stdout, /^line4 +2\.0\.0 +default +977 KiB of 1\.9 MiB +a push +20/m);
  const [json] = JSON.parse((await site.crpe("packages", "--pending", "--data=site", "--json")).stdout);
  assertEquals([json.name, json.version, json.received], ["line4", "2.0.0", 1_000_000]);
  assertStringIncludes((await site.crpe("packages", "--data=site")).stderr, "pending, not installed: line4@2.0.0");

  assertEquals((await site.crpe("gc", "--untagged", "--data=site")).code, 0);
  assertEquals([await partials(site), (await site.folder.listFiles("site/kubepkg")).length], [1, 4]);
  const dry = await site.crpe("packages", "remove", "line4", "--dry-run", "--data=site");
  assertMatch(dry.stdout, /^would end the pending release line4@2\.0\.0: 977 KiB of 1\.9 MiB received$/m);
  assertEquals(await partials(site), 1);
  const removed = await site.crpe("packages", "remove", "line4", "--data=site");
  assertEquals([removed.code, removed.stderr], [0, ""]);
  assertEquals([await partials(site), await site.folder.listFiles("site/kubepkg")], [0, [
    ".node-key.pem",
    ".tls.pem",
    ".token",
  ]]);
  const again = await site.crpe("packages", "remove", "line4", "--pending", "--data=site");
  assertEquals(again.code, 1);
  assertStringIncludes(again.stderr, "Cannot end line4: it is not pending");
});

peerTest("[94] the pending release of an installed package is ended by itself", ["tar"], async () => {
  await using site = await createSite({ isInstalled: true });
  const removed = await site.crpe("packages", "remove", "line4", "--pending", "--data=site");
  assertEquals([removed.code, await partials(site)], [0, 0]);
  assertMatch((await site.crpe("packages", "--data=site")).stdout, /^line4 +1\.0\.0/m);
  const audit = await Deno.readTextFile(`${site.folder.path}/site/audit.ndjson`);
  const { phase, action, name, version, result } = JSON.parse(audit.trimEnd().split("\n").at(-1)!);
  assertEquals([phase, action, name, version, result], ["end", "pending-removal", "line4", "2.0.0", "done"]);
});

peerTest("[94][92] a pending package whose record is damaged is ended, too", ["tar"], async () => {
  await using site = await createSite({ isInstalled: false });
  await site.folder.write(PENDING, "{torn");
  assertStringIncludes((await site.crpe("packages", "--pending", "--data=site")).stderr, "pending.json");
  const removed = await site.crpe("packages", "remove", "line4", "--data=site");
  assertEquals([removed.code, removed.stderr], [0, ""]);
  assertStringIncludes(removed.stdout, "ended the pending release of line4, whose record is damaged");
  assertEquals((await site.crpe("gc", "--data=site")).code, 0);
});

for (const by of ["gc", "agent"]) {
  peerTest(
    `[94] a pending package of which nothing was received for two weeks is ended by ${by}`,
    ["tar"],
    async () => {
      await using site = await createSite({ isInstalled: true });
      const age = new Date(Date.now() - 15 * 24 * 60 * 60 * 1000);
      for (const name of await site.folder.listFiles("site/ingest")) {
        await Deno.utime(`${site.folder.path}/site/ingest/${name}`, age, age);
      }
      await Deno.utime(`${site.folder.path}/${PENDING}`, age, age);
      if (by === "gc") {
        const kept = await site.crpe("gc", "--pending-ttl=16d", "--data=site", "--json");
        assertEquals([kept.code, JSON.parse(kept.stdout).ended], [0, []]);
        const { stdout } = await site.crpe("gc", "--data=site");
        assertStringIncludes(stdout, "ended the pending release line4@2.0.0");
      } else {
        await using agent = await site.startAgent();
        await until(
          "the pending release is ended",
          () => agent.log().includes("the pending release line4@2.0.0 was ended"),
        );
      }
      assertEquals([await partials(site), await site.folder.listFiles("site/kubepkg/line4")], [
        0,
        ["current.json", "handover.json", "receipt.json"],
      ]);
    },
  );
}
