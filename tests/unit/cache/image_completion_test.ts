import type { CacheEvent } from "../../../lib/cache/cache_event.ts";
import type { CacheLimit } from "../../../lib/cache/cache_limit.ts";
import { ImageCompletion } from "../../../lib/cache/image_completion.ts";
import { PullThrough, type PullThroughOptions } from "../../../lib/cache/pull_through.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import type { IngestStore } from "../../../lib/store/blob_store.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { partialPath } from "../../../lib/store/layout.ts";
import { assertEquals, assertLess, fail } from "../../support/assert.ts";
import { until } from "../../support/cache_fixture.ts";
import { type Content, makeBlob, makeIndex, makeManifest, readAll } from "../../support/content.ts";
import { FakeUpstream, unreachable } from "../../support/fake_upstream.ts";
import { removeFolder } from "../../support/remove_folder.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const config = makeBlob(200, 1);
const [base, top] = [makeBlob(300_000, 2), makeBlob(5000, 3)] as [Content, Content];
const image = makeManifest(config, [base, top]);
const other = makeManifest(makeBlob(100, 4), [makeBlob(2000, 5)]);
const index = makeIndex([image, other]);
const blobs = [config, base, top];

async function openCompleting(options: { space?: PullThroughOptions["space"]; isCompleting?: boolean } = {}) {
  const folder = await TestFolder.create();
  const upstream = new FakeUpstream(...blobs, image, other, index);
  upstream.tags.set("1.0", index.descriptor.digest);
  const store = new DiskStore(folder.path);
  const events: CacheEvent[] = [];
  let time = 0;
  const cache = new PullThrough({
    ...{ store, upstream, isCompleting: true },
    ...options,
    // The clients' head start is over at the next look at the clock.
    now: () => time += 2000,
    onEvent: (event) => events.push(event),
  });
  return {
    ...{ folder, upstream, store, cache },
    find: <Type extends CacheEvent["type"]>(type: Type) =>
      events.filter((event): event is Extract<CacheEvent, { type: Type }> => event.type === type),
    listHeld: async () => {
      const held = await Promise.all(blobs.map(({ descriptor }) => store.statBlob(REPO, descriptor.digest)));
      return held.map((size) => size !== undefined);
    },
    async [Symbol.asyncDispose]() {
      await cache.stop();
      await until("no download is in progress", () => {
        return !blobs.some(({ descriptor }) => cache.isDownloading(descriptor.digest));
      });
      await removeFolder(folder.path);
    },
  };
}

Deno.test("[68] ImageCompletion downloads the blobs that no client requested, the config first", async () => {
  await using it = await openCompleting();
  await it.cache.resolve(REPO, "1.0");
  await it.cache.readManifest(REPO, index.descriptor.digest);
  await it.cache.readManifest(REPO, image.descriptor.digest);
  await readAll(await it.cache.openBlob(REPO, top.descriptor.digest));
  await until("the image is complete", () => it.find("completed").length > 0);
  assertEquals(await it.listHeld(), [true, true, true]);
  const { digest } = image.descriptor;
  const bytes = config.bytes.length + base.bytes.length;
  assertEquals(it.find("completed"), [{ type: "completed", repo: REPO, digest, blobs: 2, bytes }]);
  const asked = it.upstream.asked.filter((asked) => asked.startsWith("blob "));
  assertEquals(asked.filter((asked) => !asked.includes(top.descriptor.digest)), [
    `blob ${config.descriptor.digest}`,
    `blob ${base.descriptor.digest}`,
  ]);
  // No client has requested the other manifest of the index.
  const offline = new PullThrough({ store: new DiskStore(it.folder.path) });
  assertEquals(await offline.resolve(REPO, "1.0"), index.descriptor);
});

Deno.test("[68] ImageCompletion moves a tag when the next image is complete, although a client skips a layer", async () => {
  await using it = await openCompleting();
  it.upstream.tags.set("1.0", image.descriptor.digest);
  await it.cache.resolve(REPO, "1.0");
  await it.cache.readManifest(REPO, image.descriptor.digest);
  await until("the first image is complete", () => it.find("completed").length === 1);
  const [newConfig, newTop] = [makeBlob(210, 31), makeBlob(3000, 32)] as [Content, Content];
  const next = makeManifest(newConfig, [base, newTop]);
  for (const content of [newConfig, newTop, next]) it.upstream.content.set(content.descriptor.digest, content);
  it.upstream.tags.set("1.0", next.descriptor.digest);
  await it.cache.resolve(REPO, "1.0");
  await it.cache.readManifest(REPO, next.descriptor.digest);
  await until("the tag has moved", async () => {
    return (await it.store.resolve(REPO, "1.0"))?.digest === next.descriptor.digest;
  });
});

