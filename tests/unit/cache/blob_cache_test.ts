import type { CacheEvent } from "../../../lib/cache/cache_event.ts";
import { isDistant } from "../../../lib/cache/distant_ranges.ts";
import { PullThrough } from "../../../lib/cache/pull_through.ts";
import { DigestMismatchError } from "../../../lib/content/verifier.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { RegistryError } from "../../../lib/oci/error.ts";
import { MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { splitRepository } from "../../../lib/oci/reference.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { blobPath, partialPath } from "../../../lib/store/layout.ts";
import { moveAside, restoreTrash } from "../../../lib/store/trash.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { type Content, makeBlob, makeManifest, readAll, streamOf } from "../../support/content.ts";
import { FakeUpstream, RoutedUpstream, unreachable } from "../../support/fake_upstream.ts";
import { removeFolder } from "../../support/remove_folder.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "a.test/team/app";
const OTHER = "b.test/team/app";
const MiB = 1024 * 1024;
const config = makeBlob(200, 2);
const layer = makeBlob(300_000, 3);
const image = makeManifest(config, [layer]);
const large = makeBlob(12 * MiB, 4);

async function openCache() {
  const folder = await TestFolder.create();
  const createRegistry = () => new FakeUpstream(config, layer, image, large);
  const registries = { a: createRegistry(), b: createRegistry() };
  const upstream = new RoutedUpstream((repo) => splitRepository(repo).host === "a.test" ? registries.a : registries.b);
  const store = new DiskStore(folder.path);
  const events: CacheEvent[] = [];
  const cache = new PullThrough({ store, upstream, onEvent: (event) => events.push(event) });
  const settle = async () => {
    const isRunning = () => [config, layer, large].some(({ descriptor }) => cache.isDownloading(descriptor.digest));
    while (isRunning()) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  return {
    ...{ folder, registries, upstream, store, cache, settle },
    countEvents: (type: CacheEvent["type"]) => events.filter((event) => event.type === type).length,
    listTemporary: () => folder.listFiles("ingest"),
    async [Symbol.asyncDispose]() {
      await settle();
      await removeFolder(folder.path);
    },
  };
}

function replace(upstream: FakeUpstream, { descriptor }: Content, bytes: Uint8Array<ArrayBuffer>): void {
  upstream.content.set(descriptor.digest, { descriptor, bytes });
}

const page = new TextEncoder().encode(`<html>${"Please sign in. ".repeat(40)}</html>`);

for (const [what, content] of [["a layer", layer], ["a config", config]] as const) {
  for (const size of ["another size", "no size"]) {
    Deno.test(`[70] a page in place of ${what}, with ${size}, is an error before the response starts`, async () => {
      await using it = await openCache();
      await it.cache.readManifest(REPO, image.descriptor.digest);
      replace(it.registries.a, content, page);
      it.registries.a.statesSizes = size === "another size";
      const { digest } = content.descriptor;
      const open = async () => await (await it.cache.openBlob(REPO, digest))?.body.cancel();
      const error = await assertRejects(open, RegistryError);
      assertEquals(error.status, 502);
      assertEquals((await assertRejects(() => it.cache.statBlob(REPO, digest), RegistryError)).status, 502);
      await it.settle();
      assertEquals(await it.listTemporary(), []);
      replace(it.registries.a, content, content.bytes);
      assertEquals(await readAll(await it.cache.openBlob(REPO, digest)), content.bytes);
    });
  }
}

Deno.test("[70] sizes are known from the stored manifests after a restart", async () => {
  await using it = await openCache();
  await it.cache.readManifest(REPO, image.descriptor.digest);
  replace(it.registries.a, layer, page);
  const restarted = new PullThrough({ store: new DiskStore(it.folder.path), upstream: it.upstream });
  const { digest } = layer.descriptor;
  await assertRejects(() => restarted.openBlob(REPO, digest), RegistryError, "the manifest says 300000");
});

Deno.test("[70] manifests that disagree on a size do not decide", async () => {
  await using it = await openCache();
  const wrong = makeManifest(config, [{ ...layer, descriptor: { ...layer.descriptor, size: 5 } }]);
  it.registries.a.content.set(wrong.descriptor.digest, wrong);
  await it.cache.readManifest(REPO, wrong.descriptor.digest);
  await assertRejects(() => it.cache.openBlob(REPO, layer.descriptor.digest), RegistryError, "the manifest says 5");
  await it.cache.readManifest(REPO, image.descriptor.digest);
  assertEquals(await readAll(await it.cache.openBlob(REPO, layer.descriptor.digest)), layer.bytes);
});

for (const isKnown of [true, false]) {
  const from = isKnown ? "from its manifest" : "when it is stored";
  Deno.test(`[70] a blob without a length is served: its size is known ${from}`, async () => {
    await using it = await openCache();
    if (isKnown) await it.cache.readManifest(REPO, image.descriptor.digest);
    it.registries.a.statesSizes = false;
    for (const { descriptor, bytes } of [config, layer]) {
      const opened = await it.cache.openBlob(REPO, descriptor.digest);
      assertEquals(opened?.size, bytes.length);
      assertEquals(await readAll(opened), bytes);
      await it.settle();
      assertEquals(await it.store.statBlob(REPO, descriptor.digest), bytes.length);
    }
    assertEquals(await it.listTemporary(), []);
  });
}

Deno.test("[70] a blob of unknown size with wrong bytes is an error, and not stored", async () => {
  await using it = await openCache();
  it.registries.a.statesSizes = false;
  replace(it.registries.a, layer, page);
  await assertRejects(() => it.cache.openBlob(REPO, layer.descriptor.digest), DigestMismatchError);
  assertEquals([await it.listTemporary(), it.countEvents("failed")], [[], 1]);
});

Deno.test("[70] a HEAD that states a wrong size does not decide, if the blob has the right one", async () => {
  await using it = await openCache();
  await it.cache.readManifest(REPO, image.descriptor.digest);
  it.registries.a.statBlob = () => Promise.resolve(0);
  assertEquals(await it.cache.statBlob(REPO, layer.descriptor.digest), layer.bytes.length);
});

Deno.test("[10] a small wrong blob is an error before the response starts", async () => {
  await using it = await openCache();
  replace(it.registries.a, config, makeBlob(config.bytes.length, 99).bytes);
  await assertRejects(() => it.cache.openBlob(REPO, config.descriptor.digest), DigestMismatchError);
});

Deno.test("a client gets a blob although its partial file is corrupt", async () => {
  await using it = await openCache();
  const { digest } = config.descriptor;
  await it.folder.write(partialPath(digest, REPO), "wrong");
  assertEquals(await readAll(await it.cache.openBlob(REPO, digest)), config.bytes);
});

const troubles: [string, (upstream: FakeUpstream) => void][] = [
  ["does not answer", (upstream) => upstream.openBlobWith = () => new Promise(() => {})],
  ["does not have it", (upstream) => upstream.content.delete(large.descriptor.digest)],
  ["fails", (upstream) => upstream.failure = unreachable()],
  ["stops in the middle", (upstream) => {
    upstream.beforeChunk = (sent) => sent < MiB ? Promise.resolve() : new Promise(() => {});
  }],
  ["sends wrong bytes", (upstream) => replace(upstream, large, makeBlob(large.bytes.length, 98).bytes)],
];
for (const [what, spoil] of troubles) {
  Deno.test(`[75] a registry that ${what} does not hold up the same blob of another registry`, async () => {
    await using it = await openCache();
    spoil(it.registries.a);
    const { digest } = large.descriptor;
    const bad = it.cache.openBlob(REPO, digest).then(readAll);
    bad.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 10));
    assertEquals(computeDigest(await readAll(await it.cache.openBlob(OTHER, digest))), digest);
  });
}

