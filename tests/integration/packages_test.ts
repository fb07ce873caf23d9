import type { Digest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { blobPath } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { spawnCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { writeImage } from "../support/put_image.ts";

const REPO = "registry.test/app";
const IMAGES = [1, 2].map((version) => buildImage({ files: [{ "shared.txt": "x" }, { "version.txt": `${version}` }] }));
const OTHER = buildImage({ files: { "other.txt": "x" } });
const [V1, V2] = IMAGES.map(({ root }) => root.digest) as [Digest, Digest];

/** Creates a folder with a data folder `site`, where line4 1.0.0 and then 2.0.0 were installed. */
async function createFixture() {
  const fixture = await createPackFixture({ "registry.test/other:1": OTHER });
  const run = async (...args: string[]) => await fixture.crpe(...args, "--data=site");
  const install = async (kubepkg: ReturnType<typeof makeKubePkg>, ...flags: string[]) => {
    const name = `${kubepkg.metadata.name}-${kubepkg.spec.version}`;
    const packed = await fixture.pack(kubepkg, name);
    assertEquals(packed.code, 0, packed.stderr);
    const { code, stdout, stderr } = await run("import", `${name}.tgz`, "--manifests-dir=manifests", ...flags);
    assertEquals(code, 0, stderr);
    return stdout;
  };
  for (const [i, image] of IMAGES.entries()) {
    const version = i + 1;
    await writeImage(fixture.store, REPO, "1", image);
    await writeImage(fixture.store, REPO, `v${version}`, image);
    const data = { version: `${version}` };
    await install(makeKubePkg({ [`${REPO}:1`]: "", [`${REPO}:v${version}`]: "" }, { version: `${version}.0.0`, data }));
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

async function historyOf(fixture: Awaited<ReturnType<typeof createFixture>>): Promise<string[]> {
  const { code, stdout, stderr } = await fixture.run("packages", "history", "line4", "--json");
  assertEquals(code, 0, stderr);
  return JSON.parse(stdout).map((
    { installed, kubepkg }: { installed: boolean; kubepkg: { spec: { version: string } } },
  ) => `${kubepkg.spec.version}${installed ? " installed" : ""}`);
}

Deno.test("rollback restores the tags and manifests of the previous version, and a second rollback undoes it", async () => {
  await using fixture = await createFixture();
  assertEquals(await historyOf(fixture), ["2.0.0 installed", "1.0.0"]);
  const listed = await fixture.run("packages", "history", "line4");
  assertEquals(listed.stdout.split("\n").map((line) => line.split(/\s+/).slice(0, 2).join(" ")), [
    "VERSION INSTALLED",
    "2.0.0 yes",
    "1.0.0 2",
    "",
  ]);

  const back = await fixture.run("packages", "rollback", "line4");
  assertEquals(back.code, 0, back.stderr);
  assertStringIncludes(back.stdout, "rolled line4 back from 2.0.0 to 1.0.0");
  assertEquals([await fixture.resolve("1"), await fixture.resolve("v1"), await fixture.resolve("v2")], [V1, V1, V2]);
  assertStringIncludes(await fixture.manifest(), 'version: "1"');
  assertEquals(await historyOf(fixture), ["1.0.0 installed", "2.0.0"]);

  const again = await fixture.run("packages", "rollback", "line4", "--json");
  const report = JSON.parse(again.stdout);
  assertEquals({ name: report.name, from: report.from, to: report.to, rolledBack: report.rolledBack }, {
    name: "line4",
    from: "1.0.0",
    to: "2.0.0",
    rolledBack: true,
  });
  assertEquals(report.handover, `${await Deno.realPath(fixture.folder.path)}/manifests/line4.yaml`);
  assertEquals(await fixture.resolve("1"), V2);
  assertStringIncludes(await fixture.manifest(), 'version: "2"');

  const to = await fixture.run("packages", "rollback", "line4", "--to=1.0.0", "--manifests-dir=elsewhere");
  assertEquals(to.code, 0, to.stderr);
  for (const folder of ["manifests", "elsewhere"]) assertEquals(await fixture.folder.listFiles(folder), ["line4.yaml"]);
  assertStringIncludes(
    to.stderr,
    "manifests/line4.yaml has an earlier hand-over; remove it if the same cluster reads it",
  );
  const same = await fixture.run("packages", "rollback", "line4", "--to", "1.0.0");
  assertEquals({ code: same.code, stdout: same.stdout }, {
    code: 0,
    stdout: "line4@1.0.0 is installed already; nothing to do\n",
  });
});

Deno.test("rollback is refused, and changes nothing, when the version or some of its content is missing", async () => {
  await using fixture = await createFixture();
  await fixture.install(makeKubePkg({ "registry.test/other:1": "" }, { name: "other" }));
  const none = await fixture.run("packages", "rollback", "other");
  assertEquals({ code: none.code, stderr: none.stderr }, {
    code: 3,
    stderr: "crpe: Cannot roll other back: 1.0.0 is the only version that is kept\n",
  });
  const unknown = await fixture.run("packages", "rollback", "line4", "--to=0.9.0");
  assertEquals(unknown.code, 3);
  assertStringIncludes(unknown.stderr, "Cannot roll line4 back to 0.9.0: it is not kept; there are 2.0.0, 1.0.0");

  const lost = [...IMAGES[0]!.blobs.keys()].find((digest) => !IMAGES[1]!.blobs.has(digest))!;
  await Deno.remove(`${fixture.folder.path}/site/${blobPath(lost)}`);
  const before = await fixture.folder.listFiles("site/kubepkg");
  const incomplete = await fixture.run("packages", "rollback", "line4");
  assertEquals(incomplete.code, 1);
  assertStringIncludes(incomplete.stderr, lost);
  assertStringIncludes(incomplete.stderr, `needed by ${REPO}:1, ${REPO}:v1; nothing was changed`);
  assertEquals(await fixture.resolve("1"), V2);
  assertEquals(await fixture.folder.listFiles("site/kubepkg"), before);
  assertStringIncludes(await fixture.manifest(), 'version: "2"');
});

Deno.test("[52] an unknown package name is refused with the nearest installed one, and never used as a path", async () => {
  await using fixture = await createFixture();
  const record = await Deno.readTextFile(`${fixture.folder.path}/site/kubepkg/line4/current.json`);
  await fixture.folder.write("x/current.json", record);
  const before = await fixture.folder.listFiles();
  for (const command of ["history", "rollback", "remove"]) {
    const { code, stderr } = await fixture.run("packages", command, "lin4");
    assertEquals(code, 1);
    assertStringIncludes(stderr, 'Cannot use the package "lin4": it is not installed; did you mean "line4"?');
    assertEquals((await fixture.run("packages", command, "../../x")).code, 1);
    const empty = await fixture.crpe("packages", command, "line4", "--data=nothing");
    assertEquals(empty.code, 1);
    assertStringIncludes(empty.stderr, "it is not installed; no package is");
  }
  assertEquals((await fixture.folder.listFiles()).filter((name) => !before.includes(name)), []);
});

Deno.test("remove empties and then deletes the manifest file, untags the images, and keeps the content of other packages", async () => {
  await using fixture = await createFixture();
  await fixture.install(makeKubePkg({ "registry.test/other:1": "", [`${REPO}:v1`]: "" }, { name: "other" }));
  const { code, stdout, stderr } = await fixture.run("packages", "remove", "line4", "--wait=100ms", "--json");
  assertEquals(code, 0, stderr);
  assertStringIncludes(stderr, "waiting 0:01 for the cluster");
  const { name, version, untagged, left } = JSON.parse(stdout);
  assertEquals({ name, version, left }, { name: "line4", version: "2.0.0", left: [] });
  assertEquals(untagged, [`${REPO}:1`, `${REPO}:v2`]);
  assertEquals(await fixture.folder.listFiles("manifests"), ["other.yaml"]);
  assertEquals(await fixture.folder.listFiles("site/kubepkg"), ["other/current.json", "other/handover.json"]);
  assertEquals(await fixture.resolve("1"), undefined);
  assertEquals(await fixture.resolve("v1"), V1);
  assertEquals(await fixture.resolve("v2"), undefined);

  assertEquals((await fixture.run("gc")).code, 0);
  assertEquals(await fixture.holds(V1), true);
  assertEquals(await fixture.holds(V2), false);
  assertEquals(await fixture.holds(OTHER.root.digest), true);
  for (const digest of IMAGES[0]!.blobs.keys()) assert(await fixture.holds(digest));
  for (const digest of IMAGES[1]!.blobs.keys()) assertEquals(await fixture.holds(digest), IMAGES[0]!.blobs.has(digest));
  const verified = await fixture.run("verify");
  assertEquals(verified.code, 0, verified.stderr);
  assertEquals((await fixture.run("packages", "remove", "line4")).code, 1);
});

Deno.test("[26] a removal that is killed while it waits is completed by the next one", async () => {
  await using fixture = await createFixture();
  const crpe = spawnCrpe(["packages", "remove", "line4", "--wait=10m", "--data=site"], fixture.processOptions);
  crpe.listening.catch(() => {});
  while (!crpe.log().includes("waiting 10:00")) await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(await fixture.manifest(), "");
  crpe.kill("SIGKILL");
  await crpe.finished;
  assertEquals(await fixture.folder.listFiles("manifests"), ["line4.yaml"]);
  assertEquals(await historyOf(fixture), ["2.0.0 installed", "1.0.0"]);
  assertEquals(await fixture.resolve("1"), V2);

  const { code, stderr } = await fixture.run("packages", "remove", "line4", "--wait=0", "--quiet");
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  assertEquals(await fixture.folder.listFiles("manifests"), []);
  assertEquals(await fixture.folder.listFiles("site/kubepkg"), []);
  assertEquals((await fixture.run("gc")).code, 0);
  assertEquals(await fixture.folder.listFiles("site/docker"), []);
});

Deno.test("import warns when it does not hand over a package that was handed over before", async () => {
  await using fixture = await createFixture();
  const packed = await fixture.pack(makeKubePkg({ [`${REPO}:1`]: "" }, { version: "3.0.0" }), "3");
  assertEquals(packed.code, 0, packed.stderr);
  const { code, stderr } = await fixture.run("import", "3.tgz");
  assertEquals(code, 0);
  assertStringIncludes(
    stderr,
    "warning: the cluster still runs line4@2.0.0: this import was not handed over; use --manifests-dir",
  );
});