Deno.test("[68] ImageCompletion downloads the entries of an index that are no manifests", async () => {
  await using it = await openCompleting();
  const entries = [base, config].map(({ descriptor }) => ({ ...descriptor, mediaType: "application/vnd.test.cache" }));
  const bytes = new TextEncoder().encode(
    JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: entries }),
  );
  const digest = computeDigest(bytes);
  const descriptor = { mediaType: MEDIA_TYPE.ociIndex, digest, size: bytes.length };
  it.upstream.content.set(digest, { bytes, descriptor });
  await it.cache.readManifest(REPO, digest);
  await until("it is complete", () => it.find("completed").length === 1);
  assertEquals(await it.listHeld(), [true, true, false]);
});

Deno.test("[68] ImageCompletion waits while a client downloads, also in the middle of a blob", async () => {
  await using it = await openCompleting();
  const client = makeBlob(400_000, 40);
  const large = makeBlob(1_000_000, 41);
  const next = makeManifest(config, [large]);
  for (const content of [client, large, next]) it.upstream.content.set(content.descriptor.digest, content);
  const [started, gate, free] = [1, 2, 3].map(() => Promise.withResolvers<void>()) as [
    PromiseWithResolvers<void>,
    PromiseWithResolvers<void>,
    PromiseWithResolvers<void>,
  ];
  let chunks = 0;
  it.upstream.beforeChunk = async (sent, digest) => {
    if (digest === client.descriptor.digest) {
      if (sent > 0) await gate.promise;
    } else if (digest === large.descriptor.digest) {
      if (chunks++ === 1) started.resolve();
      if (chunks > 1) await free.promise;
    }
  };
  await it.cache.readManifest(REPO, next.descriptor.digest);
  await started.promise;
  const opening = it.cache.openBlob(REPO, client.descriptor.digest);
  await until("the client's download has started", () => it.cache.isDownloading(client.descriptor.digest));
  free.resolve();
  // Two chunks may be in progress. The rest of the 16 waits.
  await new Promise((resolve) => setTimeout(resolve, 300));
  assertLess(chunks, 6);
  gate.resolve();
  assertEquals((await readAll(await opening)).length, client.bytes.length);
  await until("the image is complete", () => it.find("completed").length === 1);
});

Deno.test("[68] a client gets a blob that is being downloaded in the background, without a second request", async () => {
  await using it = await openCompleting();
  const gate = Promise.withResolvers<void>();
  it.upstream.beforeChunk = (sent) => sent < 64 * 1024 ? Promise.resolve() : gate.promise;
  await it.cache.readManifest(REPO, image.descriptor.digest);
  await until("the download has started", () => it.cache.isDownloading(base.descriptor.digest));
  const opening = it.cache.openBlob(REPO, base.descriptor.digest);
  gate.resolve();
  assertEquals(await readAll(await opening), base.bytes);
  assertEquals(it.upstream.asked.filter((asked) => asked.includes(base.descriptor.digest)).length, 1);
});

Deno.test("[68] ImageCompletion gives up an image whose upstream fails, and continues with the next one", async () => {
  await using it = await openCompleting();
  it.upstream.content.delete(config.descriptor.digest);
  for (const content of [makeBlob(100, 4), makeBlob(2000, 5)]) {
    it.upstream.content.set(content.descriptor.digest, content);
  }
  await it.cache.readManifest(REPO, image.descriptor.digest);
  await it.cache.readManifest(REPO, other.descriptor.digest);
  await until("the other image is complete", () => it.find("completed").length === 1);
  assertEquals(it.find("uncompleted").map(({ digest }) => digest), [image.descriptor.digest]);
  assertEquals(it.find("completed").map(({ digest }) => digest), [other.descriptor.digest]);
});

