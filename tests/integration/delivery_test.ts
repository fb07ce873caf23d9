import { computeDigest } from "../../lib/oci/digest.ts";
import { parsePlatform } from "../../lib/oci/platform.ts";
import { parseReference } from "../../lib/oci/reference.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { makeImage } from "../../scripts/delivery/make_image.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../support/assert.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { Containerd } from "../support/containerd.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { buildImage, buildIndex } from "../support/images.ts";
import { peerTest, runPeer } from "../support/peers.ts";
import { writeImage } from "../support/put_image.ts";
import { makeTar } from "../support/tar.ts";
import { TestFolder } from "../support/test_folder.ts";

// What scripts/release makes besides archives, of a small executable. scripts/delivery/check tries the real ones.

const ROOT = new URL("../../", import.meta.url).pathname;
const PLATFORMS = ["linux/amd64", "linux/arm64"];
const TIME = "@1700000000";

async function runScript(name: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await new Deno.Command("bash", { args: [`${ROOT}scripts/delivery/${name}`, ...args] })
    .output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
}

async function digestOf(path: string): Promise<string> {
  return computeDigest(await Deno.readFile(path));
}

/** A folder as scripts/release packs it. Its files are as new as this call. */
async function makeUnpacked(folder: TestFolder, name: string): Promise<string> {
  const unpacked = `${folder.path}/${name}`;
  await Deno.chmod(await folder.write(`${name}/crpe`, "#!/bin/sh\necho crpe\n"), 0o755);
  for (const page of ["LICENSE", "README.md"]) await Deno.copyFile(`${ROOT}${page}`, `${unpacked}/${page}`);
  for await (const { name } of Deno.readDir(`${ROOT}scripts/service`)) {
    await Deno.copyFile(`${ROOT}scripts/service/${name}`, `${unpacked}/${name}`);
  }
  for (const file of ["man/man1/crpe.1", "completions/crpe", "completions/_crpe", "completions/crpe.fish"]) {
    await folder.write(`${name}/${file}`, file);
  }
  return unpacked;
}

peerTest("the Debian and npm packages of the same input have the same bytes", ["bash", "tar", "gzip"], async () => {
  await using folder = await TestFolder.create();
  const found: string[][] = [];
  for (const name of ["one", "two"]) {
    const unpacked = await makeUnpacked(folder, name);
    // Another mode and time do not count.
    if (name === "two") await Deno.chmod(`${unpacked}/README.md`, 0o600);
    const out = `${folder.path}/out-${name}`;
    await Deno.mkdir(out);
    await runScript("deb", unpacked, "arm64", "1.0.0-rc.1", TIME, `${out}/crpe.deb`);
    await runScript("npm", unpacked, "aarch64-apple-darwin", "1.0.0", TIME, out);
    await runScript("npm", "main", "1.0.0", TIME, out, "aarch64-apple-darwin", "x86_64-pc-windows-msvc");
    const names = await folder.listFiles(`out-${name}`);
    assertEquals(names, ["crpe-1.0.0.tgz", "crpe-darwin-arm64-1.0.0.tgz", "crpe.deb"]);
    found.push(await Promise.all(names.map((file) => digestOf(`${out}/${file}`))));
  }
  assertEquals(found[0], found[1]);
  const main = await runPeer("tar", ["-xzOf", `${folder.path}/out-one/crpe-1.0.0.tgz`, "package/package.json"]);
  const { bin, optionalDependencies } = JSON.parse(main.stdout);
  assertEquals(bin, { crpe: "crpe.js" });
  assertEquals(optionalDependencies, { "@crpe/darwin-arm64": "1.0.0", "@crpe/win32-x64": "1.0.0" });
  const platform = await runPeer("tar", [
    "-xzOf",
    `${folder.path}/out-one/crpe-darwin-arm64-1.0.0.tgz`,
    "package/package.json",
  ]);
  const { name, os, cpu } = JSON.parse(platform.stdout);
  assertEquals([name, os, cpu], ["@crpe/darwin-arm64", ["darwin"], ["arm64"]]);
});

