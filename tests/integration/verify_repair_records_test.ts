import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { createAgentFixture } from "../support/agent_fixture.ts";
import { copyFolder } from "../support/copy_folder.ts";

const PACKAGE = "kubepkg/line4";

/** A site with release 1.1.0, its history, an archive of its images, a pending part of 2.0.0, and a token. */
async function createSite() {
  const site = await createAgentFixture();
  await Deno.mkdir(`${site.folder.path}/images`);
  const crpe = (...args: string[]) => site.crpe(...args, "--data=site");
  for (const version of ["1.0.0", "1.1.0"]) {
    const { file } = await site.pack(version, 1000);
    const flags = ["--manifests-dir=manifests", "--images-dir=images"];
    const { code, stderr } = await crpe("import", file, ...flags);
    assertEquals(code, 0, stderr);
  }
  await site.pack("2.0.0", 2_500_000, "--split=1MiB");
  const part = (await site.folder.listFiles()).find((name) => name.startsWith("2.0.0") && name.includes("part2"))!;
  const imported = await crpe("import", part, "--manifests-dir=manifests");
  assertEquals(imported.code, 0, `${part}: ${imported.stderr}`);
  {
    await using _agent = await site.startAgent();
  }
  const pieces = (await site.folder.listFiles("site/ingest")).find((name) => name.endsWith(".pieces.json"))!;
  await site.folder.write("site/ingest/access.json", "[]");
  await site.folder.write("site/ingest/scrub.json", "{}");
  assertEquals((await crpe("verify")).code, 0);
  return { ...site, verify: (...flags: string[]) => crpe("verify", ...flags), crpe, pieces: `ingest/${pieces}` };
}

const KINDS: readonly [path: string, isRepaired: boolean, outcome: string][] = [
  [`${PACKAGE}/current.json`, true, "rebuilt from the record of the hand-over: 1.1.0 is installed"],
  [`${PACKAGE}/history/000001.json`, true, "moved aside; it is no longer possible to roll back to this release"],
  [`${PACKAGE}/pending.json`, true, "moved aside; send the bundle again, or import its parts again"],
  [`${PACKAGE}/handover.json`, false, "import line4 again with --force, or drop it with"],
  [`${PACKAGE}/receipt.json`, true, "moved aside; the next import writes a new one"],
  ["kubepkg/.images/default/line4/record.json", true, "crpe import --images-dir --force writes the archive again"],
  ["kubepkg/.token", false, "it cannot be repaired"],
  ["ingest/pieces", true, "the parts that brought these pieces must be imported again"],
  ["ingest/access.json", true, "eviction forgets in which order images were used"],
  ["ingest/scrub.json", true, "the check of the store begins again"],
];

Deno.test("[91][92] verify names a damaged record, and --repair repairs it or says why it cannot", async (t) => {
  await using site = await createSite();
  const { path: root } = site.folder;
  await copyFolder(`${root}/site`, `${root}/undamaged`);
  for (const [kind, isRepaired, outcome] of KINDS) {
    await t.step(`${kind}: ${isRepaired ? "repaired" : "not repaired"}`, async () => {
      await Deno.remove(`${root}/site`, { recursive: true });
      await copyFolder(`${root}/undamaged`, `${root}/site`);
      const path = kind === "ingest/pieces" ? site.pieces : kind;
      await site.folder.write(`site/${path}`, kind === "kubepkg/.token" ? "two words\n" : '{"torn');
      const found = await site.verify();
      assertEquals(found.code, 4, found.stdout);
      assertStringIncludes(found.stdout, path);
      assertStringIncludes(found.stdout, " 1 broken");
      const repaired = await site.verify("--repair", "--offline");
      assertEquals(repaired.code, isRepaired ? 0 : 4, repaired.stdout);
      assertStringIncludes(repaired.stdout, outcome);
      const again = await site.verify("--json");
      assertEquals([again.code, JSON.parse(again.stdout).records.length], isRepaired ? [0, 0] : [4, 1]);
      if (kind.endsWith("current.json")) {
        assertEquals(
          (await site.crpe("packages", "status", "line4", "--json")).stderr.includes("not installed"),
          false,
        );
        const { stdout } = await site.crpe("packages", "history", "line4", "--json");
        assertEquals(
          JSON.parse(stdout).map((it: { kubepkg: { spec: { version: string } } }) => it.kubepkg.spec.version),
          [
            "1.1.0",
            "1.0.0",
          ],
        );
        assertEquals((await site.crpe("packages", "--pending")).stdout.includes("2.0.0"), true);
      }
      if (kind.endsWith("handover.json")) {
        const file = `${site.folder.path}/1.1.0.tgz`;
        assertEquals((await site.crpe("import", file, "--force", "--manifests-dir=manifests")).code, 0);
        assertEquals((await site.verify()).code, 0);
      }
    });
  }
});
