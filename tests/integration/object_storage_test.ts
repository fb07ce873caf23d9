import { computeDigest } from "../../lib/oci/digest.ts";
import { MANIFEST_MEDIA_TYPES } from "../../lib/oci/manifest.ts";
import { takeLease } from "../../lib/object_store/object_lease.ts";
import { probeConditions } from "../../lib/object_store/probe_conditions.ts";
import type { TaggedImage } from "../../lib/store/list_images.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { makeBytes } from "../support/content.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { startDistribution } from "../support/distribution.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { buildImage } from "../support/images.ts";
import {
  openObjectStore,
  openS3Client,
  S3_BUCKET,
  s3Environment,
  startVersitygw,
  startWeed,
} from "../support/object_storage.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { findPeer, peerTest } from "../support/peers.ts";
import { pushImage } from "../support/put_image.ts";
import { testStoreContract } from "../support/store_contract.ts";
import { TestFolder } from "../support/test_folder.ts";

const NAME = "registry.test/team/app";
const CLIENTS = 64;

for (const [name, start] of [["versitygw", startVersitygw], ["weed", startWeed]] as const) {
  // One process for all tests of the file: SeaweedFS takes seconds to start.
  const storage = findPeer(name) === undefined ? undefined : await start();
  globalThis.addEventListener("unload", () => storage?.kill());
  const test = (what: string, fn: () => Promise<void>) => peerTest(`[103] ${name}: ${what}`, [name], fn);

  if (storage !== undefined) testStoreContract(`ObjectStore on ${name}`, () => openObjectStore(storage));

  test("lists in pages, joins parts, and obeys the conditions of writes", async () => {
    const client = openS3Client(storage!, `${crypto.randomUUID()}/`);
    const keys = ["a/1", "a/2", "a-b", "b/c/d", "e"];
    for (const key of keys) await client.write(key, new TextEncoder().encode(key));
    const walked: string[] = [];
    for await (const { key } of client.walk({ prefix: "", limit: 2 })) walked.push(key);
    assertEquals(walked, [...keys].sort());
    const page = await client.list({ prefix: "", delimiter: "/" });
    assertEquals([page.folders, page.objects.map(({ key }) => key)], [["a/", "b/"], ["a-b", "e"]]);
    const later = await client.list({ prefix: "", after: "a/1" });
    assertEquals(later.objects.map(({ key }) => key), ["a/2", "b/c/d", "e"]);
    assertEquals(await probeConditions(client, "probe"), true);

    const id = await client.startUpload("large");
    assertEquals((await client.listUploads("")).map((upload) => upload.key), ["large"]);
    await client.abortUpload("large", id);
    assertEquals(await client.listUploads(""), []);
  });

  test("gives a lease to one process", async () => {
    const client = openS3Client(storage!, `${crypto.randomUUID()}/`);
    const take = (owner: string) => takeLease({ client, key: "lease", ttl: 60_000, owner });
    const taken = await Promise.all(["a", "b", "c", "d"].map(take));
    const [held, ...others] = taken.filter((it) => it !== undefined);
    assertEquals([held?.isHeld, others.length], [true, 0]);
    await held!.renew();
    assertEquals([held!.isHeld, await take("e")], [true, undefined]);
    await held![Symbol.asyncDispose]();
    await using next = await take("f");
    assertEquals(next?.isHeld, true);
  });

  // The long tests run on one engine each.
  const distributionTest = name === "versitygw" ? peerTest : () => {};
  distributionTest(`[103] ${name}: distribution and crpe serve one bucket`, [name, "docker-registry"], async () => {
    await using folder = await TestFolder.create();
    await using upstream = startFaultUpstream();
    const layer = makeBytes(9 * 1024 * 1024);
    const pulled = upstream.addImage("team/app", "1", [layer, new Uint8Array(9)]);
    await using distribution = await startDistribution({ bucket: { storage: storage!, prefix: "shared" } });
    const image = buildImage({ files: { "a.txt": "a" } });
    await pushImage(distribution.url, "registry.test/team/pushed:1", { image });
    const env = { HOME: folder.path, ...s3Environment(storage!) };
    const flags = [`--data=${folder.path}/data`, `--store=s3://${S3_BUCKET}/shared`];
    const from = `--upstream=registry.test=${upstream.url}`;
    const pull = await runCrpe(["pull", `${NAME}:1`, ...flags, from], { env });
    assertEquals(pull.code, 0, pull.stderr);

    await using crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", "--offline", ...flags], { env });
    const headers = { accept: MANIFEST_MEDIA_TYPES.join(", ") };
    for (const { url } of [crpe, distribution]) {
      const manifest = await fetch(`${url}/v2/registry.test/team/pushed/manifests/1`, { headers });
      assertEquals(computeDigest(await manifest.bytes()), image.root.digest);
      for (const digest of image.blobs.keys()) {
        const blob = await fetch(`${url}/v2/registry.test/team/pushed/blobs/${digest}`);
        assertEquals([blob.status, computeDigest(await blob.bytes())], [200, digest]);
      }
      const mirrored = await fetch(`${url}/v2/${NAME}/manifests/1`, { headers });
      assertEquals(computeDigest(await mirrored.bytes()), pulled.manifest.digest);
      for (const { digest } of [pulled.config, ...pulled.layers]) {
        const blob = await fetch(`${url}/v2/${NAME}/blobs/${digest}`);
        assertEquals([blob.status, computeDigest(await blob.bytes())], [200, digest]);
      }
      const catalog = await (await fetch(`${url}/v2/_catalog`)).json();
      assertEquals(catalog, { repositories: ["registry.test/team/app", "registry.test/team/pushed"] });
    }
    const inventory = JSON.parse((await runCrpe(["inventory", ...flags], { env })).stdout);
    const pushed = [image.root.digest, ...image.blobs.keys()];
    const expected = [...pushed, ...[pulled.manifest, pulled.config, ...pulled.layers].map(({ digest }) => digest)];
    assertEquals(inventory.digests, expected.sort());
    const images = await runCrpe(["images", "--json", ...flags], { env });
    const listed = JSON.parse(images.stdout).map(({ reference, isComplete }: TaggedImage) => [reference, isComplete]);
    assertEquals(listed, [[`${NAME}:1`, true], ["registry.test/team/pushed:1", true]]);
    const [release, bundle] = [`${folder.path}/release.json`, `${folder.path}/bundle.tgz`];
    const kubepkg = makeKubePkg({ "registry.test/team/pushed:1": image.root.digest });
    await Deno.writeTextFile(release, JSON.stringify(kubepkg));
    const packed = await runCrpe(["pack", "--offline", release, "--output", bundle, ...flags], { env });
    assertEquals(packed.code, 0, packed.stderr);
    const verified = await runCrpe(["verify", bundle], { env });
    assertEquals(verified.code, 0, verified.stderr);
    const gc = await runCrpe(["gc", "--untagged", ...flags], { env });
    assertEquals([gc.code, gc.stdout], [0, "removed 0 blobs (0 B), 0 manifests, 0 links\n"], gc.stderr);
  });

  peerTest(`[103] ${name}: --redirect sends clients to the bucket for blobs`, [name, "skopeo"], async () => {
    await using folder = await TestFolder.create();
    await using upstream = startFaultUpstream();
    const added = upstream.addImage("team/app", "1", [makeBytes(300_000)]);
    const env = { HOME: folder.path, ...s3Environment(storage!) };
    await using crpe = await startCrpe([
      ...["registry", "--redirect", "--addr=127.0.0.1:0", `--data=${folder.path}/data`],
      ...[`--store=s3://${S3_BUCKET}/redirect`, `--upstream=registry.test=${upstream.url}`],
    ], { env });
    const url = `${crpe.url}/v2/${NAME}/blobs/${added.layers[0]!.digest}`;
    const open = (path: string, headers = {}) => fetch(path, { redirect: "manual", headers });
    await (await fetch(`${crpe.url}/v2/${NAME}/manifests/1`)).body?.cancel();
    // What the bucket does not have yet is sent, while it is downloaded.
    const cold = await open(url);
    assertEquals([cold.status, computeDigest(await cold.bytes())], [200, added.layers[0]!.digest]);
    let warm = await open(url);
    // The client has the last byte before the bucket has the blob.
    for (let tries = 0; warm.status === 200 && tries < 100; tries++) {
      await warm.body?.cancel();
      await new Promise((resolve) => setTimeout(resolve, 50));
      warm = await open(url);
    }
    const location = warm.headers.get("location")!;
    assertEquals([warm.status, new URL(location).origin, warm.headers.get("cache-control")], [
      307,
      storage!.url,
      "no-store",
    ]);
    const whole = await open(location);
    assertEquals([whole.status, computeDigest(await whole.bytes())], [200, added.layers[0]!.digest]);
    const part = await fetch(url, { headers: { range: "bytes=10-19" } });
    assertEquals([part.status, (await part.bytes()).length], [206, 10]);
    const changed = await open(location.replace(/(X-Amz-Signature=)./, "$1x"));
    await changed.body?.cancel();
    assertEquals(changed.status, 403);
    const head = await fetch(url, { method: "HEAD", redirect: "manual" });
    assertEquals([head.status, head.headers.get("content-length")], [200, `${added.layers[0]!.size}`]);
    // A repository that does not have the blob gives no URL of it.
    const foreign = await open(`${crpe.url}/v2/registry.test/other/blobs/${added.layers[0]!.digest}`);
    await foreign.body?.cancel();
    assertEquals(foreign.status, 404);
    await using tools = await ContainerTools.create();
    const pulled = await tools.skopeo([
      ...["copy", "--src-tls-verify=false", `docker://${crpe.url.slice("http://".length)}/${NAME}:1`],
      `dir:${tools.home}/pulled`,
    ]);
    assertEquals(pulled.code, 0, pulled.stderr);
  });

  const replicasTest = name === "weed" ? test : () => {};
  replicasTest(
    `three replicas with ${CLIENTS} clients download an image once, and keep nothing on the disk`,
    async () => {
      await using folder = await TestFolder.create();
      await using upstream = startFaultUpstream();
      const layers = [1, 2].map((fill) => new Uint8Array(600_000).fill(fill));
      const added = upstream.addImage("team/app", "1", layers);
      const env = { HOME: folder.path, ...s3Environment(storage!) };
      const start = (name: string) =>
        startCrpe([
          ...["registry", "--addr=127.0.0.1:0", `--data=${folder.path}/${name}`],
          ...[`--store=s3://${S3_BUCKET}/replicas`, `--upstream=registry.test=${upstream.url}`],
        ], { env });
      await using first = await start("first");
      await using second = await start("second");
      await using third = await start("third");
      const replicas = [first, second, third];
      const read = async (url: string) => {
        const manifest = await fetch(`${url}/v2/${NAME}/manifests/1`);
        assertEquals([manifest.status, computeDigest(await manifest.bytes())], [200, added.manifest.digest]);
        await Promise.all([added.config, ...added.layers].map(async ({ digest }) => {
          const blob = await fetch(`${url}/v2/${NAME}/blobs/${digest}`);
          assertEquals([blob.status, computeDigest(await blob.bytes())], [200, digest]);
        }));
      };
      await Promise.all(Array.from({ length: CLIENTS }, (_, i) => read(replicas[i % replicas.length]!.url)));
      const downloads = upstream.requests.filter(({ kind, method }) => kind === "blob" && method === "GET");
      assertEquals(downloads.length, 3, downloads.map(({ path }) => path).join());
      const manifests = upstream.requests.filter(({ kind, method }) => kind === "manifest" && method === "GET");
      // Each replica asks for the tag itself.
      assert(manifests.length <= replicas.length, manifests.map(({ path }) => path).join());
      const unique = [added.manifest, added.config, ...added.layers].reduce((sum, { size }) => sum + size, 0);
      const sent = unique + (manifests.length - 1) * added.manifest.size;
      assert(sent <= 1.01 * unique, `${sent} bytes of ${unique}`);
      const files = await Promise.all(replicas.map((_, i) => {
        return Array.fromAsync(Deno.readDir(`${folder.path}/${["first", "second", "third"][i]}/ingest`));
      }));
      assertEquals(files.flat().filter((file) => !file.name.endsWith(".lock")), []);
    },
  );
}

