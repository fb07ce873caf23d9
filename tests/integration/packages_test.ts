import type { Digest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { blobPath } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { spawnCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createOffice } from "../support/office.ts";
import { writeImage } from "../support/put_image.ts";

const REPO = "registry.test/app";
const IMAGES = [1, 2].map((version) => buildImage({ files: [{ "shared.txt": "x" }, { "version.txt": `${version}` }] }));
const OTHER = buildImage({ files: { "other.txt": "x" } });
const [V1, V2] = IMAGES.map(({ root }) => root.digest) as [Digest, Digest];

/** A site where line4 1.0.0 and then 2.0.0 were installed, and another package beside it. */
async function createSite() {
  const office = await createOffice({ "registry.test/other:1": OTHER });
  const run = async (...args: string[]) => await office.crpe(...args, "--data=site");
  const install = async (kubepkg: ReturnType<typeof makeKubePkg>, ...flags: string[]) => {
    const name = `${kubepkg.metadata.name}-${kubepkg.spec.version}`;
    const packed = await office.pack(kubepkg, name);
    assertEquals(packed.code, 0, packed.stderr);
    const { code, stdout, stderr } = await run("import", `${name}.tgz`, "--manifests-dir=manifests", ...flags);
    assertEquals(code, 0, stderr);
    return stdout;
  };
  for (const [i, image] of IMAGES.entries()) {
    const version = i + 1;
    await writeImage(office.store, REPO, "1", image);
    await writeImage(office.store, REPO, `v${version}`, image);
    const data = { version: `${version}` };
    await install(makeKubePkg({ [`${REPO}:1`]: "", [`${REPO}:v${version}`]: "" }, { version: `${version}.0.0`, data }));
  }
  return {
    ...office,
    run,
    install,
    manifest: () => Deno.readTextFile(`${office.folder.path}/manifests/line4.yaml`),
    resolve: async (tag: string) => (await new DiskStore(`${office.folder.path}/site`).resolve(REPO, tag))?.digest,
    holds: async (digest: Digest) =>
      await new DiskStore(`${office.folder.path}/site`).statBlob(REPO, digest) !== undefined,
  };
}

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
  assertEquals(listed.stdout.split("\n").map((line) => line.split(/\s+/).slice(0, 2).join(" ")), [
    "VERSION INSTALLED",
    "2.0.0 yes",
    "1.0.0 2",
    "",
  ]);

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
    "manifests/line4.yaml has an earlier hand-over; remove it if the same cluster reads it",
  );
  const same = await site.run("packages", "rollback", "line4", "--to", "1.0.0");
  assertEquals([same.code, same.stdout], [0, "line4@1.0.0 is installed already; nothing to do\n"]);
});

Deno.test("a rollback is refused when there is no such version, or content of it is lacking, and changes nothing", async () => {
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
  const lacking = await site.run("packages", "rollback", "line4");
  assertEquals(lacking.code, 1);
  assertStringIncludes(lacking.stderr, lost);
  assertStringIncludes(lacking.stderr, `needed by ${REPO}:1, ${REPO}:v1; nothing was changed`);
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

Deno.test("a package is removed: its file first emptied, its tags gone, the space freed, the other's content left", async () => {
  await using site = await createSite();
  await site.install(makeKubePkg({ "registry.test/other:1": "", [`${REPO}:v1`]: "" }, { name: "other" }));
  const { code, stdout, stderr } = await site.run("packages", "remove", "line4", "--wait=100ms", "--json");
  assertEquals(code, 0, stderr);
  assertStringIncludes(stderr, "waiting 0:01 for the cluster");
  const { name, version, untagged, left } = JSON.parse(stdout);
  assertEquals([name, version, left], ["line4", "2.0.0", []]);
  assertEquals(untagged, [`${REPO}:1`, `${REPO}:v2`]);
  assertEquals(await site.folder.listFiles("manifests"), ["other.yaml"]);
  assertEquals(await site.folder.listFiles("site/kubepkg"), ["other/current.json", "other/handover.json"]);
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

Deno.test("[26] a removal that is killed while it waits is finished by the next one", async () => {
  await using site = await createSite();
  const crpe = spawnCrpe(["packages", "remove", "line4", "--wait=10m", "--data=site"], site.surroundings);
  crpe.listening.catch(() => {});
  while (!crpe.log().includes("waiting 10:00")) await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(await site.manifest(), "");
  crpe.kill("SIGKILL");
  await crpe.finished;
  assertEquals(await site.folder.listFiles("manifests"), ["line4.yaml"]);
  assertEquals(await historyOf(site), ["2.0.0 installed", "1.0.0"]);
  assertEquals(await site.resolve("1"), V2);

  const { code, stderr } = await site.run("packages", "remove", "line4", "--wait=0", "--quiet");
  assertEquals([code, stderr], [0, ""]);
  assertEquals([await site.folder.listFiles("manifests"), await site.folder.listFiles("site/kubepkg")], [[], []]);
  assertEquals((await site.run("gc")).code, 0);
  assertEquals(await site.folder.listFiles("site/docker"), []);
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
