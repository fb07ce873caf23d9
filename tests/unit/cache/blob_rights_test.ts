import { PullThrough } from "../../../lib/cache/pull_through.ts";
import type { Upstream } from "../../../lib/cache/upstream.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { collectGarbage } from "../../../lib/store/gc.ts";
import { fetchedMarkPath, revisionLinkPath } from "../../../lib/store/layout.ts";
import { LinkedStore } from "../../../lib/store/linked_store.ts";
import { moveAside, restoreTrash } from "../../../lib/store/trash.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { makeBlob, makeManifest, readAll, streamOf } from "../../support/content.ts";
import { FakeUpstream, RoutedUpstream, unreachable } from "../../support/fake_upstream.ts";
import { removeFolder } from "../../support/remove_folder.ts";
import { TestFolder } from "../../support/test_folder.ts";

const MiB = 1024 * 1024;
const OWNER = "a.test/private/app";
const SAME_REGISTRY = "a.test/other/app";
const STRANGER = "b.test/evil/app";
const config = makeBlob(200, 2);
const layer = makeBlob(6 * MiB, 3);
const image = makeManifest(config, [layer]);
const { digest } = layer.descriptor;
const size = layer.bytes.length;

/** Opens a server's cache, in whose store the layer is that the upstream of `OWNER` has given. */
async function openCache({ isFilled = true, writer = OWNER } = {}) {
  const folder = await TestFolder.create();
  const upstreams = new Map<string, FakeUpstream>();
  const upstream = new RoutedUpstream((repo) => {
    const known = upstreams.get(repo) ?? new FakeUpstream(config, layer, image);
    upstreams.set(repo, known);
    return known;
  });
  const store = new DiskStore(folder.path);
  if (isFilled) {
    await store.writeBlob(writer, layer.descriptor, streamOf(layer.bytes));
    await store.writeManifest(writer, { ...image.descriptor, isFetched: true }, image.bytes);
  }
  const open = (online?: Upstream) =>
    new PullThrough({ store: new LinkedStore(new DiskStore(folder.path)), upstream: online });
  const cache = open(upstream);
  const gate = Promise.withResolvers<void>();
  const settle = async () => {
    while (cache.isDownloading(digest)) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  return {
    ...{ folder, root: folder.path, upstream, store, cache, settle, gate },
    offline: () => open(),
    /** What the upstream of a repository was asked about the layer. */
    asked: (repo: string) => upstream.of(repo).asked.filter((it) => it.includes(digest)).map((it) => it.split(" ")[0]),
    async [Symbol.asyncDispose]() {
      gate.resolve();
      await settle();
      await removeFolder(folder.path);
    },
  };
}

async function sizeOf(cache: PullThrough, repo: string): Promise<number | undefined> {
  const opened = await cache.openBlob(repo, digest);
  return opened && (await readAll(opened)).length;
}

/** Has the manifest, which names the layer, fetched for a repository. */
async function fetchManifest(cache: PullThrough, repo: string): Promise<void> {
  assertEquals(await cache.readManifest(repo, image.descriptor.digest), image.bytes);
}

/** [what, repository, spoils its upstream, bytes that are served, requests for the layer] */
const rights: [string, string, (upstream: FakeUpstream) => void, number | undefined, string[]][] = [
  ["the upstream does not have", SAME_REGISTRY, (it) => it.content.delete(digest), undefined, ["stat", "blob"]],
  ["its registry gave to another, and confirms", SAME_REGISTRY, () => {}, size, ["stat"]],
  ["another registry gave, and its own does not have", STRANGER, (it) => it.content.delete(digest), undefined, [
    "stat",
    "blob",
  ]],
  ["another registry gave, and its own sends", STRANGER, () => {}, size, ["stat", "blob"]],
  [
    "another registry gave, and its own only confirms",
    STRANGER,
    (it) => it.openBlobWith = () => Promise.resolve(undefined),
    undefined,
    ["stat"],
  ],
];
for (const [what, repo, spoil, expected, requests] of rights) {
  for (const isNamed of [false, true]) {
    const how = isNamed ? "with" : "without";
    Deno.test(`[74] ${how} a fetched manifest, a repository serves a blob that ${what}: ${expected}`, async () => {
      await using it = await openCache();
      if (isNamed) await fetchManifest(it.cache, repo);
      spoil(it.upstream.of(repo));
      assertEquals([await sizeOf(it.cache, repo), it.asked(repo)], [expected, requests]);
      await it.settle();
      // The right is kept as a link: the upstream is not asked again, and may be gone.
      assertEquals([await sizeOf(it.offline(), repo), await it.offline().statBlob(repo, digest)], [expected, expected]);
      assertEquals(await sizeOf(it.offline(), OWNER), size);
    });
  }
}

Deno.test("[74] a HEAD that fails gives no right", async () => {
  await using it = await openCache();
  await fetchManifest(it.cache, STRANGER);
  it.upstream.of(STRANGER).failure = unreachable();
  assertEquals(await sizeOf(it.cache, STRANGER).catch((error) => error.code), "UNAVAILABLE");
});

Deno.test("[74] a tag, a restart and a collection do not make a fetched manifest grant its blobs", async () => {
  await using it = await openCache();
  it.upstream.of(STRANGER).tags.set("1", image.descriptor.digest);
  it.upstream.of(STRANGER).content.delete(digest);
  await it.cache.resolve(STRANGER, "1");
  await fetchManifest(it.cache, STRANGER);
  await it.store.tag(STRANGER, "1", image.descriptor.digest);
  assertEquals(await it.offline().statBlob(STRANGER, digest), undefined);
  const link = revisionLinkPath(STRANGER, image.descriptor.digest);
  const isMarked = () => Deno.lstat(`${it.root}/${fetchedMarkPath(link)}`).then(() => true, () => false);
  assertEquals(await isMarked(), true);
  // The mark goes with the link, and comes back with it.
  await moveAside(it.root, link);
  assertEquals(await isMarked(), false);
  await restoreTrash(it.root);
  assertEquals([await isMarked(), await it.offline().statBlob(STRANGER, digest)], [true, undefined]);
  await it.store.writeManifest(STRANGER, { ...image.descriptor, isFetched: true }, image.bytes);
  assertEquals([await isMarked(), await it.offline().statBlob(STRANGER, digest)], [true, undefined]);
  await Deno.remove(`${it.root}/docker/registry/v2/repositories/${STRANGER}/_manifests/tags`, { recursive: true });
  await collectGarbage(it.root, { untagged: true });
  assertEquals([await isMarked(), await it.folder.listFiles(`docker/registry/v2/repositories/b.test`)], [false, []]);
});

Deno.test("[74] a manifest that is imported grants its blobs, before and after it was fetched", async () => {
  await using it = await openCache({ writer: "a.test/mirror" });
  await fetchManifest(it.cache, STRANGER);
  assertEquals(await it.offline().statBlob(STRANGER, digest), undefined);
  await it.store.writeManifest(STRANGER, image.descriptor, image.bytes);
  assertEquals(await it.offline().statBlob(STRANGER, digest), size);
  await it.store.writeManifest(STRANGER, { ...image.descriptor, isFetched: true }, image.bytes);
  await Deno.remove(`${it.root}/docker/registry/v2/repositories/${STRANGER}/_layers`, { recursive: true });
  // As in a folder of crpe 0.1.0, whose manifests have no links.
  assertEquals(await it.offline().statBlob(STRANGER, digest), size);
});

Deno.test("[75] a reader keeps its own download when another registry gives the blob first", async () => {
  await using it = await openCache({ isFilled: false });
  const { gate } = it;
  it.upstream.of(STRANGER).beforeChunk = (sent) => sent < 2 * MiB ? Promise.resolve() : gate.promise;
  const slow = await it.cache.openBlob(STRANGER, digest);
  const fast = await it.cache.openBlob(OWNER, digest);
  assertEquals((await readAll(fast)).length, size);
  while (await it.store.statBlob(OWNER, digest) === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
  // Time for the end of that download, which must not end this one.
  await new Promise((resolve) => setTimeout(resolve, 50));
  gate.resolve();
  assertEquals(computeDigest(await readAll(slow)), digest);
  await it.settle();
  assertEquals([await sizeOf(it.offline(), OWNER), await sizeOf(it.offline(), STRANGER)], [size, size]);
});

for (const isNamed of [false, true]) {
  const how = isNamed ? "with" : "without";
  Deno.test(`[75] ${how} a manifest, a repository follows a download of its registry only if that confirms`, async () => {
    await using it = await openCache({ isFilled: false });
    const { gate } = it;
    it.upstream.of(OWNER).beforeChunk = (sent) => sent < 2 * MiB ? Promise.resolve() : gate.promise;
    it.upstream.of("a.test/denied").content.delete(digest);
    if (isNamed) { for (const repo of ["a.test/denied", SAME_REGISTRY]) await fetchManifest(it.cache, repo); }
    const first = await it.cache.openBlob(OWNER, digest);
    assertEquals(await it.cache.statBlob("a.test/denied", digest), undefined);
    assertEquals(await it.cache.openBlob("a.test/denied", digest), undefined);
    const shared = await it.cache.openBlob(SAME_REGISTRY, digest);
    const again = await it.cache.openBlob(SAME_REGISTRY, digest);
    assertEquals(it.asked(SAME_REGISTRY), ["stat"]);
    // A confirmation alone is no right to what may never arrive from this registry.
    assert(!await it.store.isLinkedBlob(SAME_REGISTRY, digest));
    gate.resolve();
    for (const opened of [first, shared, again]) assertEquals(computeDigest(await readAll(opened)), digest);
    await it.settle();
    assertEquals(await sizeOf(it.offline(), SAME_REGISTRY), size);
    assertEquals(await it.offline().statBlob("a.test/denied", digest), undefined);
    assertEquals(await it.cache.openBlob("a.test/denied", digest), undefined);
  });
}

/** [who wrote the partial file, the repository of the client, the bytes in the file, whether they are sent to the client] */
for (
  const [origin, repo, length, isServed] of [
    [OWNER, STRANGER, 4 * MiB, false],
    [OWNER, STRANGER, size, false],
    [undefined, STRANGER, 4 * MiB, false],
    [undefined, STRANGER, size, false],
    [OWNER, SAME_REGISTRY, 4 * MiB, false],
    [OWNER, SAME_REGISTRY, size, false],
    [OWNER, OWNER, 4 * MiB, true],
    [OWNER, OWNER, size, true],
  ] as const
) {
  const what = `${length === size ? "all" : "what"} was received of a blob from ${origin ?? "a bundle"}`;
  Deno.test(`[74] ${what} is ${isServed ? "" : "not "}sent to a client of ${repo}`, async () => {
    await using it = await openCache({ isFilled: false });
    const ingest = await it.store.openIngest(digest, origin);
    await ingest.write(layer.bytes.subarray(0, length));
    ingest.keep();
    // A registry that anyone can run has the manifest, and sends anything for the rest.
    it.upstream.of(repo).openBlobWith = (_repo, _digest, { range }) => {
      const start = (range as { start?: number } | undefined)?.start ?? 0;
      const body = streamOf(new Uint8Array(size - start));
      return Promise.resolve({ size, start, length: size - start, body });
    };
    await fetchManifest(it.cache, repo);
    let received = 0;
    let isOfBlob = false;
    const read = async () => {
      const opened = await it.cache.openBlob(repo, digest);
      for await (const chunk of opened!.body) {
        isOfBlob ||= chunk.every((byte, i) => byte === layer.bytes[received + i]);
        received += chunk.length;
      }
    };
    await read().catch(() => {});
    await it.settle();
    assertEquals(isOfBlob, isServed);
    if (isServed) return;
    // The file is there for its own repository, whatever was sent for another one.
    const again = await it.store.openIngest(digest, origin);
    assertEquals(again.written, length);
    again.keep();
    // With the right bytes, the other one has the blob too.
    it.upstream.of(repo).openBlobWith = FakeUpstream.prototype.openBlobWith;
    assertEquals(await sizeOf(it.cache, repo), size);
    assertEquals(it.asked(repo).filter((asked) => asked === "blob").length, 1);
  });
}
