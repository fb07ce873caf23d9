import { computeDigest } from "../../lib/oci/digest.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { Containerd } from "../support/containerd.ts";
import { buildImage, buildIndex, type BuiltImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest } from "../support/peers.ts";

const ARCHITECTURE = Deno.build.arch === "aarch64" ? "arm64" : "amd64";
const OTHER = ARCHITECTURE === "amd64" ? "arm64" : "amd64";
const OWN = `linux/${ARCHITECTURE}`;
const platformImage = (platform: string, text = platform) =>
  buildImage({ platform, files: [{ "a.txt": text }, { "b.txt": "b" }] });
const INDEX = buildIndex([platformImage(OWN), platformImage(`linux/${OTHER}`), platformImage("linux/arm/v7")]);
const IMAGES: Readonly<Record<string, BuiltImage>> = {
  "registry.test/team/index:1.0": INDEX,
  "registry.test/team/single:1.0": platformImage(OWN, "single"),
  "docker.io/library/plain:3": buildImage({ platform: OWN, format: "docker" }),
};
const FOREIGN = buildIndex([platformImage(`linux/${OTHER}`, "other")]);
const ALL = "--platform=linux/amd64,linux/arm64,linux/arm/v7";
/** The manifest of each image for this machine. */
const MANIFESTS = Object.fromEntries(
  Object.entries(IMAGES).map(([name, image]) => [name, image === INDEX ? INDEX.manifests[0]! : image.manifests[0]!]),
);

/** A folder with `<version>.tgz` of the images, and the folder `images`. */
async function createFixture(
  images: Readonly<Record<string, BuiltImage>>,
  versions: readonly string[] = ["1.0.0"],
  ...flags: string[]
) {
  const fixture = await createPackFixture(images);
  await Deno.mkdir(`${fixture.folder.path}/images`);
  for (const version of versions) {
    const kubepkg = makeKubePkg(Object.fromEntries(Object.keys(images).map((name) => [name, ""])), { version });
    const { code, stderr } = await fixture.pack(kubepkg, version, ...flags);
    assertEquals(code, 0, stderr);
  }
  return {
    ...fixture,
    archive: (version: string) => `${fixture.folder.path}/images/line4-${version}.tar`,
    import: (version: string, ...flags: string[]) =>
      fixture.crpe("import", `${version}.tgz`, "--data=site", "--images-dir=images", ...flags),
    [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose](),
  };
}

peerTest("containerd imports the archive of --images-dir", ["containerd", "ctr"], async () => {
  await using fixture = await createFixture(IMAGES);
  const imported = await fixture.import("1.0.0");
  assertEquals(imported.code, 0, imported.stderr);
  assertStringIncludes(imported.stdout, `images written to ${await Deno.realPath(fixture.archive("1.0.0"))}`);
  assertEquals((await Deno.stat(fixture.archive("1.0.0"))).mode! & 0o777, 0o600);
  assertEquals(await fixture.folder.listFiles("images"), ["line4-1.0.0.tar"]);
  await using containerd = await Containerd.start();
  // k3s imports all platforms, and releases with containerd 1.6 fail if a manifest is missing.
  const loaded = await containerd.ctr(["image", "import", "--all-platforms", "--no-unpack", fixture.archive("1.0.0")]);
  assertEquals(loaded.code, 0, loaded.stderr);
  const rows = (await containerd.ctr(["image", "ls"])).stdout.trim().split("\n").slice(1).map((row) =>
    row.split(/\s+/)
  );
  assertEquals(
    rows.map(([name, , digest]) => [name, digest]).sort(),
    Object.entries(MANIFESTS).map(([name, { descriptor }]) => [name, descriptor.digest]).sort(),
  );
});

peerTest("podman loads all images of the archive, and skopeo finds each", ["podman", "skopeo"], async () => {
  await using fixture = await createFixture(IMAGES);
  assertEquals((await fixture.import("1.0.0", "--quiet")).code, 0);
  await using tools = await ContainerTools.create();
  const loaded = await tools.podman(["load", "--input", fixture.archive("1.0.0")]);
  assertEquals(loaded.code, 0, loaded.stderr);
  const { stdout } = await tools.podman(["images", "--format", "{{.Repository}}:{{.Tag}}"]);
  assertEquals(stdout.trim().split("\n").sort(), Object.keys(IMAGES).sort());
  for (
    const [name, ref] of [["registry.test/team/index:1.0", "registry.test/team/index:1.0"], [
      "registry.test/team/single:1.0",
      "registry.test/team/single:1.0",
    ]] as const
  ) {
    const inspected = await tools.skopeo(["inspect", "--raw", `oci-archive:${fixture.archive("1.0.0")}:${ref}`]);
    assertEquals(computeDigest(inspected.stdout), MANIFESTS[name]!.descriptor.digest, inspected.stderr);
    const docker = await tools.skopeo(["inspect", `docker-archive:${fixture.archive("1.0.0")}:${name}`]);
    assertEquals(JSON.parse(docker.stdout).Architecture, ARCHITECTURE, docker.stderr);
  }
});

