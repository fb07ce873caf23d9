import { SharedFiles } from "../../../lib/bytes/shared_files.ts";
import { LocalCopies } from "../../../lib/cache/local_copies.ts";
import { ObjectStore } from "../../../lib/object_store/object_store.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { assertEquals, assertMatch, assertRejects } from "../../support/assert.ts";
import { until } from "../../support/cache_fixture.ts";
import { makeBlob, makeManifest, readAll, streamOf } from "../../support/content.ts";
import { MemoryS3 } from "../../support/memory_s3.ts";
import { testStoreContract } from "../../support/store_contract.ts";
import { MEMORY_FOLDER } from "../../support/test_folder.ts";

async function openStore(s3 = new MemoryS3(), { maxBytes }: { maxBytes?: number } = {}) {
  const spool = await Deno.makeTempDir({ dir: MEMORY_FOLDER });
  const warnings: string[] = [];
  const warn = (message: string) => warnings.push(message);
  const files = new SharedFiles();
  const copies = maxBytes === undefined
    ? undefined
    : await LocalCopies.open({ folder: `${spool}/copies`, maxBytes, files, warn });
  const store = new ObjectStore({ client: s3.client(), spool, files, warn, copies });
  return Object.assign(store, {
    ...{ s3, spool, warnings },
    async [Symbol.asyncDispose]() {
      await until("no copy is written any more", () => copies?.isCopying !== true);
      copies?.[Symbol.dispose]();
      await Deno.remove(spool, { recursive: true });
    },
  });
}

testStoreContract("ObjectStore", () => openStore());
testStoreContract("ObjectStore with copies on the disk", () => openStore(new MemoryS3(), { maxBytes: 10 ** 8 }));
testStoreContract("ObjectStore with lists of two entries", () => {
  const s3 = new MemoryS3();
  s3.pageSize = 2;
  return openStore(s3);
});

const REPO = "quay.io/team/app";
const config = makeBlob(100, 3);
const large = makeBlob(20 * 1024 * 1024 + 5, 4);
const manifest = makeManifest(config, []);
const V2 = "pre/docker/registry/v2";

Deno.test("ObjectStore writes the layout of CNCF distribution", async () => {
  await using store = await openStore();
  await store.writeBlob(REPO, config.descriptor, streamOf(config.bytes));
  await store.writeManifest(REPO, manifest.descriptor, manifest.bytes);
  await store.tag(REPO, "1.0", manifest.descriptor.digest);
  const [c, m] = [config.descriptor.digest.slice(7), manifest.descriptor.digest.slice(7)];
  assertEquals(
    [...store.s3.objects.keys()].sort(),
    [
      `blobs/sha256/${c.slice(0, 2)}/${c}/data`,
      `blobs/sha256/${m.slice(0, 2)}/${m}/data`,
      `repositories/${REPO}/_layers/sha256/${c}/link`,
      `repositories/${REPO}/_manifests/revisions/sha256/${m}/link`,
      `repositories/${REPO}/_manifests/tags/1.0/current/link`,
      `repositories/${REPO}/_manifests/tags/1.0/index/sha256/${m}/link`,
    ].map((key) => `${V2}/${key}`).sort(),
  );
});

Deno.test("ObjectStore uploads a large blob in parts, and names it only when it is verified", async () => {
  await using store = await openStore();
  const wrong = { ...large.descriptor, digest: config.descriptor.digest };
  await assertRejects(() => store.writeBlob(REPO, wrong, streamOf(large.bytes)));
  assertEquals({ objects: store.s3.objects.size, uploads: store.s3.uploads.size }, { objects: 0, uploads: 0 });
  await store.writeBlob(REPO, large.descriptor, streamOf(large.bytes));
  assertEquals(store.s3.requests.filter((it) => it.includes("partNumber=") && it.includes("upload-2")).length, 3);
  assertEquals(await readAll(await store.openBlob(REPO, large.descriptor.digest)), large.bytes);
});

Deno.test("ObjectStore commits a download, and leaves nothing on disk", async () => {
  await using store = await openStore();
  const ingest = await store.openIngest(large.descriptor.digest, REPO);
  ingest.expectSize(large.bytes.length);
  await ingest.write(large.bytes);
  assertEquals(await store.statBlob(REPO, large.descriptor.digest), undefined);
  await ingest.commit();
  assertEquals(await store.isLinkedBlob(REPO, large.descriptor.digest), true);
  assertEquals(await readAll(await store.openBlob(REPO, large.descriptor.digest)), large.bytes);
  assertEquals(await Array.fromAsync(Deno.readDir(`${store.spool}/ingest`)), []);
});

Deno.test("ObjectStore grants the blobs of a manifest that was imported, not of one that was fetched", async () => {
  await using store = await openStore();
  await store.writeBlob("quay.io/other", config.descriptor, streamOf(config.bytes));
  await store.writeManifest(REPO, { ...manifest.descriptor, isFetched: true }, manifest.bytes);
  assertEquals(await store.isLinkedBlob(REPO, config.descriptor.digest), false);
  await store.writeManifest(REPO, manifest.descriptor, manifest.bytes);
  assertEquals(await store.isLinkedBlob(REPO, config.descriptor.digest), true);
});

