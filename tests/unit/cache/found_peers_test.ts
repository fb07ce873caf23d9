import { type FoundPeer, PeeredUpstream } from "../../../lib/cache/peered_upstream.ts";
import { PullThrough } from "../../../lib/cache/pull_through.ts";
import type { UpstreamBlob } from "../../../lib/cache/upstream.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { parseManifest } from "../../../lib/oci/manifest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { LinkedStore } from "../../../lib/store/linked_store.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { makeBlob, makeManifest, readAll, streamOf } from "../../support/content.ts";
import { FakeUpstream, unreachable } from "../../support/fake_upstream.ts";
import { removeFolder } from "../../support/remove_folder.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const OTHER = "registry.example/other/app";
const blob = makeBlob(900_000, 1);
const small = makeBlob(5000, 3);
const config = makeBlob(100, 2);
const manifest = makeManifest(config, [blob, small]);
const { digest } = blob.descriptor;
const size = blob.bytes.length;

function open({ hasUpstream = true, held = [manifest, blob, small, config] } = {}) {
  const peer = new FakeUpstream(...held);
  const upstream = hasUpstream ? new FakeUpstream(manifest, blob, small, config) : undefined;
  for (const each of [peer, upstream]) each?.tags.set("1.0", manifest.descriptor.digest);
  const found: FoundPeer[] = [peer];
  const source = new PeeredUpstream({ peers: [], listFound: () => found, upstream, now: () => 0 });
  return { peer, found, upstream: upstream!, source };
}