Deno.test("--images-dir: several platforms, an upgrade, a rollback and a removal replace the archive", async () => {
  const images = { "registry.test/team/index:1.0": INDEX };
  await using fixture = await createFixture(images, ["1.0.0", "1.1.0"], ALL);
  const files = () => fixture.folder.listFiles("images");
  assertEquals((await fixture.import("1.0.0", ALL)).code, 0);
  const text = new TextDecoder().decode((await Deno.readFile(fixture.archive("1.0.0"))).subarray(0, 4096));
  assertStringIncludes(text, INDEX.root.digest);
  const both = await fixture.import("1.0.0", "--platform=linux/amd64,linux/arm64");
  assertMatch(both.stdout, /^repaired line4@1\.0\.0$/m);
  assert(
    !new TextDecoder().decode((await Deno.readFile(fixture.archive("1.0.0"))).subarray(0, 4096)).includes(
      INDEX.root.digest,
    ),
  );
  const same = await fixture.import("1.0.0", "--platform=linux/amd64,linux/arm64");
  assertMatch(same.stdout, /nothing to do/);

  // An upgrade without the flag keeps the archive up to date.
  const upgraded = await fixture.crpe("import", "1.1.0.tgz", "--data=site", "--json");
  assertEquals(JSON.parse(upgraded.stdout)[0].imageFile, await Deno.realPath(fixture.archive("1.1.0")));
  assertEquals(await files(), ["line4-1.1.0.tar"]);
  assertEquals((await fixture.crpe("packages", "rollback", "line4", "--data=site")).code, 0);
  assertEquals(await files(), ["line4-1.0.0.tar"]);
  const dryRun = await fixture.crpe("packages", "remove", "line4", "--data=site", "--dry-run");
  assertStringIncludes(dryRun.stdout, `- ${await Deno.realPath(fixture.archive("1.0.0"))}`);
  assertEquals(await files(), ["line4-1.0.0.tar"]);
  const removed = await fixture.crpe("packages", "remove", "line4", "--data=site");
  assertEquals([removed.code, await files()], [0, []], removed.stderr);
  assertEquals((await fixture.folder.listFiles("site/kubepkg")).filter((name) => name.includes(".images")), []);
});

Deno.test("--images-dir leaves out an image for other platforms, and writes no file without images", async () => {
  const images = { "registry.test/team/index:1.0": INDEX, "registry.test/team/other:1.0": FOREIGN };
  await using fixture = await createFixture(images);
  const imported = await fixture.import("1.0.0");
  assertEquals(imported.code, 0, imported.stderr);
  assertMatch(imported.stderr, /warning: registry\.test\/team\/other:1\.0 is not in .*tar: it is for other platforms/);
  const none = await fixture.import("1.0.0", "--platform=linux/s390x");
  assertMatch(none.stderr, /warning: no image of line4@1\.0\.0 is for this platform/);
  assertEquals([none.code, await fixture.folder.listFiles("images")], [0, []]);
  assertMatch((await fixture.import("1.0.0", "--platform=linux/s390x")).stdout, /nothing to do/);
});

Deno.test("[77] --images-dir refuses a file that crpe did not write, and a folder that does not exist", async () => {
  await using fixture = await createFixture({
    "registry.test/team/single:1.0": IMAGES["registry.test/team/single:1.0"]!,
  }, [
    "1.0.0",
  ]);
  await fixture.folder.write("images/line4-1.0.0.tar", "of another program");
  const refused = await fixture.import("1.0.0");
  assertEquals(refused.code, 3);
  assertStringIncludes(refused.stderr, "line4-1.0.0.tar exists, and crpe did not write it");
  assertEquals(await fixture.folder.listFiles("site/docker"), []);
  assertEquals((await fixture.import("1.0.0", "--force")).code, 0);
  // A file that was changed afterwards is no longer crpe's.
  await fixture.folder.write("images/line4-1.0.0.tar", "of another program");
  assertEquals((await fixture.import("1.0.0")).code, 3);
  const removed = await fixture.crpe("packages", "remove", "line4", "--data=site");
  assertStringIncludes(removed.stdout, "was changed since crpe wrote it, and is left alone");
  assertEquals(await fixture.folder.listFiles("images"), ["line4-1.0.0.tar"]);

  const missing = await fixture.crpe("import", "1.0.0.tgz", "--data=site", "--images-dir=nowhere");
  assertEquals(missing.code, 1);
  assertMatch(missing.stderr, /there is no folder .*nowhere; create it with mkdir -p/);
  const alone = await fixture.crpe("import", "1.0.0.tgz", "--data=site", "--platform=linux/arm64");
  assertEquals(alone.code, 2, alone.stderr);
});