Deno.test("[75] a stalled download ends when another registry has given the blob, and its readers get the rest", async () => {
  await using it = await openCache();
  it.registries.a.beforeChunk = (sent) => sent < 5 * MiB ? Promise.resolve() : new Promise(() => {});
  const { digest } = large.descriptor;
  const [whole, range] = [
    await it.cache.openBlob(REPO, digest),
    await it.cache.openBlob(REPO, digest, { start: 3 * MiB, end: 10 * MiB }),
  ];
  const stalled = Promise.all([readAll(whole), readAll(range)]);
  assertEquals(computeDigest(await readAll(await it.cache.openBlob(OTHER, digest))), digest);
  const [all, part] = await stalled;
  assertEquals(computeDigest(all), digest);
  assertEquals(computeDigest(part), computeDigest(large.bytes.subarray(3 * MiB, 10 * MiB + 1)));
  await it.settle();
  assertEquals([await it.listTemporary(), it.countEvents("failed")], [[], 0]);
});

Deno.test("[75] [10] a reader of wrong bytes does not get the rest from another registry", async () => {
  await using it = await openCache();
  const wrong = large.bytes.slice();
  wrong[0]! ^= 1;
  replace(it.registries.a, large, wrong);
  it.registries.a.beforeChunk = (sent) => sent < 5 * MiB ? Promise.resolve() : new Promise(() => {});
  const { digest } = large.descriptor;
  const bad = await it.cache.openBlob(REPO, digest);
  const reader = bad!.body.getReader();
  assert(!(await reader.read()).done);
  assertEquals(computeDigest(await readAll(await it.cache.openBlob(OTHER, digest))), digest);
  await assertRejects(async () => {
    while (!(await reader.read()).done);
  });
});