/** A data folder with a base image, and the image of a release. @returns the path of the archive that crpe save writes */
async function makeArchive(folder: TestFolder, name: string): Promise<string> {
  const data = `${folder.path}/${name}`;
  const base = buildIndex(PLATFORMS.map((platform) => buildImage({ platform, format: "docker" })), {
    format: "docker",
    attestation: true,
  });
  await writeImage(new DiskStore(data), "base.test/base:1", base);
  const layers = await Promise.all(PLATFORMS.map(async (platform) => ({
    platform: parsePlatform(platform),
    path: await folder.write(`${name}.${platform.replace("/", "-")}.tar`, makeTar({ crpe: `crpe for ${platform}` })),
  })));
  await makeImage({
    data,
    base: parseReference("base.test/base:1"),
    image: parseReference("crpe.test/crpe:1.0.0"),
    time: "2026-01-31T12:00:00Z",
    labels: { "org.opencontainers.image.version": "1.0.0" },
    layers,
  });
  const archive = `${folder.path}/${name}.oci.tar`;
  const saved = await runCrpe(["save", "-q", "crpe.test/crpe:1.0.0", `--data=${data}`, "-o", archive]);
  assertEquals(saved.code, 0, saved.stderr);
  return archive;
}

peerTest(
  "skopeo, podman and containerd take the image of a release, with its user, entry point, volume and labels",
  ["skopeo", "podman", "containerd", "ctr"],
  async () => {
    await using folder = await TestFolder.create();
    await using tools = await ContainerTools.create();
    const archive = await makeArchive(folder, "one");
    assertEquals(await digestOf(archive), await digestOf(await makeArchive(folder, "two")));
    for (const platform of PLATFORMS) {
      const [, architecture = ""] = platform.split("/");
      const inspected = await tools.skopeo([
        `--override-arch=${architecture}`,
        ...["inspect", "--config", `oci-archive:${archive}`],
      ]);
      assertEquals(inspected.code, 0, inspected.stderr);
      const { config, rootfs, architecture: found } = JSON.parse(inspected.stdout);
      assertEquals([found, rootfs.diff_ids.length], [architecture, 2]);
      assertEquals(
        [config.User, config.Entrypoint, config.Cmd, config.Volumes, config.Labels["org.opencontainers.image.version"]],
        ["65532:65532", ["/crpe"], ["registry"], { "/data": {} }, "1.0.0"],
      );
      assertStringIncludes(config.Env.join(), "STORAGE_ROOT=/data");
    }
    const loaded = await tools.podman(["load", "--input", archive]);
    assertEquals(loaded.code, 0, loaded.stderr);
    await using containerd = await Containerd.start();
    const imported = await containerd.ctr(["image", "import", "--all-platforms", "--no-unpack", archive]);
    assertEquals(imported.code, 0, imported.stderr);
    assertStringIncludes((await containerd.ctr(["image", "list"])).stdout, "linux/amd64,linux/arm64");
  },
);

Deno.test("the image of a release needs a base for each of its platforms", async () => {
  await using folder = await TestFolder.create();
  const data = `${folder.path}/data`;
  await writeImage(new DiskStore(data), "base.test/base:1", buildImage({ platform: "linux/amd64" }));
  const layers = [{
    platform: parsePlatform("linux/arm64"),
    path: await folder.write("layer.tar", makeTar({ a: "" })),
  }];
  const input = { data, image: parseReference("crpe.test/crpe:1"), time: "", labels: {}, layers };
  const make = (base: string) => makeImage({ ...input, base: parseReference(base) });
  await assertRejects(() => make("base.test/base:1"), Error, "it has no image for linux/arm64");
  await assertRejects(() => make("base.test/base:2"), Error, "2 is not in");
  assert(await new DiskStore(data).resolve("crpe.test/crpe", "1") === undefined);
});