Deno.test("[101] ImageCompletion waits for a link that is closed, and resumes when it closes in the middle of a blob", async () => {
  await using it = await openCompleting();
  let chunks = 0;
  it.upstream.beforeChunk = (_, digest) => {
    if (digest !== base.descriptor.digest || ++chunks !== 3) return Promise.resolve();
    it.upstream.isClosed = true;
    it.upstream.failure = unreachable();
    return Promise.reject(it.upstream.failure);
  };
  await it.cache.readManifest(REPO, image.descriptor.digest);
  await until("the link is closed", () => it.upstream.isClosed);
  const asked = it.upstream.asked.length;
  await new Promise((resolve) => setTimeout(resolve, 100));
  assertEquals([it.upstream.asked.length, it.find("uncompleted"), it.find("completed")], [asked, [], []]);
  it.upstream.isClosed = false;
  it.upstream.failure = undefined;
  await until("the image is complete", () => it.find("completed").length > 0);
  assertEquals(await it.listHeld(), [true, true, true]);
});

Deno.test("[68] ImageCompletion respects the cache limit, and evicts no incomplete image for it", async () => {
  const reserved: unknown[] = [];
  const reserve: CacheLimit["reserve"] = (bytes, _digest, options) => {
    reserved.push([bytes, options?.isOptional]);
    return Promise.resolve(bytes < 1000 ? { [Symbol.dispose]() {} } : undefined);
  };
  await using it = await openCompleting({ space: { reserve, store: (_, write) => write(), touch() {} } });
  await it.cache.readManifest(REPO, image.descriptor.digest);
  await until("it gives up", () => it.find("uncompleted").length === 1);
  assertEquals(reserved, [[config.bytes.length, true], [base.bytes.length, true]]);
  assertEquals(await it.listHeld(), [true, false, false]);
});

Deno.test("[68] PullThrough downloads nothing in the background unless it is told to", async () => {
  await using it = await openCompleting({ isCompleting: false });
  await it.cache.readManifest(REPO, image.descriptor.digest);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assertEquals(await it.listHeld(), [false, false, false]);
});

Deno.test("[68] PullThrough.stop() ends a download in the background, and its partial file is resumed", async () => {
  await using it = await openCompleting();
  it.upstream.beforeChunk = (sent) => sent < 128 * 1024 ? Promise.resolve() : new Promise(() => {});
  await it.cache.readManifest(REPO, image.descriptor.digest);
  const partial = `${it.folder.path}/${partialPath(base.descriptor.digest, REPO)}`;
  await until("bytes are received", async () => (await Deno.stat(partial).catch(() => ({ size: 0 }))).size > 100_000);
  await it.cache.stop();
  await until("the download has ended", () => !it.cache.isDownloading(base.descriptor.digest));
  assertEquals([it.find("failed"), it.find("uncompleted")], [[], []]);
  it.upstream.beforeChunk = () => Promise.resolve();
  const next = new PullThrough({ store: it.store, upstream: it.upstream });
  assertEquals(await readAll(await next.openBlob(REPO, base.descriptor.digest)), base.bytes);
  assertEquals(it.upstream.asked.at(-1), `blob ${base.descriptor.digest} {"start":131072}`);
});

Deno.test("[68] ImageCompletion ends quietly when the upstream is unreachable", async () => {
  await using it = await openCompleting();
  await it.cache.readManifest(REPO, image.descriptor.digest);
  it.upstream.failure = unreachable();
  await until("it gives up", () => it.find("uncompleted").length === 1);
});

Deno.test("[68] ImageCompletion completes an image that is added at the moment when the queue gets empty", async () => {
  const { digest } = image.descriptor;
  // The image is added that many microtasks after the one before: while that is completed, at its end, or afterwards.
  for (const ticks of Array(20).keys()) {
    const read: string[] = [];
    const completion = new ImageCompletion({
      store: { readManifest: (repo: string) => Promise.resolve(void read.push(repo)) } as unknown as IngestStore,
      blobs: { isBusy: false, fetch: () => fail() },
      now: () => 0,
      onEvent: () => fail(),
    });
    completion.add("first", digest);
    for (let tick = 0; tick < ticks; tick++) await undefined;
    completion.add("second", digest);
    await new Promise((resolve) => setTimeout(resolve));
    assertEquals(read, ["first", "second"], `${ticks} microtasks`);
  }
});
