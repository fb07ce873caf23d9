import { computeDigest } from "../../lib/oci/digest.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { Containerd } from "../support/containerd.ts";
import { buildImage, buildIndex, type BuiltImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest } from "../support/peers.ts";

// One that is for this machine and another, one for this machine alone, one in Docker's formats; a bundle does not have
// the third platform of the index.
const ARCHITECTURE = Deno.build.arch === "aarch64" ? "arm64" : "amd64";
const platformImage = (platform: string) => buildImage({ platform, files: [{ "a.txt": platform }, { "b.txt": "b" }] });
const IMAGES: Readonly<Record<string, BuiltImage>> = {
  "registry.test/team/index:1.0": buildIndex(["linux/amd64", "linux/arm64", "linux/arm/v7"].map(platformImage)),
  "registry.test/team/single:2": platformImage(`linux/${ARCHITECTURE}`),
  "docker.io/library/plain:3": buildImage({ platform: `linux/${ARCHITECTURE}`, format: "docker" }),
};

/** An office with `a.tar`, a bundle of the images as it is after gunzip. */
async function createBundle(names: readonly string[] = Object.keys(IMAGES)) {
  const fixture = await createPackFixture(IMAGES);
  const packed = await fixture.pack(makeKubePkg(Object.fromEntries(names.map((name) => [name, ""]))), "a");
  assertEquals(packed.code, 0, packed.stderr);
  assert((await new Deno.Command("gunzip", { args: ["-k", "a.tgz"], cwd: fixture.folder.path }).output()).success);
  return { path: `${fixture.folder.path}/a.tar`, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
}

/** The manifest of an image for this machine. */
function ownManifest(image: BuiltImage) {
  return image.manifests.length === 1 ? image.manifests[0]! : image.manifests[ARCHITECTURE === "amd64" ? 0 : 1]!;
}

function contentOf({ bytes }: { bytes: Uint8Array }): { config: { digest: string }; layers: { digest: string }[] } {
  return JSON.parse(new TextDecoder().decode(bytes));
}

peerTest("ctr image import reads a bundle, digests and all", ["containerd", "ctr"], async () => {
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
      // Text alone is compared; that a layer is what it is called containerd has seen to.
      const { code, stdout, stderr } = await containerd.ctr(["content", "get", digest]);
      assertEquals(code, 0, stderr);
      if (!layers.some((layer) => layer.digest === digest)) assertEquals(computeDigest(stdout), digest);
    }
  }
});

peerTest("podman load reads a bundle with one image, and has its manifest and layers", ["podman"], async () => {
  for (const [name, image] of Object.entries(IMAGES)) {
    await using bundle = await createBundle([name]);
    await using tools = await ContainerTools.create();
    const loaded = await tools.podman(["load", "--input", bundle.path]);
    assertEquals(loaded.code, 0, loaded.stderr);
    const { stdout: id } = await tools.podman(["images", "--quiet", "--no-trunc"]);
    const inspected = await tools.podman(["image", "inspect", id.trim()]);
    assertEquals(inspected.code, 0, inspected.stderr);
    const [{ RepoDigests, RepoTags, RootFS, Id }] = JSON.parse(inspected.stdout);
    const manifest = ownManifest(image);
    const { config, layers } = contentOf(manifest);
    assertEquals([RepoTags, `sha256:${Id}`, RootFS.Layers.length], [[name], config.digest, layers.length]);
    const repository = name.slice(0, name.lastIndexOf(":"));
    const digests = new Set([image.root.digest, manifest.descriptor.digest]);
    assertEquals(RepoDigests.toSorted(), [...digests].map((digest) => `${repository}@${digest}`).sort());
  }
});

peerTest("skopeo copies the images of a bundle, manifests byte for byte", ["skopeo"], async () => {
  await using tools = await ContainerTools.create();
  for (const [i, [name, image]] of Object.entries(IMAGES).entries()) {
    // By their tags skopeo finds only images of OCI's media types; one alone it takes as it is.
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
