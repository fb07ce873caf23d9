import { CacheLimit } from "../../../lib/cache/cache_limit.ts";
import { PullThrough } from "../../../lib/cache/pull_through.ts";
import { StoreGate } from "../../../lib/cache/store_gate.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { tagLinkPath } from "../../../lib/store/layout.ts";
import { verifyStore } from "../../../lib/store/verify_store.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { makeBlob, makeIndex, makeManifest, readAll, streamOf } from "../../support/content.ts";
import { FakeUpstream } from "../../support/fake_upstream.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const KIB = 1024;
const [config, layer, large] = [makeBlob(200, 1), makeBlob(40 * KIB, 2), makeBlob(80 * KIB, 3)] as const;
const single = makeManifest(config, [layer]);
const index = makeIndex([single]);
const next = makeManifest(config, [large]);
// So many that their removal takes longer than storing one of them.
const TAGS = Array.from({ length: 30 }, (_, i) => `v${i}`);
const IMAGES = [["a manifest", single], ["an index", index]] as const;

const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await pause(0);
}

/** Waits for the next file that is removed synchronously, as an eviction removes a tag; its path, if there is one. */
function watchRemoval(): Disposable & { readonly path: Promise<string> } {
  const { promise, resolve } = Promise.withResolvers<string>();
  const { removeSync } = Deno;
  Deno.removeSync = (path) => {
    removeSync(path);
    resolve(`${path}`);
  };
  return { path: promise, [Symbol.dispose]: () => void (Deno.removeSync = removeSync) };
}

class PausingStore extends DiskStore {
  beforeTag: (tag: string) => Promise<unknown> = () => Promise.resolve();
  override async tag(...args: Parameters<DiskStore["tag"]>) {
    await this.beforeTag(args[1]);
    await super.tag(...args);
  }
}