/** A cache with a store of its own, and peers that were found in front of its upstream. */
async function openCache(options: Parameters<typeof open>[0] = {}) {
  const folder = await TestFolder.create();
  const it = open(options);
  const store = new DiskStore(folder.path);
  const warnings: string[] = [];
  const cache = new PullThrough({
    ...{ store: new LinkedStore(store), upstream: it.source, warn: (message) => warnings.push(message) },
  });
  const settle = async () => {
    while (cache.listDownloads().length > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  return {
    ...{ ...it, store, cache, warnings, settle },
    async [Symbol.asyncDispose]() {
      await settle();
      await removeFolder(folder.path);
    },
  };
}

async function readBlob(opened: UpstreamBlob | undefined): Promise<Uint8Array | undefined> {
  return opened && await new Response(opened.body).bytes();
}

Deno.test("[108] content with a digest comes from a peer that was found; tags and lists never do", async () => {
  const { source, peer, upstream } = open();
  assertEquals((await source.resolve(REPO, manifest.descriptor.digest))?.digest, manifest.descriptor.digest);
  assertEquals(await source.readManifest(REPO, manifest.descriptor.digest), manifest.bytes);
  assertEquals(await readBlob(await source.openBlobWith(REPO, digest, { size })), blob.bytes);
  assertEquals([upstream.asked, peer.asked.length], [[], 4]);
  upstream.failure = unreachable();
  for (
    const ask of [
      () => source.resolve(REPO, "1.0"),
      () => source.headManifest(REPO, "1.0"),
      () => source.listTags(REPO),
      () => source.listReferrers(REPO, manifest.descriptor.digest),
      () => source.statBlob(REPO, digest),
      () => source.openBlobWith(REPO, small.descriptor.digest, { size: small.bytes.length, range: { start: 1 } }),
      () => source.openBlobWith(REPO, small.descriptor.digest, { range: { start: 0, end: 9 } }),
    ]
  ) assertEquals(await ask().catch(({ code }) => code), "UNAVAILABLE");
  assertEquals(peer.asked.length, 4);
});

Deno.test("[108] without an upstream, tags are those of the store, and no tag is asked for", async () => {
  await using it = await openCache({ hasUpstream: false });
  assertEquals([it.source.knowsTags(REPO), open().source.knowsTags(REPO)], [false, true]);
  assertEquals(await it.cache.resolve(REPO, "1.0"), undefined);
  await it.store.writeManifest(REPO, manifest.descriptor, manifest.bytes);
  await it.store.tag(REPO, "1.0", manifest.descriptor.digest);
  assertEquals((await it.cache.resolve(REPO, "1.0"))?.isStale, undefined);
  assertEquals([it.peer.asked, it.warnings.filter((line) => line.includes("served from the store"))], [[], []]);
  assertEquals(await readAll(await it.cache.openBlob(REPO, digest)), blob.bytes);
});

Deno.test("[108] peers are asked as they are found and leave", async () => {
  const { source, found, peer, upstream } = open();
  found.length = 0;
  await source.readManifest(REPO, manifest.descriptor.digest);
  assertEquals([peer.asked.length, upstream.asked.length], [0, 1]);
  found.push(peer);
  await source.readManifest(REPO, manifest.descriptor.digest);
  assertEquals([peer.asked.length, upstream.asked.length], [1, 1]);
});

Deno.test("[108] the media type that a peer states for a manifest without one does not count", async () => {
  const { mediaType: _, ...document } = JSON.parse(new TextDecoder().decode(manifest.bytes));
  const bytes = new TextEncoder().encode(JSON.stringify(document));
  const own = computeDigest(bytes);
  const expected = parseManifest(bytes.slice()).mediaType;
  const peer: FoundPeer = {
    readManifest() {
      const sent = bytes.slice();
      parseManifest(sent, "application/vnd.docker.distribution.manifest.v2+json");
      return Promise.resolve(sent);
    },
    statBlob: () => Promise.resolve(undefined),
    openBlobWith: () => Promise.resolve(undefined),
  };
  const source = new PeeredUpstream({ peers: [], listFound: () => [peer], upstream: undefined, now: () => 0 });
  assertEquals((await source.resolve(REPO, own))?.mediaType, expected);
  assertEquals(parseManifest((await source.readManifest(REPO, own))!).mediaType, expected);
});

Deno.test("[108] a peer that claims to have a blob gives no repository a right to it", async () => {
  await using it = await openCache({ held: [] });
  // Another repository of the registry has it in the store.
  await it.store.writeBlob(OTHER, blob.descriptor, streamOf(blob.bytes));
  it.upstream.content.delete(digest);
  it.peer.statBlob = () => Promise.resolve(size);
  assertEquals([await it.cache.statBlob(REPO, digest), await it.cache.openBlob(REPO, digest)], [undefined, undefined]);
  assertEquals(await it.cache.statBlob(OTHER, digest), size);
});

// What an interrupted download of a repository left is resumed for that repository alone, and not from a peer.
for (const [repo, expected] of [[OTHER, [undefined]], [REPO, []]] as const) {
  Deno.test(`[108] a peer gives no client the part of a blob that ${repo} has received`, async () => {
    await using it = await openCache({ held: [] });
    const ingest = await it.store.openIngest(digest, repo);
    await ingest.write(blob.bytes.subarray(0, 600_000));
    ingest.keep();
    it.upstream.content.delete(digest);
    // Anyone can publish a manifest that states the size of a blob.
    await it.cache.readManifest(REPO, manifest.descriptor.digest);
    const ranges: unknown[] = [];
    it.peer.statBlob = () => Promise.resolve(size);
    it.peer.openBlobWith = (_repo, _digest, { range }) => {
      ranges.push(range);
      const start = (range as { start?: number } | undefined)?.start ?? 0;
      const body = streamOf(new Uint8Array(size - start));
      return Promise.resolve({ size, start, length: size - start, body });
    };
    const received = await it.cache.openBlob(REPO, digest).then((found) => found && readAll(found)).catch(() =>
      undefined
    );
    assertEquals([received, ranges], [undefined, expected]);
  });
}

for (const [what, wrong] of [["small", small], ["large", blob]] as const) {
  Deno.test(`[108] a ${what} blob that a peer sends wrong comes from the upstream`, async () => {
    await using it = await openCache();
    it.peer.content.set(wrong.descriptor.digest, { ...wrong, bytes: wrong.bytes.map((byte) => byte ^ 1) });
    const read = async () => await readAll((await it.cache.openBlob(REPO, wrong.descriptor.digest))!);
    const first = await read().catch(() => undefined);
    // A client sees a failure only where bytes were sent before the digest could be checked.
    if (what === "small") assertEquals(first, wrong.bytes);
    else assert(first === undefined);
    await it.settle();
    assertEquals(await read(), wrong.bytes);
    assertEquals(it.upstream.asked, [`blob ${wrong.descriptor.digest}`]);
  });
}

Deno.test("[108] without an upstream, what a peer has sent in part is not kept: the next peer sends the whole blob", async () => {
  await using it = await openCache({ hasUpstream: false });
  let chunks = 0;
  it.peer.beforeChunk = () => ++chunks > 2 ? Promise.reject(unreachable()) : Promise.resolve();
  const read = async () => await readAll((await it.cache.openBlob(REPO, digest))!);
  assertEquals(await read().catch(() => "failed"), "failed");
  await it.settle();
  const ingest = await it.store.openIngest(digest, REPO);
  assertEquals(ingest.written, 0);
  await ingest.abort();
  it.peer.beforeChunk = () => Promise.resolve();
  assertEquals(await read(), blob.bytes);
});
