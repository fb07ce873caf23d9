import { createRegistryHandler } from "../../../lib/registry/handler.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { ContainerTools } from "../../support/container_tools.ts";
import { startDistribution, TEST_PASSWORD } from "../../support/distribution.ts";
import { buildImage, buildIndex, type BuiltImage } from "../../support/images.ts";
import { makeLargeLayer } from "../../support/large_blob.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { type PeerResult, peerTest, runPeer } from "../../support/peers.ts";
import { pushImage, writeImage } from "../../support/put_image.ts";

const amd64 = buildImage({ files: [{ "etc/name": "amd64", "bin/hello": "hello" }, { "etc/more": "more" }] });
const arm64 = buildImage({ platform: "linux/arm64", files: { "etc/name": "arm64" }, layerCompression: "none" });
const images: [string, BuiltImage][] = [
  ["image", amd64],
  ["index", buildIndex([amd64, arm64], { attestation: true })],
  ["zstd", buildImage({ layerCompression: "zstd" })],
  [
    "docker",
    buildIndex([buildImage({ format: "docker" }), buildImage({ format: "docker", platform: "linux/arm/v7" })], {
      format: "docker",
    }),
  ],
  ["large", buildImage({ largeLayer: makeLargeLayer(5_000_000) })],
];

/** Serves the images as tags of `quay.io/team/app`. */
async function serve(): Promise<{ host: string } & AsyncDisposable> {
  const store = new MemoryStore();
  for (const [tag, image] of images) await writeImage(store, `quay.io/team/app:${tag}`, image);
  const options = { hostname: "127.0.0.1", port: 0, onListen: () => {} };
  const server = Deno.serve(options, createRegistryHandler(store));
  const { port } = server.addr as Deno.NetAddr;
  return { host: `127.0.0.1:${port}`, [Symbol.asyncDispose]: () => server.shutdown() };
}

function check({ code, stdout, stderr }: PeerResult): string {
  assert(code === 0, `exit status ${code}: ${stderr}`);
  return stdout;
}

peerTest("skopeo copies every kind of image unchanged", ["skopeo"], async () => {
  await using registry = await serve();
  await using tools = await ContainerTools.create();
  for (const [tag, { root, manifests, blobs, largeBlobs }] of images) {
    const folder = `${tools.home}/${tag}`;
    check(await tools.skopeo(["copy", "--all", `docker://${registry.host}/quay.io/team/app:${tag}`, `dir:${folder}`]));
    assertEquals(await Deno.readFile(`${folder}/manifest.json`), manifests.at(-1)!.bytes);
    for (const [digest, bytes] of blobs) {
      assertEquals(await Deno.readFile(`${folder}/${digest.slice(digest.indexOf(":") + 1)}`), bytes, digest);
    }
    for (const { digest, size } of largeBlobs.values()) {
      assertEquals((await Deno.stat(`${folder}/${digest.slice(digest.indexOf(":") + 1)}`)).size, size);
    }
    const raw = check(
      await tools.skopeo(["inspect", "--raw", `docker://${registry.host}/quay.io/team/app@${root.digest}`]),
    );
    assertEquals(raw, new TextDecoder().decode(manifests.at(-1)!.bytes));
  }
  const tags = check(await tools.skopeo(["list-tags", `docker://${registry.host}/quay.io/team/app`]));
  assertEquals(JSON.parse(tags).Tags, images.map(([tag]) => tag).sort());
});

peerTest("podman pulls every kind of image through a mirror configuration", ["podman"], async () => {
  await using registry = await serve();
  await using tools = await ContainerTools.create({
    registriesConf: `[[registry]]
prefix = "quay.io"
location = "${registry.host}/quay.io"
insecure = true
`,
  });
  for (const [tag] of images) {
    check(await tools.podman(["pull", `quay.io/team/app:${tag}`]));
  }
  const listed = JSON.parse(check(await tools.podman(["image", "ls", "--format", "json"]))) as { Names: string[] }[];
  // podman lists an image with several tags once per tag, each time with all of its tags.
  assertEquals(
    [...new Set(listed.flatMap(({ Names }) => Names))].sort(),
    images.map(([tag]) => `quay.io/team/app:${tag}`).sort(),
  );
  const { code, stderr } = await tools.podman(["pull", "quay.io/team/app:none"]);
  assertEquals([code !== 0, stderr.includes("manifest unknown")], [true, true], stderr);
});

peerTest("umoci unpacks the images of the tests", ["skopeo", "umoci"], async () => {
  await using registry = await serve();
  await using tools = await ContainerTools.create();
  const source = `docker://${registry.host}/quay.io/team/app:image`;
  check(await tools.skopeo(["copy", source, `oci:${tools.home}/layout:image`]));
  const args = ["unpack", "--rootless", "--image", `${tools.home}/layout:image`, `${tools.home}/bundle`];
  check(await runPeer("umoci", args, { env: { HOME: tools.home } }));
  assertEquals(await Deno.readTextFile(`${tools.home}/bundle/rootfs/etc/name`), "amd64");
  assertEquals(await Deno.readTextFile(`${tools.home}/bundle/rootfs/etc/more`), "more");
});

peerTest("podman pulls images that were pushed to distribution", ["docker-registry", "podman"], async () => {
  await using registry = await startDistribution();
  await using tools = await ContainerTools.create();
  for (const [tag, image] of images) {
    await pushImage(registry.url, `team/app:${tag}`, { image });
    check(await tools.podman(["pull", `${registry.host}/team/app:${tag}`]));
  }
});

peerTest("distribution runs with a password, as a cache and read-only", ["docker-registry", "skopeo"], async () => {
  const auth = { user: "robot", password: TEST_PASSWORD };
  await using upstream = await startDistribution({ htpasswd: auth });
  await pushImage(upstream.url, "team/app:1", { image: amd64, auth });
  const anonymous = await fetch(`${upstream.url}/v2/`);
  await anonymous.body?.cancel();
  assertEquals(anonymous.status, 401);
  await using tools = await ContainerTools.create();
  const creds = `--creds=${auth.user}:${auth.password}`;
  check(await tools.skopeo(["inspect", creds, `docker://${upstream.host}/team/app:1`]));
  await using open = await startDistribution();
  await pushImage(open.url, "team/app:1", { image: amd64 });
  await using cache = await startDistribution({ proxyRemote: open.url });
  check(await tools.skopeo(["inspect", `docker://${cache.host}/team/app:1`]));
  await using readonly = await startDistribution({ dataDir: open.dataDir, readonly: true });
  check(await tools.skopeo(["inspect", `docker://${readonly.host}/team/app:1`]));
  const refused = await fetch(`${readonly.url}/v2/team/app/blobs/uploads/`, { method: "POST" });
  await refused.body?.cancel();
  assertEquals(refused.status, 405);
});
