import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { Containerd } from "../support/containerd.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { buildArtifact, buildImage, buildIndex, type BuiltImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { OTHER_USER } from "../support/other_user.ts";
import { findPeer, peerTest, runPeer } from "../support/peers.ts";
import { makeTar } from "../support/tar.ts";

const platformImage = (platform: string) => buildImage({ platform, files: [{ "a.txt": platform }, { "b.txt": "b" }] });
const INDEX = "registry.test/team/index:1.0";
const SINGLE = "registry.test/team/single:2";
const PLAIN = "docker.io/library/plain:3";
const IMAGES: Readonly<Record<string, BuiltImage>> = {
  [INDEX]: buildIndex(["linux/amd64", "linux/arm64"].map(platformImage)),
  [SINGLE]: platformImage("linux/amd64"),
  [PLAIN]: buildImage({ format: "docker" }),
};
const NAMES = Object.keys(IMAGES);

type Fixture = Awaited<ReturnType<typeof createPackFixture>>;

/** Lists the images of a data folder: reference → digest. */
async function imagesOf(fixture: Fixture, data: string): Promise<Record<string, string>> {
  const { stdout } = await fixture.crpe("images", `--data=${data}`, "--json");
  const images = JSON.parse(stdout) as { reference: string; digest: string; isComplete: boolean }[];
  assert(images.every(({ isComplete }) => isComplete), stdout);
  return Object.fromEntries(images.map(({ reference, digest }) => [reference, digest]));
}

const DIGESTS = Object.fromEntries(Object.entries(IMAGES).map(([name, { root }]) => [name, root.digest]).sort());

Deno.test("crpe load reads what crpe save wrote, compressed or not, and gives the same digests", async () => {
  await using fixture = await createPackFixture(IMAGES);
  const saved = await fixture.crpe("save", ...NAMES, "-o", "all.tar", "--data=source");
  assertEquals(saved.code, 0, saved.stderr);
  const tar = await Deno.readFile(`${fixture.folder.path}/all.tar`);
  const gzip = new Blob([tar]).stream().pipeThrough(new CompressionStream("gzip"));
  await Deno.writeFile(`${fixture.folder.path}/all.tgz`, gzip);
  for (const [data, inputs, stdin] of [["a", ["all.tar"]], ["b", ["-i", "all.tgz"]], ["c", [], tar]] as const) {
    const loaded = await runCrpe(["load", ...inputs, `--data=${data}`, "--json"], { ...fixture.processOptions, stdin });
    assertEquals(loaded.code, 0, loaded.stderr);
    assertEquals(JSON.parse(loaded.stdout).length, NAMES.length);
    assertEquals(await imagesOf(fixture, data), DIGESTS);
    assertEquals((await fixture.crpe("verify", `--data=${data}`)).code, 0);
  }
});

peerTest("skopeo reads an archive of crpe save as a user who is not root", ["root", "setpriv", "skopeo"], async () => {
  await using fixture = await createPackFixture(IMAGES);
  const { path } = fixture.folder;
  assertEquals((await fixture.crpe("save", SINGLE, "-o", "one.tar", "--data=source")).code, 0);
  await Deno.chmod(path, 0o755);
  await Deno.chmod(`${path}/one.tar`, 0o644);
  const skopeo = [findPeer("skopeo")!, "inspect", `oci-archive:${path}/one.tar:2`];
  const args = [`--reuid=${OTHER_USER}`, `--regid=${OTHER_USER}`, "--clear-groups", ...skopeo];
  const { code, stdout, stderr } = await runPeer("setpriv", args, { env: { HOME: path } });
  assertEquals(code, 0, stderr);
  assertEquals(JSON.parse(stdout).Digest, IMAGES[SINGLE]!.root.digest);
});

Deno.test("crpe load goes on after a file that fails, names it, and exits with the worst status", async () => {
  await using fixture = await createPackFixture(IMAGES);
  assertEquals((await fixture.crpe("save", SINGLE, "-o", "one.tar", "--data=source")).code, 0);
  // Another user may load it: the umask decides.
  await fixture.folder.write("by-umask", "");
  const modeOf = async (name: string) => (await Deno.stat(`${fixture.folder.path}/${name}`)).mode! & 0o777;
  assertEquals(await modeOf("one.tar"), await modeOf("by-umask"));
  await fixture.folder.write("damaged.tar", (await Deno.readFile(`${fixture.folder.path}/one.tar`)).subarray(0, 2000));
  const loaded = await fixture.crpe("load", "missing.tar", "damaged.tar", "one.tar", "--data=target", "--json");
  assertEquals(loaded.code, 4);
  assertEquals(
    JSON.parse(loaded.stdout).map((it: Record<string, unknown>) => it.item ?? it.reference),
    ["missing.tar", "damaged.tar", SINGLE],
  );
  assertStringIncludes(loaded.stderr, "2 of 3 failed: missing.tar, damaged.tar\n");
  assertEquals(await imagesOf(fixture, "target"), { [SINGLE]: IMAGES[SINGLE]!.root.digest });
});