Deno.test("[103] a store that cannot be used is refused in one line", async () => {
  await using folder = await TestFolder.create();
  const env = { HOME: folder.path, AWS_ENDPOINT_URL: "http://127.0.0.1:9" };
  const rows: [args: string[], message: string][] = [
    [["registry", "--store=bucket"], 'Cannot use the store "bucket": write s3://BUCKET or s3://BUCKET/PREFIX'],
    [["registry", "--store=s3://bucket"], "Cannot sign requests to the object storage: set AWS_ACCESS_KEY_ID and"],
    [["registry", "--redirect"], "Cannot use --redirect without a store on object storage"],
    [["registry", "--store=s3://bucket", "--scrub=1d"], "Cannot use --scrub with a store on object storage"],
  ];
  for (const [args, message] of rows) {
    const { code, stderr } = await runCrpe([...args, "--addr=127.0.0.1:0", `--data=${folder.path}/data`], { env });
    assertEquals(code, 2, stderr);
    assertStringIncludes(stderr, message);
  }
  const pin = await runCrpe(["images", "pin", "nginx"], { env: { ...env, CRPE_STORE: "s3://bucket" } });
  assertEquals(pin.code, 2);
  assertStringIncludes(pin.stderr, "Cannot change the pins of s3://bucket: nothing is evicted from a bucket");
});
