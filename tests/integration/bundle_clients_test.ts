import { computeDigest } from "../../lib/oci/digest.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { Containerd } from "../support/containerd.ts";
import { buildImage, buildIndex, type BuiltImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest } from "../support/peers.ts";

// An index with this machine's platform and others, an image for this machine only, and one in Docker's formats.
// Bundles are packed without the third platform of the index.
const ARCHITECTURE = Deno.build.arch === "aarch64" ? "arm64" : "amd64";
const platformImage = (platform: string) => buildImage({ platform, files: [{ "a.txt": platform }, { "b.txt": "b" }] });
const IMAGES: Readonly<Record<string, BuiltImage>> = {
  "registry.test/team/index:1.0": buildIndex(["linux/amd64", "linux/arm64", "linux/arm/v7"].map(platformImage)),
  "registry.test/team/single:2": platformImage(`linux/${ARCHITECTURE}`),
  "docker.io/library/plain:3": buildImage({ platform: `linux/${ARCHITECTURE}`, format: "docker" }),
};

/** Packs a bundle of the images, and unzips it. @returns the path of the tar */
async function createBundle(names: readonly string[] = Object.keys(IMAGES)) {
  const fixture = await createPackFixture(IMAGES);
  const packed = await fixture.pack(makeKubePkg(Object.fromEntries(names.map((name) => [name, ""]))), "a");
  assertEquals(packed.code, 0, packed.stderr);
  assert((await new Deno.Command("gunzip", { args: ["-k", "a.tgz"], cwd: fixture.folder.path }).output()).success);
  return { path: `${fixture.folder.path}/a.tar`, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
}

/** Finds the manifest of an image for this machine. */
function ownManifest(image: BuiltImage) {
  return image.manifests.length === 1 ? image.manifests[0]! : image.manifests[ARCHITECTURE === "amd64" ? 0 : 1]!;
}

function contentOf({ bytes }: { bytes: Uint8Array }): { config: { digest: string }; layers: { digest: string }[] } {
  return JSON.parse(new TextDecoder().decode(bytes));
}

peerTest("ctr image import reads a bundle with its names and digests", ["containerd", "ctr", "gunzip"], async () => {
  await using bundle = await createBundle();
  await using containerd = await Containerd.start();
  const imported = await containerd.ctr(["image", "import", "--no-unpack", bundle.path]);
  assertEquals(imported.code, 0, imported.stderr);

  const listed = await containerd.ctr(["image", "ls"]);
  const rows = listed.stdout.trim().split("\n").slice(1).map((line) => line.split(/\s+/));
  assertEquals(
    rows.map(([name, _type, digest]) => [name, digest]).sort(),
    Object.entries(IMAGES).map(([name, image]) => [name, image.root.digest]).sort(),
  );
  for (const image of Object.values(IMAGES)) {
    const manifest = ownManifest(image);
    const { config, layers } = contentOf(manifest);
    for (
      const digest of [
        image.root.digest,
        manifest.descriptor.digest,
        config.digest,
        ...layers.map((it) => it.digest),
      ]
    ) {
      // Only text is compared here: containerd itself verifies the digests of layers.
      const { code, stdout, stderr } = await containerd.ctr(["content", "get", digest]);
      assertEquals(code, 0, stderr);
      if (!layers.some((layer) => layer.digest === digest)) assertEquals(computeDigest(stdout), digest);
    }
  }
});

// podman reads docker's manifest.json: it makes a manifest of its own from the config and the layers.
peerTest(
  "podman load reads all images of a bundle with their names, configs and layers",
  ["podman", "gunzip"],
  async () => {
    await using bundle = await createBundle();
    await using tools = await ContainerTools.create();
    const loaded = await tools.podman(["load", "--input", bundle.path]);
    assertEquals(loaded.code, 0, loaded.stderr);
    for (const [name, image] of Object.entries(IMAGES)) {
      const inspected = await tools.podman(["image", "inspect", name]);
      assertEquals(inspected.code, 0, inspected.stderr);
      const [{ RepoTags, RootFS, Id }] = JSON.parse(inspected.stdout);
      // docker loads one platform of an image: the first one of its index.
      const { config, layers } = contentOf(image.manifests[0]!);
      assert(RepoTags.includes(name));
      assertEquals(`sha256:${Id}`, config.digest);
      assertEquals(RootFS.Layers.length, layers.length);
    }
  },
);

peerTest("skopeo copies the images of a bundle with unchanged manifests", ["skopeo", "gunzip"], async () => {
  await using tools = await ContainerTools.create();
  for (const [i, [name, image]] of Object.entries(IMAGES).entries()) {
    // skopeo finds images by tag only if they have OCI's media types; a single image needs no tag.
    const isDocker = image.root.mediaType.includes("docker");
    await using bundle = await createBundle(isDocker ? [name] : undefined);
    const tag = isDocker ? "" : name.slice(name.lastIndexOf(":"));
    const target = `${tools.home}/${i}`;
    const copied = await tools.skopeo(["copy", `oci-archive:${bundle.path}${tag}`, `dir:${target}`]);
    assertEquals(copied.code, 0, copied.stderr);
    const manifest = ownManifest(image);
    assertEquals(await Deno.readFile(`${target}/manifest.json`), manifest.bytes);
    for (const { digest } of contentOf(manifest).layers) {
      assertEquals(computeDigest(await Deno.readFile(`${target}/${digest.slice(7)}`)), digest);
    }
  }
});

// app:1.0 and worker:1.0: `ref.name` is the full reference of each.
const SAME_TAG = { "registry.test/team/app:1.0": "a", "registry.test/team/worker:1.0": "b" };

peerTest(
  "[87] clients find each of two images with one tag by its name",
  ["skopeo", "containerd", "ctr", "gunzip"],
  async () => {
    const images = Object.fromEntries(
      Object.entries(SAME_TAG).map(([name, text]) => {
        return [name, buildImage({ platform: `linux/${ARCHITECTURE}`, files: [{ "a.txt": text }] })];
      }),
    );
    await using fixture = await createPackFixture(images);
    const packed = await fixture.pack(
      makeKubePkg(Object.fromEntries(Object.keys(images).map((name) => [name, ""]))),
      "a",
    );
    assertEquals(packed.code, 0, packed.stderr);
    assert((await new Deno.Command("gunzip", { args: ["-k", "a.tgz"], cwd: fixture.folder.path }).output()).success);
    const path = `${fixture.folder.path}/a.tar`;
    await using tools = await ContainerTools.create();
    for (const [name, image] of Object.entries(images)) {
      const inspected = await tools.skopeo(["inspect", "--raw", `oci-archive:${path}:${name}`]);
      assertEquals(computeDigest(inspected.stdout), image.root.digest, inspected.stderr);
    }
    await using containerd = await Containerd.start();
    const imported = await containerd.ctr(["image", "import", "--no-unpack", path]);
    assertEquals(imported.code, 0, imported.stderr);
    const listed = await containerd.ctr(["image", "ls", "--quiet"]);
    assertEquals(listed.stdout.trim().split("\n").sort(), Object.keys(images).sort());
  },
);