Deno.test("crpe load refuses a layer that does not have the digest of its config, and tags nothing", async () => {
  await using fixture = await createPackFixture({});
  const id = "a".repeat(64);
  const config = {
    os: "linux",
    architecture: "amd64",
    rootfs: { type: "layers", diff_ids: [`sha256:${"0".repeat(64)}`] },
  };
  const manifest = [{ Config: `${id}.json`, RepoTags: ["app:1"], Layers: [`${id}/layer.tar`] }];
  const files = { [`${id}/layer.tar`]: makeTar({ a: "a" }), [`${id}.json`]: JSON.stringify(config) };
  await fixture.folder.write("a.tar", makeTar({ ...files, "manifest.json": JSON.stringify(manifest) }));
  const loaded = await fixture.crpe("load", "a.tar", "--data=target");
  assertEquals(loaded.code, 4);
  assertStringIncludes(loaded.stderr, "is damaged");
  assertEquals(await imagesOf(fixture, "target"), {});
});

Deno.test("crpe save has the chosen platform, and says what the store does not hold", async () => {
  await using fixture = await createPackFixture(IMAGES);
  const saved = await fixture.crpe("save", INDEX, "-o", "arm.tar", "--platform=linux/arm64", "--data=source");
  assertEquals(saved.code, 0, saved.stderr);
  assertEquals((await fixture.crpe("load", "arm.tar", "--data=target")).code, 0);
  assertEquals(await imagesOf(fixture, "target"), { [INDEX]: platformImage("linux/arm64").root.digest });
  for (const args of [["missing:1"], [SINGLE, "missing:1"]]) {
    const failed = await fixture.crpe("save", ...args, "-o", "no.tar", "--data=source");
    assertEquals(failed.code, 1);
    assertStringIncludes(failed.stderr, "docker.io/library/missing:1: it is not in the store; pull it first");
  }
  assert(!(await fixture.folder.listFiles()).includes("no.tar"));
});

Deno.test("a docker save archive that is given as a bundle is named, with exit status 1", async () => {
  await using fixture = await createPackFixture(IMAGES);
  assertEquals((await fixture.crpe("save", SINGLE, "-o", "image.tar", "--data=source")).code, 0);
  await fixture.folder.write("docker.tar", makeTar({ [`${"a".repeat(64)}/VERSION`]: "1.0", "manifest.json": "[]" }));
  await fixture.folder.write("chart.tgz", makeTar({ "web/Chart.yaml": "name: web" }));
  await fixture.folder.write("notes.tar", makeTar({ "notes.txt": "notes" }));
  await fixture.folder.write("image.zip", new Uint8Array([0x50, 0x4b, 3, 4, 20]));
  await fixture.folder.write("layout/oci-layout", "{}");
  const rows = [
    ["image.tar", "crpe load image.tar"],
    ["docker.tar", "this is a docker save archive"],
    ["chart.tgz", "this is a Helm chart"],
    ["notes.tar", "this is a tar archive, but not a bundle"],
    ["image.zip", "unpack it first: unzip image.zip"],
    ["layout", "it is the folder of an OCI image layout: crpe load layout"],
  ];
  for (const [file, message] of rows) {
    for (const command of ["inspect", "verify", "import"]) {
      const result = await fixture.crpe(command, file!, ...(command === "inspect" ? [] : ["--data=target"]));
      assertEquals(result.code, 1, `${command} ${file}: ${result.stderr}`);
      assertStringIncludes(result.stderr, message!);
    }
  }
});

peerTest("crpe load reads the archives of podman save and skopeo copy", ["podman", "skopeo"], async () => {
  await using fixture = await createPackFixture(IMAGES);
  await using tools = await ContainerTools.create();
  const at = (name: string) => `${fixture.folder.path}/${name}`;
  assertEquals((await fixture.crpe("save", SINGLE, PLAIN, "-o", "all.tar", "--data=source")).code, 0);
  const podman = await tools.podman(["load", "--input", at("all.tar")]);
  assertEquals(podman.code, 0, podman.stderr);
  const written = [
    await tools.podman(["save", "-o", at("docker.tar"), SINGLE]),
    await tools.podman(["save", "--multi-image-archive", "-o", at("multi.tar"), SINGLE, PLAIN]),
    await tools.podman(["save", "--format=oci-archive", "-o", at("oci.tar"), SINGLE]),
    await tools.skopeo(["copy", `oci-archive:${at("all.tar")}:2`, `docker-archive:${at("skopeo.tar")}:${SINGLE}`]),
    await tools.skopeo(["copy", `oci-archive:${at("all.tar")}:2`, `oci:${at("layout")}:2`]),
  ];
  for (const { code, stderr } of written) assertEquals(code, 0, stderr);
  for (const file of ["docker.tar", "multi.tar", "oci.tar", "skopeo.tar", "layout"]) {
    const name = file === "layout" ? ["--name=registry.test/team/single"] : [];
    const loaded = await fixture.crpe("load", file, `--data=from-${file}`, ...name);
    assertEquals(loaded.code, 0, `${file}: ${loaded.stderr}`);
    assertEquals(
      Object.keys(await imagesOf(fixture, `from-${file}`)),
      file === "multi.tar" ? [PLAIN, SINGLE] : [SINGLE],
    );
    assertEquals((await fixture.crpe("verify", `--data=from-${file}`)).code, 0);
  }
  const unnamed = await fixture.crpe("load", "layout", "--data=unnamed");
  assertEquals(unnamed.code, 1);
  assertStringIncludes(unnamed.stderr, "it names no image, only the tag 2; give the name with --name");
});