Deno.test("[75] a repository that does not have a blob does not refuse it to another one of its registry", async () => {
  await using it = await openCache();
  const { a } = it.registries;
  const open = a.openBlobWith.bind(a);
  a.openBlobWith = async (repo, digest, ask) => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return repo === REPO ? undefined : await open(repo, digest, ask);
  };
  const { digest } = layer.descriptor;
  const [first, found] = await Promise.all([it.cache.openBlob(REPO, digest), it.cache.openBlob("a.test/x", digest)]);
  // The first repository may find it in the store by now.
  await first?.body.cancel();
  assertEquals(await readAll(found), layer.bytes);
});

/** [what, start, length, bytes received, whether it is requested separately]; the blob has 12 MiB */
const distances: [string, number, number, number, boolean][] = [
  ["the start of a cold blob", 0, 100, 0, false],
  ["a range near the start", 4 * MiB, 100, 0, false],
  ["a range far ahead", 4 * MiB + 1, 100, 0, true],
  ["a range behind the download", 4 * MiB + 1, 100, 5 * MiB, false],
  ["a range far ahead of the download", 9 * MiB + 1, 100, 5 * MiB, true],
  ["the tail", 12 * MiB - 100, 100, 0, true],
  ["the tail when the download is near", 12 * MiB - 100, 100, 12 * MiB - 1000, false],
  ["the tail a MiB ahead, which is released last", 12 * MiB - 100, 100, 11 * MiB, true],
  ["a long range, which a client resumes", 5 * MiB, 33 * MiB, 0, false],
];
for (const [what, start, length, received, expected] of distances) {
  Deno.test(`[76] isDistant() of ${what}: ${expected}`, () => {
    assertEquals(isDistant({ start, length, received, size: 12 * MiB }), expected);
  });
}

Deno.test("[76] a range far ahead of a cold blob's download does not wait for it", async () => {
  await using it = await openCache();
  const gate = Promise.withResolvers<void>();
  const { a } = it.registries;
  const { digest } = large.descriptor;
  // The download stops; a range of 100 bytes is a single chunk.
  a.beforeChunk = (sent) => sent < MiB ? Promise.resolve() : gate.promise;
  for (const range of [{ start: 9 * MiB, end: 9 * MiB + 99 }, { suffix: 100 }]) {
    const { start } = "suffix" in range ? { start: 12 * MiB - 100 } : range;
    const opened = await it.cache.openBlob(REPO, digest, range);
    assertEquals([opened?.size, opened?.start, opened?.length], [12 * MiB, start, 100]);
    assertEquals(await readAll(opened), large.bytes.slice(start, start + 100));
  }
  assertEquals([it.countEvents("range"), it.countEvents("download")], [2, 1]);
  gate.resolve();
  await it.settle();
  assertEquals(await it.store.statBlob(REPO, digest), large.bytes.length);
});

Deno.test("[76] at most 16 ranges are requested separately at a time, and the other ones wait", async () => {
  await using it = await openCache();
  const { a } = it.registries;
  const { digest } = large.descriptor;
  const range = { start: 9 * MiB, end: 9 * MiB + 99 };
  const gate = Promise.withResolvers<void>();
  a.beforeChunk = (sent) => sent < MiB ? Promise.resolve() : gate.promise;
  const opened = await Promise.all(Array.from({ length: 20 }, () => it.cache.openBlob(REPO, digest, range)));
  assertEquals(it.countEvents("range"), 16);
  for (const { body } of opened.slice(0, 16).filter((it) => it !== undefined)) await body.cancel();
  const next = await it.cache.openBlob(REPO, digest, range);
  assertEquals([it.countEvents("range"), await readAll(next)], [17, large.bytes.slice(9 * MiB, 9 * MiB + 100)]);
  gate.resolve();
  for (const waiting of opened.slice(16)) {
    assertEquals(await readAll(waiting), large.bytes.slice(9 * MiB, 9 * MiB + 100));
  }
});