Deno.test("[29] ObjectStore treats a manifest with a flipped bit as missing, and names its fault once", async () => {
  await using store = await openStore();
  await store.writeManifest(REPO, manifest.descriptor, manifest.bytes);
  const { digest } = manifest.descriptor;
  const stored = store.s3.objects.get(`${V2}/blobs/sha256/${digest.slice(7, 9)}/${digest.slice(7)}/data`)!;
  stored.bytes[10]! ^= 1;
  const warnings: string[] = [];
  const warn = (message: string) => warnings.push(message);
  const fresh = new ObjectStore({ client: store.s3.client(), spool: store.spool, files: new SharedFiles(), warn });
  assertEquals(await fresh.resolve(REPO, digest), undefined);
  assertMatch(warnings.join(), /^Cannot use the manifest \S+ of \S+: cannot accept .*; treating it as missing$/);
});

Deno.test("ObjectStore lists repositories whose names start alike, in order and in pages", async () => {
  await using store = await openStore();
  const names = ["a.io/b", "a.io/b-c", "a.io/b.d/e", "a.io/b/c", "a.io/b/c/d", "a.io/b0"];
  for (const name of names) await store.writeManifest(name, manifest.descriptor, manifest.bytes);
  assertEquals((await store.listRepositories()).repositories, names);
  for (let i = 0; i < names.length; i++) {
    const page = await store.listRepositories({ after: names[i - 1], limit: 2 });
    assertEquals(page, { repositories: names.slice(i, i + 2), isMore: i + 2 < names.length });
  }
});

Deno.test("ObjectStore resumes a blob that is cut in the middle, from the same content", async () => {
  await using store = await openStore();
  await store.writeBlob(REPO, large.descriptor, streamOf(large.bytes));
  let cuts = 0;
  store.s3.intercept = (request) => {
    const start = Number(/^bytes=(\d+)-/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
    if (request.method !== "GET" || cuts === 2) return undefined;
    cuts++;
    const chunks = [large.bytes.subarray(start, start + 1000)];
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        const chunk = chunks.shift();
        if (chunk === undefined) controller.error(new Error("cut"));
        else controller.enqueue(chunk);
      },
    }, { highWaterMark: 0 });
    const range = { "content-range": `bytes ${start}-${large.bytes.length - 1}/${large.bytes.length}` };
    const length = { "content-length": `${large.bytes.length - start}` };
    const etag = store.s3.objects.get(decodeURIComponent(new URL(request.url).pathname).slice("/bucket/".length))!.etag;
    return new Response(body, { status: start === 0 ? 200 : 206, headers: { ...length, ...range, etag } });
  };
  const read = await readAll(await store.openBlob(REPO, large.descriptor.digest));
  assertEquals(computeDigest(read), large.descriptor.digest);
  assertEquals(cuts, 2);
});

Deno.test("[103] ObjectStore has a large blob when only the response to its completion was lost", async () => {
  await using store = await openStore();
  let isLost = false;
  store.s3.intercept = async (request) => {
    if (request.method !== "POST" || !request.url.includes("uploadId=") || isLost) return undefined;
    isLost = true;
    await store.s3.fetch(request);
    throw new TypeError("connection reset");
  };
  await store.writeBlob(REPO, large.descriptor, streamOf(large.bytes));
  assertEquals([isLost, await store.statBlob(REPO, large.descriptor.digest)], [true, large.bytes.length]);
});

Deno.test("[103] ObjectStore reads a blob from the bucket once, and a download never, with copies on the disk", async () => {
  await using store = await openStore(new MemoryS3(), { maxBytes: 10 ** 8 });
  const downloads = () => store.s3.requests.filter((it) => it.startsWith("GET") && it.endsWith("/data")).length;
  await store.writeBlob(REPO, large.descriptor, streamOf(large.bytes));
  assertEquals(await readAll(await store.openBlob(REPO, large.descriptor.digest)), large.bytes);
  const before = downloads();
  const part = await readAll(await store.openBlob(REPO, large.descriptor.digest, { start: 10, end: 19 }));
  assertEquals([part, downloads(), before], [large.bytes.slice(10, 20), 1, 1]);

  const { descriptor: { digest }, bytes } = makeBlob(1000, 7);
  const ingest = await store.openIngest(digest, REPO);
  ingest.expectSize(bytes.length);
  await ingest.write(bytes);
  await ingest.commit();
  assertEquals(await readAll(await store.openBlob(REPO, digest)), bytes);
  assertEquals(downloads(), before);
});

Deno.test("[103] ObjectStore claims the same blob of two registries at the same time", async () => {
  const files = new SharedFiles();
  const store = new ObjectStore({ client: new MemoryS3().client(), spool: "/nonexistent", files, isShared: true });
  await using claims = new AsyncDisposableStack();
  for (const repo of ["slow.io:5000/a", "quay.io/a"]) {
    const claim = await store.claimDownload(repo, config.descriptor.digest) as AsyncDisposable;
    claims.use(claim);
  }
});