Deno.test("[113] crpe save names an artifact that docker and podman leave out, and podman loads the image beside it", async () => {
  const chart = "registry.test/team/chart:1";
  await using fixture = await createPackFixture({
    ...IMAGES,
    [chart]: buildArtifact(IMAGES[INDEX]!.root, "application/vnd.test"),
  });
  const saved = await fixture.crpe("save", chart, SINGLE, "-o", "mixed.tar", "--data=source");
  assertEquals(saved.code, 0, saved.stderr);
  assertStringIncludes(
    saved.stderr,
    `docker load and podman load leave out what is no image, or lacks layers: ${chart}\n`,
  );
  assertEquals((await fixture.crpe("load", "mixed.tar", "--data=target")).code, 0);
  assertEquals(Object.keys(await imagesOf(fixture, "target")), [chart, SINGLE]);
  if (findPeer("podman") === undefined) return;
  await using tools = await ContainerTools.create();
  const podman = await tools.podman(["load", "--input", `${fixture.folder.path}/mixed.tar`]);
  assertEquals(podman.code, 0, podman.stderr);
  assertStringIncludes(podman.stdout, SINGLE);
});

peerTest(
  "ctr image import reads an archive of crpe save, and crpe load one of ctr",
  ["containerd", "ctr"],
  async () => {
    const { root } = IMAGES[SINGLE]!;
    await using fixture = await createPackFixture({
      ...IMAGES,
      [`registry.test/team/single:${root.digest.replace(":", "-")}.sig`]: buildImage({ files: { "sig.json": "{}" } }),
      "registry.test/team/single:sbom": buildArtifact(root, "application/spdx+json"),
    });
    await using containerd = await Containerd.start();
    const at = (name: string) => `${fixture.folder.path}/${name}`;
    const saved = await fixture.crpe("save", ...NAMES, "-o", "all.tar", "--data=source");
    assertEquals(saved.code, 0, saved.stderr);
    assertStringIncludes(saved.stdout, "  2 referrers\n");
    const imported = await containerd.ctr(["image", "import", "--no-unpack", "--all-platforms", at("all.tar")]);
    assertEquals(imported.code, 0, imported.stderr);
    // It takes no referrer for an image.
    const { stdout: names } = await containerd.ctr(["image", "list", "--quiet"]);
    assertEquals(names.trim().split("\n").sort(), NAMES.toSorted());
    const exported = await containerd.ctr(["image", "export", "--all-platforms", at("ctr.tar"), ...NAMES]);
    assertEquals(exported.code, 0, exported.stderr);
    const loaded = await fixture.crpe("load", "ctr.tar", "--data=target");
    assertEquals(loaded.code, 0, loaded.stderr);
    assertEquals(await imagesOf(fixture, "target"), DIGESTS);
  },
);

Deno.test("crpe load takes the images of a bundle", async () => {
  await using fixture = await createPackFixture(IMAGES);
  const packed = await fixture.pack(makeKubePkg(Object.fromEntries(NAMES.map((name) => [name, ""]))), "a");
  assertEquals(packed.code, 0, packed.stderr);
  const loaded = await fixture.crpe("load", "a.tgz", "--data=target");
  assertEquals(loaded.code, 0, loaded.stderr);
  assertEquals(await imagesOf(fixture, "target"), DIGESTS);
});

Deno.test("crpe pull goes on after an image that fails, also of a list: each is named, and --json is an array", async () => {
  await using fixture = await createPackFixture(IMAGES);
  await fixture.folder.write("images.txt", `# the site\n${SINGLE}\n\n${PLAIN} # and this\n`);
  const pulled = await fixture.crpe("pull", "missing:1", "-f", "images.txt", "--data=source", "--offline", "--json");
  assertEquals(pulled.code, 1);
  assertEquals(
    JSON.parse(pulled.stdout).map((it: Record<string, unknown>) => it.item ?? it.reference),
    ["missing:1", SINGLE, PLAIN],
  );
  assertStringIncludes(pulled.stderr, "crpe: 1 of 3 failed: missing:1\n");
  const nothing = await fixture.crpe("pull", "--data=source", "--offline");
  assertEquals(nothing.code, 2);
  await Deno.truncate(`${fixture.folder.path}/images.txt`, 2 ** 30);
  const huge = await fixture.crpe("pull", "-f", "images.txt", "--data=source", "--offline");
  assertEquals([huge.code, huge.stderr], [4, "crpe: Cannot read images.txt: it has more than 1048576 bytes\n"]);
});