Deno.test("[76] a range that the upstream does not give separately is taken from the download", async () => {
  await using it = await openCache();
  const { a } = it.registries;
  const open = a.openBlobWith.bind(a);
  a.openBlobWith = (repo, digest, ask) => {
    return ask.range === undefined ? open(repo, digest, ask) : Promise.reject(unreachable());
  };
  const opened = await it.cache.openBlob(REPO, large.descriptor.digest, { suffix: 100 });
  assertEquals(await readAll(opened), large.bytes.slice(-100));
});

function makeArtifact(config: object): Content {
  const document = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers: [layer.descriptor] };
  const bytes = new TextEncoder().encode(JSON.stringify(document));
  return { bytes, descriptor: { mediaType: MEDIA_TYPE.ociManifest, digest: computeDigest(bytes), size: bytes.length } };
}

const emptyJson = new TextEncoder().encode("{}");
const inlines: [string, Uint8Array<ArrayBuffer>, object][] = [
  ["the empty JSON document", emptyJson, { digest: computeDigest("{}"), size: 2 }],
  ["the empty JSON document with data", emptyJson, { digest: computeDigest("{}"), size: 2, data: "e30=" }],
  ["embedded content", config.bytes, { ...config.descriptor, data: btoa(String.fromCharCode(...config.bytes)) }],
];
for (const [what, bytes, descriptor] of inlines) {
  const digest = computeDigest(bytes);
  Deno.test(`[68] a manifest serves ${what}, which the upstream does not have`, async () => {
    await using it = await openCache();
    it.registries.a.content.delete(digest);
    const artifact = makeArtifact(descriptor);
    it.registries.a.content.set(artifact.descriptor.digest, artifact);
    await it.cache.readManifest(REPO, artifact.descriptor.digest);
    assertEquals(await it.store.statBlob(REPO, digest), bytes.length);
    assertEquals(await readAll(await it.cache.openBlob(REPO, digest)), bytes);
    await it.cache.fetchBlob(REPO, { digest, size: bytes.length });
    assertEquals(it.registries.a.asked.filter((asked) => asked.includes(`blob ${digest}`)), []);
  });

  Deno.test(`[68] ${what} is served by a manifest that was stored without it, also without an upstream`, async () => {
    await using it = await openCache();
    const artifact = makeArtifact(descriptor);
    await it.store.writeBlob(REPO, layer.descriptor, streamOf(layer.bytes));
    await it.store.writeManifest(REPO, artifact.descriptor, artifact.bytes);
    const offline = new PullThrough({ store: new DiskStore(it.folder.path) });
    assertEquals(await offline.resolve(REPO, artifact.descriptor.digest), artifact.descriptor);
    assertEquals(await offline.statBlob(REPO, digest), bytes.length);
    assertEquals(await readAll(await offline.openBlob(REPO, digest, { start: 1 })), bytes.slice(1));
    assertEquals(await offline.openBlob(OTHER, computeDigest("unknown")), undefined);
  });
}

Deno.test("[68] embedded content with a wrong digest is not served", async () => {
  await using it = await openCache();
  it.registries.a.content.delete(config.descriptor.digest);
  const artifact = makeArtifact({ ...config.descriptor, data: btoa("x".repeat(config.bytes.length)) });
  it.registries.a.content.set(artifact.descriptor.digest, artifact);
  await it.cache.readManifest(REPO, artifact.descriptor.digest);
  assertEquals(await it.cache.openBlob(REPO, config.descriptor.digest), undefined);
});

Deno.test("[35] a blob that a collection moves aside when it was committed is downloaded once more", async () => {
  await using it = await openCache();
  let collections = 0;
  class CollectedStore extends DiskStore {
    override async openIngest(...args: Parameters<DiskStore["openIngest"]>) {
      const ingest = await super.openIngest(...args);
      const commit = ingest.commit.bind(ingest);
      ingest.commit = async () => {
        await commit();
        if (collections++ === 0) await moveAside(it.folder.path, blobPath(layer.descriptor.digest));
      };
      return ingest;
    }
  }
  const store = new CollectedStore(it.folder.path);
  const cache = new PullThrough({ store, upstream: it.upstream });
  await cache.readManifest(REPO, image.descriptor.digest);
  await cache.fetchBlob(REPO, layer.descriptor);
  assertEquals([collections, await store.statBlob(REPO, layer.descriptor.digest)], [2, layer.bytes.length]);
  await restoreTrash(it.folder.path);
});
