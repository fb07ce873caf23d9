import { CacheLimit, type CacheLimitOptions } from "../../../lib/cache/cache_limit.ts";
import { isComplete } from "../../../lib/cache/completeness.ts";
import { planEviction } from "../../../lib/cache/eviction_plan.ts";
import { PullThrough } from "../../../lib/cache/pull_through.ts";
import { lockFile } from "../../../lib/files/file_lock.ts";
import { listFoldersSync } from "../../../lib/files/folder_scan.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { blobPath, BLOBS, partialPath } from "../../../lib/store/layout.ts";
import { sizeOfFile } from "../../../lib/store/store_scan.ts";
import { verifyStore } from "../../../lib/store/verify_store.ts";
import { takeWriteLease } from "../../../lib/store/write_lease.ts";
import { assert, assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { type Content, makeBlob, makeIndex, makeManifest, readAll, streamOf } from "../../support/content.ts";
import { FakeUpstream } from "../../support/fake_upstream.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const KIB = 1024;

/** An image with its blobs, under a tag. */
interface TestImage {
  readonly tag: string;
  readonly root: Content;
  /** The manifests, with the root first, and the blobs of each. */
  readonly manifests: readonly { readonly content: Content; readonly blobs: readonly Content[] }[];
}

let seeds = 1000;

function makeImage(tag: string, ...layers: Content[]): TestImage {
  const blobs = [makeBlob(200, ++seeds), ...layers];
  const root = makeManifest(blobs[0]!, layers);
  return { tag, root, manifests: [{ content: root, blobs }] };
}

function makeIndexImage(tag: string, ...parts: TestImage[]): TestImage {
  const root = makeIndex(parts.map((part) => part.root));
  return { tag, root, manifests: [{ content: root, blobs: [] }, ...parts.flatMap((part) => part.manifests)] };
}

const layerOf = (kib: number) => makeBlob(kib * KIB, ++seeds);

/** Starts a limit, and waits until the store was measured. */
async function openLimit(options: CacheLimitOptions): Promise<CacheLimit> {
  const limit = await CacheLimit.start(options);
  (await limit.reserve(0))?.[Symbol.dispose]();
  return limit;
}

async function openLimited(limit: number, options: Partial<CacheLimitOptions> = {}) {
  const folder = await TestFolder.create();
  const root = folder.path;
  const store = new DiskStore(root);
  const evicted: string[] = [];
  const warnings: string[] = [];
  const open = () =>
    openLimit({
      root,
      limit,
      store,
      onEvict: (image) => image !== undefined && evicted.push(image.references.join() || image.digest),
      warn: (message) => warnings.push(message),
      ...options,
    });
  const it = {
    root,
    folder,
    store,
    evicted,
    warnings,
    limit: await open(),
    restart: async () => {
      await it.limit.close();
      it.limit = await open();
    },
    /**
     * Stores an image in the order of a pull-through: manifests and tag, then blobs. @returns number of cached blobs
     */
    pull: async ({ tag, root, manifests }: TestImage): Promise<number> => {
      let cached = 0;
      for (const { content: { descriptor, bytes }, blobs } of manifests) {
        await it.limit.store(descriptor.digest, async () => {
          await store.writeManifest(REPO, descriptor, bytes);
          if (descriptor.digest === root.descriptor.digest) await store.tag(REPO, tag, descriptor.digest);
        });
        for (const blob of blobs) cached += await it.fetch(blob) ? 1 : 0;
      }
      return cached;
    },
    fetch: async ({ descriptor, bytes }: Content): Promise<boolean> => {
      if (await store.statBlob(REPO, descriptor.digest) !== undefined) return true;
      using space = await it.limit.reserve(bytes.length, descriptor.digest);
      if (space !== undefined) await store.writeBlob(REPO, descriptor, streamOf(bytes));
      return space !== undefined;
    },
    use: ({ root, manifests }: TestImage) => {
      for (const { content } of [{ content: root }, ...manifests]) it.limit.touch(content.descriptor.digest);
    },
    tags: async () => (await new DiskStore(root).listTagLinks(REPO)).map(({ tag }) => tag).join(" "),
    isComplete: async ({ root: { descriptor } }: TestImage) => await isComplete(new DiskStore(root), REPO, descriptor),
    // At once: blobs are removed and stored meanwhile, and must not count twice.
    countBytes: () => {
      const blobs = `${root}/${BLOBS}/sha256`;
      const digests = listFoldersSync(blobs).flatMap((prefix) => listFoldersSync(`${blobs}/${prefix}`));
      return digests.reduce((sum, hex) => sum + (sizeOfFile(`${root}/${blobPath(`sha256:${hex}`)}`) ?? 0), 0);
    },
    /** Asserts the invariants of the store and its limit. */
    check: async () => {
      await it.limit.close();
      assertEquals(warnings, []);
      const { broken, bytes } = await verifyStore(root, new DiskStore(root));
      assertEquals(broken, []);
      assert(bytes <= limit, `${bytes} bytes; the limit is ${limit}`);
      assertEquals(it.limit.bytes, bytes);
      const fresh = new DiskStore(root);
      for (const { tag } of await fresh.listTagLinks(REPO)) {
        const manifest = await fresh.resolve(REPO, tag);
        assert(manifest !== undefined, `${tag} refers to a missing manifest`);
        assert(await isComplete(fresh, REPO, manifest), `${tag} is not complete`);
      }
    },
    [Symbol.asyncDispose]: async () => {
      await it.limit.close();
      await folder[Symbol.asyncDispose]();
    },
  };
  return it;
}

const sizes = new Map(Object.entries({ a: 10, b: 20, c: 30, s: 100 }).map(([key, size]) => [key as Digest, size]));
for (
  const [what, images, bytes, expected] of [
    ["no image when there is nothing to free", [["x", "a", 1]], 0, ""],
    ["the least recently used image", [["x", "a", 2], ["y", "b", 1], ["z", "c", 3]], 5, "y"],
    ["as many images as necessary", [["x", "a", 2], ["y", "b", 1], ["z", "c", 3]], 25, "y x"],
    ["no image when all are not enough", [["x", "a", 2], ["y", "b", 1]], 31, undefined],
    ["no image that is not evictable", [["x", "a", 1, "stays"], ["y", "b", 2]], 5, "y"],
    ["no image that frees nothing", [["x", "s", 1], ["y", "sa", 9, "stays"], ["z", "b", 2]], 5, "z"],
    ["both images that share a blob", [["x", "s", 1], ["y", "sa", 2], ["z", "b", 3]], 50, "x y"],
    ["no image that turns out to be unnecessary", [["x", "a", 1], ["y", "c", 2], ["z", "b", 3]], 30, "y"],
    ["no image whose blobs are kept", [["x", "k", 1], ["y", "b", 2]], 5, "y"],
  ] as [string, [string, string, number, string?][], number, string | undefined][]
) {
  Deno.test(`planEviction() chooses ${what}`, () => {
    const candidates = images.map(([name, letters, rank, stays]) => (
      { name, digests: new Set(letters.split("") as Digest[]), rank, isEvictable: stays === undefined }
    ));
    const all = new Map([...sizes, ["k" as Digest, 1000]]);
    const plan = planEviction(candidates, { bytes, sizes: all, isKept: (digest) => digest === "k" as Digest });
    assertEquals(plan?.map(({ name }) => name).join(" "), expected);
  });
}

Deno.test("CacheLimit evicts the least recently used images, completely", async () => {
  await using it = await openLimited(100 * KIB);
  const [a, b, c, d] = ["a", "b", "c", "d"].map((tag) => makeImage(tag, layerOf(20), layerOf(10))) as [
    TestImage,
    TestImage,
    TestImage,
    TestImage,
  ];
  for (const image of [a, b, c]) assertEquals(await it.pull(image), 3);
  assertEquals([it.evicted, await it.tags()], [[], "a b c"]);
  it.use(a);
  assertEquals(await it.pull(d), 3);
  assertEquals([it.evicted, await it.tags()], [[`${REPO}:b`], "a c d"]);
  const left = await it.folder.listFiles("docker");
  for (const { descriptor } of [b.root, ...b.manifests[0]!.blobs]) {
    assertEquals(left.filter((name) => name.includes(descriptor.digest.slice(7))), []);
  }
  await it.check();
  assert(await it.isComplete(a) && await it.isComplete(c) && await it.isComplete(d));
});

Deno.test("CacheLimit counts a request for a manifest of an index as a use of the index", async () => {
  await using it = await openLimited(100 * KIB);
  const parts = [makeImage("", layerOf(15)), makeImage("", layerOf(15))] as const;
  const [old, other, next] = [
    makeIndexImage("old", ...parts),
    makeImage("other", layerOf(40)),
    makeImage("n", layerOf(40)),
  ];
  await it.pull(old);
  await it.pull(other);
  it.limit.touch(parts[1].root.descriptor.digest);
  await it.pull(next);
  assertEquals(await it.tags(), "n old");
  await it.check();
});

Deno.test("[37] CacheLimit keeps a blob that a remaining image shares with an evicted one", async () => {
  await using it = await openLimited(100 * KIB);
  const shared = layerOf(20);
  const [a, b, c] = [
    makeImage("a", shared, layerOf(30)),
    makeImage("b", shared, layerOf(20)),
    makeImage("c", layerOf(30)),
  ] as const;
  for (const image of [a, b, c]) await it.pull(image);
  assertEquals(await it.tags(), "b c");
  assert(await it.isComplete(b));
  // The repository still has a link to it, which CNCF distribution requires.
  const links = (await it.folder.listFiles("docker")).filter((name) => name.includes("/_layers/"));
  assert(links.some((name) => name.includes(shared.descriptor.digest.slice(7))));
  assertEquals(links.length, 5);
  await it.check();
});

Deno.test("[39] CacheLimit never evicts the content of packages, even if new content cannot be cached", async () => {
  const packaged = makeImage("packaged", layerOf(50));
  const keep = new Set<Digest>([packaged.root.descriptor.digest]);
  await using it = await openLimited(100 * KIB, { readKeep: () => Promise.resolve(keep) });
  await it.pull(packaged);
  for (const tag of ["a", "b", "c"]) assertEquals(await it.pull(makeImage(tag, layerOf(30))), 2);
  assertEquals(await it.tags(), "c packaged");
  assertEquals(await it.pull(makeImage("large", layerOf(60))), 1);
  assertEquals([await it.tags(), await it.isComplete(packaged)], ["c packaged", true]);
  await it.check();
  keep.clear();
  // The image no longer belongs to a package, and is the least recently used one.
  assertEquals(await it.pull(makeImage("large", layerOf(60))), 2);
  assertEquals(await it.tags(), "c large");
  await it.check();
});

Deno.test("[39] CacheLimit keeps the image of a package even if its referrer is not in the package", async () => {
  const packaged = makeImage("packaged", layerOf(20));
  const keep = new Set<Digest>([packaged.root.descriptor.digest]);
  await using it = await openLimited(100 * KIB, { readKeep: () => Promise.resolve(keep) });
  await it.pull(packaged);
  const blobs = [makeBlob(50, ++seeds), layerOf(40)];
  const referrer = makeManifest(blobs[0]!, blobs.slice(1), packaged.root);
  await it.store.writeManifest(REPO, referrer.descriptor, referrer.bytes);
  for (const blob of blobs) await it.fetch(blob);
  assertEquals(await it.pull(makeImage("a", layerOf(60))), 1);
  assertEquals(await it.tags(), "packaged");
  await it.check();
});

Deno.test("[39] CacheLimit does not evict an image with a download in progress or a reservation", async () => {
  const busy = new Set<Digest>();
  await using it = await openLimited(100 * KIB, { isBusy: (digest) => busy.has(digest) });
  const [a, b] = [makeImage("a", layerOf(30), layerOf(10)), makeImage("b", layerOf(30))];
  await it.pull(a);
  await it.pull(b);
  busy.add(a.manifests[0]!.blobs[1]!.descriptor.digest);
  await it.pull(makeImage("c", layerOf(30)));
  assertEquals(await it.tags(), "a c");
  busy.clear();
  {
    using _space = await it.limit.reserve(100, a.manifests[0]!.blobs[0]!.descriptor.digest);
    assertEquals(await it.pull(makeImage("d", layerOf(30))), 2);
    assertEquals(await it.tags(), "a d");
  }
  await it.pull(makeImage("e", layerOf(40)));
  assertEquals(await it.tags(), "d e");
  await it.check();
});

Deno.test("CacheLimit evicts nothing for an image that does not fit, and removes its incomplete content", async () => {
  await using it = await openLimited(100 * KIB);
  const [a, b] = [makeImage("a", layerOf(40)), makeImage("b", layerOf(40))];
  await it.pull(a);
  await it.pull(b);
  // The first layer alone would fit if b were evicted.
  const large = makeImage("large", layerOf(30), layerOf(90));
  assertEquals(await it.pull(large), 1);
  await it.limit.close();
  assertEquals([await it.tags(), it.evicted], ["a b", [`${REPO}:large`]]);
  await it.check();
});

Deno.test("CacheLimit keeps an index with one complete manifest when another does not fit", async () => {
  await using it = await openLimited(100 * KIB);
  const index = makeIndexImage("index", makeImage("", layerOf(30)), makeImage("", layerOf(90)));
  await it.pull(index);
  assertEquals(await it.tags(), "index");
  await it.check();
});

Deno.test("CacheLimit evicts nothing during an import, and counts the imported content afterwards", async () => {
  await using it = await openLimited(100 * KIB);
  await it.pull(makeImage("a", layerOf(60)));
  const blob = layerOf(20);
  {
    using _lease = await takeWriteLease(it.root);
    assertEquals(await it.pull(makeImage("b", layerOf(60))), 1);
    assertEquals(await it.tags(), "a b");
    await new DiskStore(it.root).writeBlob(REPO, blob.descriptor, streamOf(blob.bytes));
  }
  await it.pull(makeImage("c", layerOf(60)));
  assertEquals(await it.tags(), "c");
  await it.check();
});

Deno.test("CacheLimit does not reserve more than the limit for concurrent requests", async () => {
  await using it = await openLimited(100 * KIB);
  const reserve = (count: number) =>
    Promise.all(Array.from({ length: count }, (_, i) => it.limit.reserve(10 * KIB, layerOf(i + 1).descriptor.digest)));
  const reservations = (await reserve(30)).filter((reservation) => reservation !== undefined);
  assertEquals(reservations.length, 9);
  assertEquals(it.limit.bytes, 90 * KIB);
  for (const reservation of reservations) reservation[Symbol.dispose]();
  assertEquals(it.limit.bytes, 0);
  assertEquals((await reserve(9)).filter((reservation) => reservation === undefined), []);
  assertEquals(await it.limit.reserve(101 * KIB), undefined);
});

Deno.test("CacheLimit counts an ended reservation without a digest as used until the next scan", async () => {
  await using it = await openLimited(100 * KIB);
  (await it.limit.reserve(50 * KIB))![Symbol.dispose]();
  assertEquals(it.limit.bytes, 50 * KIB);
  using space = await it.limit.reserve(60 * KIB);
  assert(space !== undefined);
  assertEquals(it.limit.bytes, 60 * KIB);
});

Deno.test("CacheLimit removes unreferenced blobs, then partial files, before it evicts images, and reports their bytes", async () => {
  const freed: number[] = [];
  await using it = await openLimited(100 * KIB, {
    onEvict: (image, bytes) => freed.push(image === undefined ? bytes / KIB : -bytes),
  });
  await it.pull(makeImage("a", layerOf(30)));
  const [stray, partial, large] = [layerOf(30), layerOf(30), layerOf(25)];
  await it.fetch(stray);
  // One blob may have a partial file of each repository that it was received for.
  for (const [i, repo] of [REPO, "registry.example/other"].entries()) {
    await it.folder.write(partialPath(partial.descriptor.digest, repo), partial.bytes.subarray(0, (10 + i * 10) * KIB));
  }
  await it.restart();
  assertEquals(it.limit.bytes > 90 * KIB, true);
  await it.fetch(large);
  assertEquals(await it.store.statBlob(REPO, stray.descriptor.digest), undefined);
  assertEquals((await it.folder.listFiles("ingest")).filter((name) => name.endsWith(".partial")).length, 2);
  await it.pull(makeImage("b", layerOf(60)));
  assertEquals((await it.folder.listFiles("ingest")).filter((name) => name.endsWith(".partial")), []);
  // Two blobs, and two partial files of one blob together.
  assertEquals(freed, [30, 25, 30]);
  assertEquals(await it.tags(), "a b");
  await it.check();
});

Deno.test("CacheLimit reports no bytes of a partial file that a writer has locked", async () => {
  const freed: number[] = [];
  await using it = await openLimited(100 * KIB, { onEvict: (_, bytes) => freed.push(bytes) });
  await it.pull(makeImage("a", layerOf(60)));
  const { descriptor: { digest }, bytes } = layerOf(30);
  const path = partialPath(digest, REPO);
  await it.folder.write(path, bytes);
  using file = await Deno.open(`${it.root}/${path}`, { write: true });
  assertEquals(await lockFile(file, path), "locked");
  await it.restart();
  assertEquals([await it.fetch(layerOf(25)), freed], [false, []]);
  assertEquals(Deno.statSync(`${it.root}/${path}`).size, bytes.length);
});

Deno.test("CacheLimit.start() shrinks a store that exceeds the limit, in the saved access order", async () => {
  await using it = await openLimited(400 * KIB);
  const images = ["a", "b", "c", "d"].map((tag) => makeImage(tag, layerOf(40)));
  for (const image of images) await it.pull(image);
  it.use(images[0]!);
  await it.limit.close();
  const evicted: string[] = [];
  const smaller = await openLimit({
    root: it.root,
    limit: 100 * KIB,
    store: it.store,
    onEvict: (image, bytes) => evicted.push(`${image?.references} ${Math.floor(bytes / KIB)}`),
  });
  assertEquals(evicted, [`${REPO}:b 40`, `${REPO}:c 40`]);
  await smaller.close();
  assertEquals(await it.tags(), "a d");
});

Deno.test("CacheLimit.start() does not wait for the scan of the store, but a reservation does", async () => {
  await using it = await openLimited(400 * KIB);
  await it.pull(makeImage("a", layerOf(40)));
  await it.limit.close();
  const limit = await CacheLimit.start({ root: it.root, limit: 100 * KIB, store: it.store });
  assertEquals(limit.bytes, 0);
  using booking = await limit.reserve(10 * KIB);
  assert(booking !== undefined && limit.bytes > 50 * KIB);
  await limit.close();
});

for (const text of ["", "{", '{"a":1}', '["nonsense", 1, null]']) {
  Deno.test(`CacheLimit treats all images as equally old if the access order is ${JSON.stringify(text)}`, async () => {
    await using it = await openLimited(100 * KIB);
    await it.pull(makeImage("a", layerOf(40)));
    await it.limit.close();
    await Deno.writeTextFile(`${it.root}/ingest/access.json`, text);
    await it.restart();
    await Deno.writeTextFile(`${it.root}/ingest/access.json`, text);
    it.limit = await openLimit({ root: it.root, limit: 100 * KIB, store: it.store });
    const b = makeImage("b", layerOf(40));
    await it.pull(b);
    await it.pull(makeImage("c", layerOf(40)));
    assertEquals(await it.tags(), "b c");
  });
}

Deno.test("CacheLimit saves the access order periodically, not at each use", async () => {
  let time = 0;
  await using it = await openLimited(100 * KIB, { now: () => time });
  const image = makeImage("a", layerOf(1));
  await it.pull(image);
  const isSaved = async () => (await it.folder.listFiles("ingest")).includes("access.json");
  assertEquals(await isSaved(), false);
  time = 60_000;
  it.use(image);
  using _after = await it.limit.reserve(1);
  assert(await isSaved());
});

Deno.test("CacheLimit reserves no space, with a warning, when the content of packages cannot be read", async () => {
  await using it = await openLimited(100 * KIB, { readKeep: () => Promise.reject(new Error("the record is torn")) });
  await it.pull(makeImage("a", layerOf(80)));
  assertEquals(await it.limit.reserve(80 * KIB), undefined);
  assertStringIncludes(it.warnings.join(), "the record is torn");
  assertEquals([await it.tags(), it.evicted], ["a", []]);
});

Deno.test("CacheLimit keeps the store of a PullThrough within its limit", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  const upstream = new FakeUpstream();
  let isBusy: (digest: Digest) => boolean = () => false;
  const limit = await openLimit({
    root: folder.path,
    limit: 600 * KIB,
    store,
    isBusy: (digest) => isBusy(digest),
  });
  const cache = new PullThrough({ store, upstream, space: limit });
  isBusy = (digest) => cache.isDownloading(digest);
  const images = Array.from({ length: 10 }, (_, i) => makeImage(`v${i}`, layerOf(80), layerOf(60)));
  for (const { tag, root, manifests } of images) {
    for (const content of [root, ...manifests[0]!.blobs]) upstream.content.set(content.descriptor.digest, content);
    upstream.tags.set(tag, root.descriptor.digest);
    assertEquals((await cache.resolve(REPO, tag))?.digest, root.descriptor.digest);
    await Promise.all(manifests[0]!.blobs.map(async ({ descriptor, bytes }) => {
      assertEquals(await readAll(await cache.openBlob(REPO, descriptor.digest)), bytes);
    }));
    assert((await verifyStore(folder.path, store)).bytes <= 600 * KIB);
  }
  // A client receives the last bytes before the blob is committed.
  const digests = images.flatMap(({ manifests }) => manifests[0]!.blobs.map(({ descriptor }) => descriptor.digest));
  while (digests.some((digest) => cache.isDownloading(digest))) await new Promise((resolve) => setTimeout(resolve, 1));
  await limit.close();
  const left = (await store.listTagLinks(REPO)).map(({ tag }) => tag);
  assertEquals(left.slice(-3), ["v7", "v8", "v9"]);
  for (const tag of left) {
    const manifest = await store.resolve(REPO, tag);
    assert(manifest !== undefined && await isComplete(store, REPO, manifest), tag);
  }
});

