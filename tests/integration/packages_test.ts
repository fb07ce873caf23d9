import type { Digest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { blobPath } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { writeImage } from "../support/put_image.ts";

const REPO = "registry.test/app";
const IMAGES = [1, 2].map((version) => buildImage({ files: [{ "shared.txt": "x" }, { "version.txt": `${version}` }] }));
const OTHER = buildImage({ files: { "other.txt": "x" } });
const [V1, V2] = IMAGES.map(({ root }) => root.digest) as [Digest, Digest];

// The bundles of the two releases, which are packed once.
const bundles = new Map<string, Uint8Array>();

/** A site where line4 1.0.0 and then 2.0.0 were installed, and another package beside it. */
async function createSite() {
  const fixture = await createPackFixture({ "registry.test/other:1": OTHER });
  await Deno.mkdir(`${fixture.folder.path}/elsewhere`);
  const run = async (...args: string[]) => await fixture.crpe(...args, "--data=site");
  const install = async (kubepkg: ReturnType<typeof makeKubePkg>, ...flags: string[]) => {
    const name = `${kubepkg.metadata.name}-${kubepkg.spec.version}`;
    const packed = await fixture.pack(kubepkg, name);
    assertEquals(packed.code, 0, packed.stderr);
    return await importBundle(name, ...flags);
  };
  const importBundle = async (name: string, ...flags: string[]) => {
    const { code, stdout, stderr } = await run("import", `${name}.tgz`, "--manifests-dir=manifests", ...flags);
    assertEquals(code, 0, stderr);
    return stdout;
  };
  for (const [i, image] of IMAGES.entries()) {
    const version = i + 1;
    await writeImage(fixture.store, `${REPO}:1`, image);
    await writeImage(fixture.store, `${REPO}:v${version}`, image);
    const name = `line4-${version}.0.0`;
    const path = `${fixture.folder.path}/${name}.tgz`;
    const packed = bundles.get(name);
    if (packed === undefined) {
      const data = { version: `${version}` };
      const references = { [`${REPO}:1`]: "", [`${REPO}:v${version}`]: "" };
      await install(makeKubePkg(references, { version: `${version}.0.0`, data }));
      bundles.set(name, await Deno.readFile(path));
    } else {
      await Deno.writeFile(path, packed);
      await importBundle(name);
    }
  }
  return {
    ...fixture,
    run,
    install,
    manifest: () => Deno.readTextFile(`${fixture.folder.path}/manifests/line4.yaml`),
    resolve: async (tag: string) => (await new DiskStore(`${fixture.folder.path}/site`).resolve(REPO, tag))?.digest,
    holds: async (digest: Digest) =>
      await new DiskStore(`${fixture.folder.path}/site`).statBlob(REPO, digest) !== undefined,
  };
}

Deno.test("[79] packages --json and packages history --json leave the manifests out, which can hold Secrets", async () => {
  await using site = await createSite();
  for (const args of [["packages"], ["packages", "history", "line4"]]) {
    const { code, stdout } = await site.run(...args, "--json");
    assertEquals([code, stdout.includes("line4"), stdout.includes('"manifests"')], [0, true, false]);
  }
});

async function historyOf(site: Awaited<ReturnType<typeof createSite>>): Promise<string[]> {
  const { code, stdout, stderr } = await site.run("packages", "history", "line4", "--json");
  assertEquals(code, 0, stderr);
  return JSON.parse(stdout).map((
    { installed, kubepkg }: { installed: boolean; kubepkg: { spec: { version: string } } },
  ) => `${kubepkg.spec.version}${installed ? " installed" : ""}`);
}

Deno.test("a package is rolled back, with its tags and manifests, and a second rollback returns", async () => {
  await using site = await createSite();
  assertEquals(await historyOf(site), ["2.0.0 installed", "1.0.0"]);
  const listed = await site.run("packages", "history", "line4");
  assertEquals(
    listed.stdout.split("\n").map((line) =>
      line.replace(/[0-9-]{10} [0-9:]{5}/, "DATE").split(/\s+/).slice(0, 3).join(" ")
    ),
    [
      "VERSION DATE (UTC)",
      "2.0.0 DATE yes",
      "1.0.0 DATE -",
      "",
    ],
  );

  const back = await site.run("packages", "rollback", "line4");
  assertEquals(back.code, 0, back.stderr);
  assertStringIncludes(back.stdout, "rolled line4 back from 2.0.0 to 1.0.0");
  assertEquals([await site.resolve("1"), await site.resolve("v1"), await site.resolve("v2")], [V1, V1, V2]);
  assertStringIncludes(await site.manifest(), 'version: "1"');
  assertEquals(await historyOf(site), ["1.0.0 installed", "2.0.0"]);

  const again = await site.run("packages", "rollback", "line4", "--json");
  const report = JSON.parse(again.stdout);
  assertEquals([report.name, report.from, report.to, report.rolledBack], ["line4", "1.0.0", "2.0.0", true]);
  assertEquals(report.handover, `${await Deno.realPath(site.folder.path)}/manifests/line4.yaml`);
  assertEquals(await site.resolve("1"), V2);
  assertStringIncludes(await site.manifest(), 'version: "2"');

  const to = await site.run("packages", "rollback", "line4", "--to=1.0.0", "--manifests-dir=elsewhere");
  assertEquals(to.code, 0, to.stderr);
  for (const folder of ["manifests", "elsewhere"]) assertEquals(await site.folder.listFiles(folder), ["line4.yaml"]);
  assertStringIncludes(
    to.stderr,
    "manifests/line4.yaml has an earlier hand-over (2.0.0); remove it if the same cluster reads it",
  );
  const same = await site.run("packages", "rollback", "line4", "--to", "1.0.0");
  assertEquals([same.code, same.stdout], [0, "line4@1.0.0 is installed already; nothing to do\n"]);
});

Deno.test("a rollback is refused when there is no such version, or some of its content is missing, and changes nothing", async () => {
  await using site = await createSite();
  await site.install(makeKubePkg({ "registry.test/other:1": "" }, { name: "other" }));
  const none = await site.run("packages", "rollback", "other");
  assertEquals([none.code, none.stderr], [3, "crpe: Cannot roll other back: 1.0.0 is the only version that is kept\n"]);
  const unknown = await site.run("packages", "rollback", "line4", "--to=0.9.0");
  assertEquals(unknown.code, 3);
  assertStringIncludes(unknown.stderr, "Cannot roll line4 back to 0.9.0: it is not kept; there are 2.0.0, 1.0.0");

  const lost = [...IMAGES[0]!.blobs.keys()].find((digest) => !IMAGES[1]!.blobs.has(digest))!;
  await Deno.remove(`${site.folder.path}/site/${blobPath(lost)}`);
  const before = await site.folder.listFiles("site/kubepkg");
  const incomplete = await site.run("packages", "rollback", "line4");
  assertEquals(incomplete.code, 1);
  assertStringIncludes(incomplete.stderr, lost);
  assertStringIncludes(incomplete.stderr, `needed by ${REPO}:1, ${REPO}:v1; nothing was changed`);
  assertEquals([await site.resolve("1"), await site.folder.listFiles("site/kubepkg")], [V2, before]);
  assertStringIncludes(await site.manifest(), 'version: "2"');
});

Deno.test("[52] a package that is not installed is an error which names the nearest, and reaches no path", async () => {
  await using site = await createSite();
  const record = await Deno.readTextFile(`${site.folder.path}/site/kubepkg/line4/current.json`);
  await site.folder.write("x/current.json", record);
  const before = await site.folder.listFiles();
  for (const command of ["history", "rollback", "remove"]) {
    const { code, stderr } = await site.run("packages", command, "lin4");
    assertEquals(code, 1);
    assertStringIncludes(stderr, 'Cannot use the package "lin4": it is not installed; did you mean "line4"?');
    assertEquals((await site.run("packages", command, "../../x")).code, 1);
    const empty = await site.crpe("packages", command, "line4", "--data=nothing");
    assertEquals(empty.code, 1);
    assertStringIncludes(empty.stderr, "it is not installed; no package is");
  }
  assertEquals((await site.folder.listFiles()).filter((name) => !before.includes(name)), []);
});

Deno.test("[78] a removal that nothing confirms leaves the package; --forget drops it, its tags and its space, not the other's", async () => {
  await using site = await createSite();
  await site.install(makeKubePkg({ "registry.test/other:1": "", [`${REPO}:v1`]: "" }, { name: "other" }));
  const { code, stdout, stderr } = await site.run("packages", "remove", "line4", "--json");
  assertEquals([code, stderr], [0, ""]);
  const { name, version, removed, confirmed, untagged, manifests } = JSON.parse(stdout);
  assertEquals([name, version, removed, confirmed, untagged], ["line4", "2.0.0", false, false, []]);
  assertEquals(manifests.kept, [{ object: "ConfigMap/default/web", reason: "shared" }]);
  assertEquals([await site.resolve("1"), await historyOf(site)], [V2, ["2.0.0 installed", "1.0.0"]]);
  const listed = await site.run("packages");
  assertMatch(listed.stdout, /^PACKAGE .* STATE\nline4 .* being removed\nother [^\n]*[0-9]\n$/);
  assertEquals(
    JSON.parse((await site.run("packages", "--json")).stdout).map((it: { removing?: true }) => it.removing),
    [
      true,
      undefined,
    ],
  );
  const again = await site.run("packages", "remove", "line4", "--wait=0");
  assertStringIncludes(again.stdout, "line4@2.0.0 is not removed yet\n");
  assertStringIncludes(again.stdout, "manifests/line4.yaml; nothing confirms it yet\n");
  assertEquals((await site.run("packages", "status", "line4")).code, 1);

  const forgotten = await site.run("packages", "remove", "line4", "--forget", "--json");
  assertEquals(forgotten.code, 0, forgotten.stderr);
  const report = JSON.parse(forgotten.stdout);
  assertEquals([report.removed, report.untagged, report.leftFiles], [true, [`${REPO}:1`, `${REPO}:v2`], []]);
  assertEquals(await site.folder.listFiles("manifests"), ["other.yaml"]);
  assertEquals(await site.folder.listFiles("site/kubepkg"), [
    ".node-key.pem",
    "other/current.json",
    "other/handover.json",
    "other/receipt.json",
  ]);
  assertEquals([await site.resolve("1"), await site.resolve("v1"), await site.resolve("v2")], [
    undefined,
    V1,
    undefined,
  ]);

  assertEquals((await site.run("gc")).code, 0);
  assertEquals([await site.holds(V1), await site.holds(V2), await site.holds(OTHER.root.digest)], [true, false, true]);
  for (const digest of IMAGES[0]!.blobs.keys()) assert(await site.holds(digest));
  for (const digest of IMAGES[1]!.blobs.keys()) assertEquals(await site.holds(digest), IMAGES[0]!.blobs.has(digest));
  const verified = await site.run("verify");
  assertEquals(verified.code, 0, verified.stderr);
  assertEquals((await site.run("packages", "remove", "line4")).code, 1);
});

Deno.test("[78] a package whose removal is not confirmed is restored by its import", async () => {
  await using site = await createSite();
  const manifest = await site.manifest();
  await site.run("packages", "remove", "line4");
  assertEquals(await site.manifest(), "");
  const { code, stdout } = await site.run("import", "line4-2.0.0.tgz", "--manifests-dir=manifests");
  assertEquals([code, stdout.split("\n")[0]], [0, "repaired line4@2.0.0"]);
  // The number of the hand-over is another.
  assertEquals((await site.manifest()).replace(/^#.*\n/, ""), manifest.replace(/^#.*\n/, ""));
  assertEquals((await site.run("packages")).stdout.includes("being removed"), false);
});

Deno.test("[78] packages remove --dry-run lists what goes, and --forget leaves the file; neither changes the cluster", async () => {
  await using site = await createSite();
  const [files, manifest] = [await site.folder.listFiles("site"), await site.manifest()];
  const dry = await site.run("packages", "remove", "line4", "--dry-run");
  assertEquals([dry.code, dry.stdout], [
    0,
    `would remove line4@2.0.0\n  - ConfigMap/default/web\n  - ${REPO}:1\n  - ${REPO}:v1\n  - ${REPO}:v2\n`,
  ]);
  assertEquals([await site.folder.listFiles("site"), await site.manifest()], [files, manifest]);
  const both = await site.run("packages", "remove", "line4", "--forget", "--kubectl");
  assertEquals(both.code, 2);
  const { code, stdout } = await site.run("packages", "remove", "line4", "--forget");
  assertEquals(code, 0);
  assertStringIncludes(stdout, "  the cluster was not changed\n");
  assertStringIncludes(stdout, "/manifests/line4.yaml stays: the cluster keeps applying it\n");
  assertEquals(await site.manifest(), manifest);
});

Deno.test("[77] a rollback and a removal leave a file that was changed by hand, with exit status 3", async () => {
  await using site = await createSite();
  await site.folder.write("manifests/line4.yaml", "# mine\n");
  for (const args of [["rollback", "line4"], ["remove", "line4"], ["remove", "line4", "--dry-run"]]) {
    const { code, stderr } = await site.run("packages", ...args);
    assertEquals(code, 3);
    assertStringIncludes(stderr, "/manifests/line4.yaml was changed by hand since crpe wrote it, and is left alone");
  }
  assertEquals([await site.manifest(), await site.resolve("1")], ["# mine\n", V2]);
  assertEquals((await site.run("packages", "rollback", "line4", "--force")).code, 0);
  assertStringIncludes(await site.manifest(), 'version: "1"');
});

Deno.test("an import that does not hand over what was handed over before says so", async () => {
  await using site = await createSite();
  const packed = await site.pack(makeKubePkg({ [`${REPO}:1`]: "" }, { version: "3.0.0" }), "3");
  assertEquals(packed.code, 0, packed.stderr);
  const { code, stderr } = await site.run("import", "3.tgz");
  assertEquals(code, 0);
  assertStringIncludes(
    stderr,
    "warning: the cluster still runs line4@2.0.0: this import was not handed over; use --manifests-dir",
  );
});