/** A cache with room for one of the two images, which has the manifest of the image `next`. */
async function openCache({ limit = 100 * KIB } = {}) {
  const folder = await TestFolder.create();
  const store = new PausingStore(folder.path);
  const upstream = new FakeUpstream(config, layer, large, single, index, next);
  upstream.tags.set("next", next.descriptor.digest);
  const evicted: string[] = [];
  const space = await CacheLimit.start({
    root: folder.path,
    limit,
    store,
    onEvict: (image) => evicted.push(...image?.references ?? []),
  });
  let time = 0;
  const cache = new PullThrough({ store, upstream, space, now: () => time, tagTtl: 60_000 });
  await cache.resolve(REPO, "next");
  return {
    ...{ folder, store, upstream, evicted, space, cache },
    /** Lets every tag be asked for again. */
    expire: () => time += 3_600_000,
    /** Downloads the image. */
    download: async () => {
      await cache.resolve(REPO, single.descriptor.digest);
      for (const { descriptor: { digest } } of [config, layer]) {
        await readAll(await cache.openBlob(REPO, digest));
        // A client receives the last bytes before the blob is committed.
        while (cache.isDownloading(digest)) await pause(1);
      }
    },
    /** Asserts that no link refers to a missing manifest, and returns what the tag refers to. */
    check: async (tag: string) => {
      await cache.stop();
      await space.close();
      const { broken, links } = await verifyStore(folder.path, store);
      assertEquals({ broken, links }, { broken: [], links: [] });
      return (await new DiskStore(folder.path).resolve(REPO, tag))?.digest;
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

for (const [what, root] of IMAGES) {
  Deno.test(`[110] a tag of ${what} that is requested while the image is evicted is stored again, with its manifest`, async () => {
    await using it = await openCache();
    for (const tag of TAGS) {
      it.upstream.tags.set(tag, root.descriptor.digest);
      await it.cache.resolve(REPO, tag);
    }
    await it.download();
    using removal = watchRemoval();
    const eviction = it.space.reserve(large.bytes.length, large.descriptor.digest);
    const path = await Promise.race([removal.path, eviction.then(() => undefined)]);
    assertEquals(it.evicted, []);
    const removed = TAGS.find((tag) => path === `${it.folder.path}/${tagLinkPath(REPO, tag)}`)!;
    assertEquals((await it.cache.resolve(REPO, removed))?.digest, root.descriptor.digest);
    await it.cache.readManifest(REPO, root.descriptor.digest);
    (await eviction)?.[Symbol.dispose]();
    assertEquals(it.evicted.length, TAGS.length);
    assertEquals(await it.check(removed), root.descriptor.digest);
  });

  Deno.test(`[110] a tag of ${what} that is being stored when an eviction begins is evicted with its manifest`, async () => {
    await using it = await openCache();
    await it.download();
    it.upstream.tags.set("v0", root.descriptor.digest);
    let eviction: Promise<Disposable | undefined> | undefined;
    it.store.beforeTag = async () => {
      eviction = it.space.reserve(large.bytes.length, large.descriptor.digest);
      // It must wait until the tag is stored; this is how long it has to do otherwise.
      await Promise.race([eviction, pause(200)]);
    };
    await it.cache.resolve(REPO, "v0");
    (await eviction)?.[Symbol.dispose]();
    assertEquals(await it.check("v0"), undefined);
    assertEquals(it.evicted, [`${REPO}:v0`]);
  });
}

Deno.test("[110] a tag that waits for an eviction does not go back to the old image", async () => {
  await using it = await openCache({ limit: 1000 * KIB });
  const { cache, upstream, space } = it;
  upstream.tags.set("v", single.descriptor.digest);
  await cache.resolve(REPO, "v");
  await it.download();
  upstream.tags.set("v", next.descriptor.digest);
  it.expire();
  assertEquals((await cache.resolve(REPO, "v"))?.digest, next.descriptor.digest);
  // The image becomes complete, and its tag cannot be stored yet.
  const gate = Promise.withResolvers<void>();
  const store = space.store.bind(space);
  const writes: Promise<unknown>[] = [];
  space.store = <T>(...args: Parameters<typeof store<T>>) => {
    const writing = gate.promise.then(() => store(...args));
    writes.push(writing);
    return writing;
  };
  await readAll(await cache.openBlob(REPO, large.descriptor.digest));
  while (writes.length === 0) await pause(1);
  const during = await cache.resolve(REPO, "v");
  gate.resolve();
  await Promise.all(writes);
  assertEquals(during?.digest, next.descriptor.digest);
  assertEquals(await it.check("v"), next.descriptor.digest);
});

Deno.test("[110] what is stored while many images are evicted waits for a few of them", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  const images = Array.from({ length: 45 }, (_, i) => [makeBlob(2 * KIB, 100 + i)] as const);
  for (const [i, [layer]] of images.entries()) {
    const { descriptor, bytes } = makeManifest(config, [layer]);
    for (const blob of [config, layer]) await store.writeBlob(REPO, blob.descriptor, streamOf(blob.bytes));
    await store.writeManifest(REPO, descriptor, bytes);
    await store.tag(REPO, `i${i}`, descriptor.digest);
  }
  const evicted: string[] = [];
  const space = await CacheLimit.start({
    root: folder.path,
    limit: 150 * KIB,
    store,
    onEvict: (image) => evicted.push(...image?.references ?? []),
  });
  await space.store(next.descriptor.digest, () => store.writeManifest(REPO, next.descriptor, next.bytes));
  const reservation = space.reserve(large.bytes.length, large.descriptor.digest);
  await Promise.race([reservation, until(() => evicted.length > 0)]);
  await space.store(single.descriptor.digest, () => store.writeManifest(REPO, single.descriptor, single.bytes));
  const before = evicted.length;
  const reserved = await reservation;
  assert(reserved !== undefined);
  reserved[Symbol.dispose]();
  assert(before >= 8 && before < 12, `${before} images were evicted before`);
  assert(evicted.length > 16, `${evicted.length} images were evicted`);
  await space.close();
  assertEquals((await verifyStore(folder.path, store)).links, []);
});

Deno.test("[110] a tag that moves on while another pending one is looked at does not go back", async () => {
  await using folder = await TestFolder.create();
  const makeImage = (seed: number) => ({
    layer: makeBlob(2 * KIB, seed),
    manifest: makeManifest(config, [makeBlob(2 * KIB, seed)]),
  });
  const [slow, first, second, third, unrelated] = [30, 31, 32, 33, 34].map(makeImage) as ReturnType<typeof makeImage>[];
  const isSlow = Promise.withResolvers<void>();
  let isLooking = false;
  class SlowStore extends DiskStore {
    override async statBlob(...args: Parameters<DiskStore["statBlob"]>) {
      if (isLooking && args[1] === slow!.layer.descriptor.digest) await isSlow.promise;
      return await super.statBlob(...args);
    }
  }
  const store = new SlowStore(folder.path);
  const fill = async ({ layer, manifest }: ReturnType<typeof makeImage>, ...tags: string[]) => {
    for (const blob of [config, layer]) await store.writeBlob(REPO, blob.descriptor, streamOf(blob.bytes));
    await store.writeManifest(REPO, manifest.descriptor, manifest.bytes);
    for (const tag of tags) await store.tag(REPO, tag, manifest.descriptor.digest);
  };
  const all = [slow, first, second, third, unrelated] as const;
  const upstream = new FakeUpstream(config, ...all.flatMap((image) => [image!.layer, image!.manifest]));
  let time = 0;
  const cache = new PullThrough({ store, upstream, now: () => time, tagTtl: 1000 });
  await fill(first!, "other", "tag");
  upstream.tags.set("other", slow!.manifest.descriptor.digest);
  upstream.tags.set("tag", second!.manifest.descriptor.digest);
  for (const tag of ["other", "tag"]) await cache.resolve(REPO, tag);
  // Another process downloads what both of its images lack.
  for (const image of [second, third]) await fill(image!);
  isLooking = true;
  const moving = cache.readManifest(REPO, unrelated!.manifest.descriptor.digest);
  await pause(20);
  time += 2000;
  upstream.tags.set("tag", third!.manifest.descriptor.digest);
  assertEquals((await cache.resolve(REPO, "tag"))?.digest, third!.manifest.descriptor.digest);
  isSlow.resolve();
  await moving;
  assertEquals((await cache.resolve(REPO, "tag"))?.digest, third!.manifest.descriptor.digest);
  assertEquals((await new DiskStore(folder.path).resolve(REPO, "tag"))?.digest, third!.manifest.descriptor.digest);
});

Deno.test("[110] StoreGate runs writes together, and an eviction between them", async () => {
  const gate = new StoreGate();
  const steps: string[] = [];
  const first = Promise.withResolvers<void>();
  const eviction = Promise.withResolvers<void>();
  const note = (name: string, until?: Promise<void>) => async () => {
    steps.push(`${name} begins`);
    await until;
    steps.push(`${name} ends`);
  };
  const all = [
    gate.write(note("first", first.promise)),
    gate.write(note("second")),
    gate.evict(note("eviction", eviction.promise)),
    gate.write(note("third")),
  ];
  await pause(0);
  first.resolve();
  await pause(0);
  eviction.resolve();
  await Promise.all(all);
  assertEquals(steps, [
    ...["first begins", "second begins", "second ends", "first ends"],
    ...["eviction begins", "eviction ends", "third begins", "third ends"],
  ]);
});