function createRandom(seed: number): (below: number) => number {
  let state = seed * 2654435761 >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state = (state ^ state << 5) >>> 0;
    return state % below;
  };
}

for (let seed = 1; seed <= 6; seed++) {
  Deno.test(`CacheLimit keeps its limit, and all tagged images complete, in random pulls (${seed})`, async () => {
    const random = createRandom(seed);
    const layers = Array.from({ length: 14 }, () => layerOf(random(60) + 1));
    const some = () => Array.from({ length: random(3) + 1 }, () => layers[random(layers.length)]!);
    const parts = Array.from({ length: 8 }, (_, i) => makeImage(`single${i}`, ...some()));
    const images = [
      ...parts,
      ...Array.from({ length: 4 }, (_, i) => makeIndexImage(`index${i}`, parts[random(8)]!, makeImage("", ...some()))),
      makeImage("huge", layerOf(50), layerOf(500)),
    ];
    const packaged = images[random(8)]!;
    const keep = new Set([packaged.root.descriptor.digest]);
    const limit = 400 * KIB;
    await using it = await openLimited(limit, { readKeep: () => Promise.resolve(keep) });
    await it.pull(packaged);
    const isKept = await it.isComplete(packaged);
    for (let round = 0; round < 12; round++) {
      const chosen = Array.from({ length: random(3) + 1 }, () => images[random(images.length)]!);
      await Promise.all(chosen.map(async (image) => {
        await it.pull(image);
        assert(it.countBytes() <= limit, `${it.countBytes()} bytes`);
      }));
      if (random(5) === 0) await it.restart();
      await it.check();
      assertEquals(await it.isComplete(packaged), isKept);
    }
    assert(it.evicted.length > 0);
  });
}
