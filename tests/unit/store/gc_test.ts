import { isComplete } from "../../../lib/cache/completeness.ts";
import { PullThrough } from "../../../lib/cache/pull_through.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { collectGarbage, type GcOptions } from "../../../lib/store/gc.ts";
import { markReachable } from "../../../lib/store/reachable.ts";
import { verifyStore } from "../../../lib/store/verify_store.ts";
import { takeWriteLease } from "../../../lib/store/write_lease.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { type Content, makeBlob, makeIndex, makeManifest, streamOf, UNKNOWN_DIGEST } from "../../support/content.ts";
import { FakeUpstream } from "../../support/fake_upstream.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const NOTHING = { blobs: 0, bytes: 0, manifests: 0, links: 0 };

const [configA, configB, configC] = [makeBlob(101, 1), makeBlob(102, 2), makeBlob(103, 3)];
const [shared, onlyA, onlyB, stray] = [makeBlob(5000, 4), makeBlob(3000, 5), makeBlob(2000, 6), makeBlob(777, 7)];
const imageA = makeManifest(configA, [shared, onlyA]);
const imageB = makeManifest(configB, [shared, onlyB]);
const index = makeIndex([imageA, imageB]);
const referrer = makeManifest(configC, [], imageA);

async function openStore() {
  const folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  const put = async (...blobs: Content[]) => {
    for (const { descriptor, bytes } of blobs) await store.writeBlob(REPO, descriptor, streamOf(bytes));
  };
  const file = async (...manifests: Content[]) => {
    for (const { descriptor, bytes } of manifests) await store.writeManifest(REPO, descriptor, bytes);
  };
  return {
    folder,
    root: folder.path,
    store,
    put,
    file,
    collect: (options?: GcOptions) => collectGarbage(folder.path, options),
    has: async (content: Content) =>
      await new DiskStore(folder.path).statBlob(REPO, content.descriptor.digest) !== undefined,
    pulls: async (root: Content) => await isComplete(new DiskStore(folder.path), REPO, root.descriptor),
    // Asserts that the folder is intact, and that the trash is empty.
    check: async () => {
      assertEquals((await verifyStore(folder.path, new DiskStore(folder.path))).broken, []);
      assertEquals((await folder.listFiles("ingest")).filter((name) => name.startsWith("trash")), []);
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

Deno.test("markReachable() marks references and referrers, but not subjects", async () => {
  const [root, child, layer, sbom, signature, absent, other] = "abcdefg".split("")
    .map((letter) => `sha256:${letter.repeat(64)}` as Digest) as [
      Digest,
      Digest,
      Digest,
      Digest,
      Digest,
      Digest,
      Digest,
    ];
  const links = {
    [root]: { manifests: [child, absent], blobs: [] },
    [child]: { manifests: [], blobs: [{ digest: layer, size: 1 }] },
    [sbom]: { manifests: [], blobs: [], subject: child },
    [signature]: { manifests: [], blobs: [], subject: sbom },
  };
  const referrers: Record<string, Digest[]> = { [child]: [sbom], [sbom]: [signature], [other]: [layer] };
  const graph = {
    read: (digest: Digest) => Promise.resolve(links[digest]),
    referrersOf: (subject: Digest) => referrers[subject] ?? [],
  };
  const mark = async (...roots: Digest[]) => [...await markReachable({ ...graph, roots })].sort();
  assertEquals(await mark(root), [root, child, layer, sbom, signature, absent]);
  assertEquals(await mark(signature), [signature]);
  assertEquals(await mark(layer, child), [child, layer, sbom, signature]);
});

Deno.test("collectGarbage() neither creates a missing folder nor changes an empty one", async () => {
  await using folder = await TestFolder.create();
  assertEquals(await collectGarbage(`${folder.path}/none`), NOTHING);
  assertEquals(await collectGarbage(`${folder.path}/none`, { dryRun: true }), NOTHING);
  assertEquals(await collectGarbage(folder.path), NOTHING);
  assertEquals(await folder.listFiles(), ["ingest/writers.lock"]);
});

Deno.test("collectGarbage() removes unreferenced blobs, and reports their number and size", async () => {
  await using it = await openStore();
  await it.put(configA, shared, onlyA, stray);
  await it.file(imageA);
  await it.store.tag(REPO, "1", imageA.descriptor.digest);
  const expected = { blobs: 1, bytes: 777, manifests: 0, links: 1 };
  assertEquals(await it.collect({ dryRun: true }), expected);
  assert(await it.has(stray));
  assertEquals(await it.collect(), expected);
  assertEquals([await it.has(stray), await it.pulls(imageA)], [false, true]);
  await it.check();
  assertEquals(await it.collect(), NOTHING);
});

Deno.test("collectGarbage() keeps what is in use when blobs are also in folders with other prefixes", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  const blobs = Array.from({ length: 40 }, (_, i) => makeBlob(100, 200 + i));
  const image = makeManifest(blobs[0]!, blobs.slice(1));
  for (const { descriptor, bytes } of blobs) await store.writeBlob("a.test/b", descriptor, streamOf(bytes));
  await store.writeManifest("a.test/b", image.descriptor, image.bytes);
  for (const { descriptor: { digest }, bytes } of blobs) {
    const hex = digest.slice("sha256:".length);
    for (const prefix of [hex.slice(0, 1), hex.slice(0, 3), "zz"]) {
      await folder.write(`docker/registry/v2/blobs/sha256/${prefix}/${hex}/data`, bytes);
    }
  }
  assertEquals((await collectGarbage(folder.path, { untagged: false })).blobs, 0);
  const held = await Promise.all(blobs.map(({ descriptor: { digest } }) => store.statBlob("a.test/b", digest)));
  assertEquals(held.filter((size) => size === 100).length, blobs.length);
});

Deno.test("collectGarbage() removes untagged manifests only with `untagged`", async () => {
  await using it = await openStore();
  await it.put(configA, shared, onlyA, configB, onlyB);
  await it.file(imageA, imageB);
  await it.store.tag(REPO, "1", imageA.descriptor.digest);
  assertEquals(await it.collect(), NOTHING);
  const report = await it.collect({ untagged: true });
  assertEquals(report, { blobs: 3, bytes: 102 + 2000 + imageB.bytes.length, manifests: 1, links: 2 });
  assertEquals([await it.pulls(imageA), await it.pulls(imageB)], [true, false]);
  assertEquals(await it.store.resolve(REPO, imageB.descriptor.digest), undefined);
  await it.check();
});

Deno.test("[37] collectGarbage() keeps a blob that a remaining image shares with a removed one", async () => {
  await using it = await openStore();
  await it.put(configA, shared, onlyA, configB, onlyB);
  await it.file(imageA, imageB);
  await it.store.tag(REPO, "a", imageA.descriptor.digest);
  await it.store.tag(REPO, "b", imageB.descriptor.digest);
  await Deno.remove(`${it.root}/docker/registry/v2/repositories/${REPO}/_manifests/tags/a`, { recursive: true });
  await it.collect({ untagged: true });
  assertEquals([await it.has(onlyA), await it.has(shared), await it.pulls(imageB)], [false, true, true]);
  await it.check();
});

Deno.test("collectGarbage() keeps the manifests of an index, and their referrers", async () => {
  await using it = await openStore();
  await it.put(configA, shared, onlyA, configB, onlyB, configC);
  await it.file(imageA, imageB, index, referrer);
  await it.store.tag(REPO, "1", index.descriptor.digest);
  assertEquals(await it.collect({ untagged: true }), NOTHING);
  await it.store.tag(REPO, "1", imageB.descriptor.digest);
  const { manifests, blobs } = await it.collect({ untagged: true });
  // The index, image A and its referrer; their configs, and A's layer.
  assertEquals([manifests, blobs], [3, 6]);
  assertEquals([await it.pulls(imageB), await it.has(referrer)], [true, false]);
  await it.check();
});

Deno.test("collectGarbage() does not keep a manifest because of a tag's history", async () => {
  await using it = await openStore();
  await it.put(configA, shared, onlyA, configB, onlyB);
  await it.file(imageA, imageB);
  await it.store.tag(REPO, "1", imageA.descriptor.digest);
  await it.store.tag(REPO, "1", imageB.descriptor.digest);
  const { manifests, links } = await it.collect({ untagged: true });
  assertEquals([manifests, links], [1, 3]);
  const hex = imageA.descriptor.digest.slice(7);
  assertEquals((await it.folder.listFiles()).filter((name) => name.includes(hex)), []);
});

Deno.test("[39] collectGarbage() keeps the content of packages without a tag or link", async () => {
  await using it = await openStore();
  await it.put(configA, shared, onlyA, configB, onlyB, stray);
  await it.file(imageA, imageB);
  const keep = new Set([imageA.descriptor.digest, stray.descriptor.digest]);
  await it.collect({ untagged: true, readKeep: () => Promise.resolve(keep) });
  assertEquals(
    [await it.pulls(imageA), await it.has(stray), await it.has(imageB), await it.has(onlyB)],
    [true, true, false, false],
  );
  await assertRejects(() => it.collect({ readKeep: () => Promise.reject(new Error("cannot be read")) }), Error);
  assert(await it.pulls(imageA));
});

Deno.test("collectGarbage() keeps all blobs of a repository that has an unreadable manifest", async () => {
  await using it = await openStore();
  await it.put(configA, shared, onlyA, stray);
  await it.file(imageA);
  const hex = imageA.descriptor.digest.slice(7);
  await Deno.writeTextFile(`${it.root}/docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`, "{torn");
  assertEquals(await it.collect(), NOTHING);
  await it.file(imageA);
  assert(await it.pulls(imageA));
});

Deno.test("[30] collectGarbage() keeps every manifest in the history of a torn tag", async () => {
  await using it = await openStore();
  await it.put(configA, shared, onlyA);
  await it.file(imageA);
  await it.store.tag(REPO, "1", imageA.descriptor.digest);
  const link = `${it.root}/docker/registry/v2/repositories/${REPO}/_manifests/tags/1/current/link`;
  await Deno.writeTextFile(link, "sha256:12");
  assertEquals(await it.collect({ untagged: true }), NOTHING);
  await Deno.remove(link);
  assertEquals((await it.collect({ untagged: true })).manifests, 1);
});

Deno.test("[65] collectGarbage() refuses a folder in which a repository is a symbolic link", async () => {
  await using it = await openStore();
  await it.put(configA, shared, onlyA, stray);
  await it.file(imageA);
  const repositories = `${it.root}/docker/registry/v2/repositories`;
  await Deno.rename(`${repositories}/registry.example`, `${it.root}/elsewhere`);
  await Deno.symlink(`${it.root}/elsewhere`, `${repositories}/registry.example`);
  const error = await assertRejects(() => it.collect(), Error);
  assertStringIncludes(error.message, "it is a symbolic link");
  assert(await it.pulls(imageA));
});

Deno.test("[65] collectGarbage() refuses a folder in which a file is in the place of the manifests of a repository", async () => {
  await using it = await openStore();
  await it.put(configA, shared, onlyA, stray);
  await it.file(imageA);
  const folder = `${it.root}/docker/registry/v2/repositories/${REPO}/_manifests/revisions`;
  await Deno.rename(folder, `${it.root}/elsewhere`);
  await Deno.writeTextFile(folder, "");
  await assertRejects(() => it.collect(), Error, "is a file");
  await Deno.remove(folder);
  await Deno.rename(`${it.root}/elsewhere`, folder);
  assert(await it.pulls(imageA));
});

Deno.test("[27] collectGarbage() removes stale temporary files, and keeps new, locked and partial files", async () => {
  await using it = await openStore();
  const partial = `${UNKNOWN_DIGEST.replace(":", "-")}.partial`;
  for (const name of ["stale.tmp", "used.tmp", "new.tmp", partial]) await it.folder.write(`ingest/${name}`, "x");
  const day = new Date(Date.now() - 24 * 60 * 60 * 1000);
  for (const name of ["stale.tmp", "used.tmp", partial]) await Deno.utime(`${it.root}/ingest/${name}`, day, day);
  using used = await Deno.open(`${it.root}/ingest/used.tmp`, { write: true });
  await used.lock(true);
  await it.collect();
  assertEquals(await it.folder.listFiles("ingest"), ["new.tmp", partial, "used.tmp", "writers.lock"].sort());
});

Deno.test("[35] collectGarbage() refuses to run while content is being written, with advice", async () => {
  await using it = await openStore();
  await it.put(stray);
  {
    using _lease = await takeWriteLease(it.root);
    const error = await assertRejects(() => it.collect(), Error);
    assertStringIncludes(error.message, "try again when it has finished");
  }
  assert(await it.has(stray));
  assertEquals((await it.collect()).blobs, 1);
});

Deno.test("collectGarbage() moves back content that was referenced after the first mark", async () => {
  await using it = await openStore();
  await it.put(configA, shared, onlyA, configB, onlyB);
  await it.file(imageA);
  const { digest } = imageA.descriptor;
  // A concurrent server has the first manifest in memory, and receives the other one.
  const server = new DiskStore(it.root);
  await server.resolve(REPO, digest);
  const report = await it.collect({
    untagged: true,
    onMovedAside: async () => {
      assertEquals(await it.has(onlyA), false);
      await server.tag(REPO, "1", digest);
      await server.writeManifest(REPO, imageB.descriptor, imageB.bytes);
    },
  });
  assertEquals(report, NOTHING);
  assertEquals([await it.pulls(imageA), await it.pulls(imageB)], [true, true]);
  assertEquals((await it.store.resolve(REPO, "1"))?.digest, digest);
  await it.check();
});

Deno.test("DiskStore stores a manifest again that a collection removed before it was tagged", async () => {
  await using it = await openStore();
  await it.put(configA, shared, onlyA);
  await it.file(imageA);
  const { digest } = imageA.descriptor;
  const server = new DiskStore(it.root);
  await server.resolve(REPO, digest);
  assertEquals((await it.collect({ untagged: true })).manifests, 1);
  // The server has the manifest in memory only. Unless it is written again, the tag refers to a missing manifest.
  await server.tag(REPO, "1", digest);
  assertEquals((await new DiskStore(it.root).resolve(REPO, "1"))?.digest, digest);
  assertEquals((await it.collect({ untagged: true })).manifests, 0);

  await Deno.remove(`${it.root}/docker/registry/v2/repositories/${REPO}/_manifests/tags`, { recursive: true });
  await server.resolve(REPO, digest);
  await it.collect({ untagged: true });
  assertEquals(await server.resolve(REPO, digest), undefined);
});

Deno.test("DiskStore.writeManifest() restores files that a collection removes during the write", async () => {
  await using it = await openStore();
  const { digest } = imageA.descriptor;
  const hex = digest.slice(7);
  let names = 0;
  // Names of temporary files, in order: one for the manifest, three for the links to its blobs, one for its own link.
  const { randomUUID } = crypto;
  crypto.randomUUID = () => {
    if (++names === 5) Deno.removeSync(`${it.root}/docker`, { recursive: true });
    return randomUUID.call(crypto);
  };
  try {
    await new DiskStore(it.root).writeManifest(REPO, imageA.descriptor, imageA.bytes);
  } finally {
    crypto.randomUUID = randomUUID;
  }
  assertEquals((await new DiskStore(it.root).resolve(REPO, digest))?.digest, digest);
  const links = (await it.folder.listFiles("docker")).filter((name) => name.includes("/_layers/"));
  assertEquals([names, links.length], [9, 3]);
  assert((await it.folder.listFiles("docker")).some((name) => name.endsWith(`/${hex}/data`)));
});

Deno.test("[24] collectGarbage() first moves back what an interrupted collection has moved aside", async () => {
  await using it = await openStore();
  await it.put(configA, shared, onlyA, stray);
  await it.file(imageA);
  const cut = new Error("cut off");
  await assertRejects(() => it.collect({ untagged: true, onMovedAside: () => Promise.reject(cut) }), Error, "cut off");
  assertEquals(await it.pulls(imageA), false);
  assertEquals(await it.collect(), { blobs: 1, bytes: 777, manifests: 0, links: 1 });
  assert(await it.pulls(imageA));
  await it.check();
});

Deno.test("collectGarbage() recognizes a repository of docker.io under each of its names", async () => {
  await using it = await openStore();
  const { store } = it;
  for (const { descriptor, bytes } of [configA, shared, onlyA]) {
    await store.writeBlob("library/app", descriptor, streamOf(bytes));
  }
  await store.writeManifest("library/app", imageA.descriptor, imageA.bytes);
  await store.tag("docker.io/library/app", "1", imageA.descriptor.digest);
  assertEquals(await it.collect({ untagged: true }), NOTHING);
});

// Of time stamps: 30 ms suffice on the file systems on which tests run.
const MARGIN = 30;

async function pause(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 3 * MARGIN));
}

// Returns what `collect` returns, and the repositories whose tags were read, each as often as one was.
async function countReadTags<T>(collect: () => Promise<T>): Promise<{ result: T; read: string[] }> {
  const { readTextFileSync } = Deno;
  const read: string[] = [];
  Deno.readTextFileSync = (path) => {
    const match = /\/repositories\/(.*)\/_manifests\/tags\/.*\/current\/link$/.exec(`${path}`);
    if (match !== null) read.push(match[1]!);
    return readTextFileSync(path);
  };
  try {
    return { result: await collect(), read: read.sort() };
  } finally {
    Deno.readTextFileSync = readTextFileSync;
  }
}

const OTHER = "registry.example/other";
const NEW = "registry.example/new";
const WATCHES: readonly (readonly [string, GcOptions["watch"], readonly string[]])[] = [
  ["only of repositories that changed", { margin: MARGIN }, [OTHER, REPO, REPO]],
  ["of all, since they changed in the last seconds", undefined, [OTHER, OTHER, REPO, REPO]],
  // The time between the marks is 10 seconds or more by this clock.
  ["of all, because the clock was set", { margin: MARGIN, now: jumpingClock() }, [OTHER, OTHER, REPO, REPO, REPO]],
];

function jumpingClock(): () => number {
  let time = 0;
  return () => time += 10_000;
}

for (const [name, watch, expected] of WATCHES) {
  Deno.test(`collectGarbage() reads links for its second mark ${name}`, async () => {
    await using it = await openStore();
    await it.put(configA, shared, onlyA, configB, onlyB, stray);
    await it.file(imageA);
    await it.store.tag(REPO, "1", imageA.descriptor.digest);
    await it.store.writeManifest(OTHER, imageB.descriptor, imageB.bytes);
    await it.store.tag(OTHER, "1", imageB.descriptor.digest);
    await pause();
    const { result, read } = await countReadTags(() => it.collect({ untagged: true, ...(watch && { watch }) }));
    // The stray blob, and the links of three blobs to a repository that does not need them.
    assertEquals([result.blobs, result.links, read], [1, 3, expected]);
    await it.check();
  });
}

Deno.test("collectGarbage() reads the tags of a repository that has lost its manifests, and else only with `untagged`", async () => {
  await using it = await openStore();
  await it.put(configA, shared, onlyA, configB, onlyB);
  await it.file(imageA);
  await it.store.tag(REPO, "1", imageA.descriptor.digest);
  await it.store.writeManifest(OTHER, imageB.descriptor, imageB.bytes);
  await it.store.tag(OTHER, "1", imageB.descriptor.digest);
  const revisions = `${it.root}/docker/registry/v2/repositories/${OTHER}/_manifests/revisions/sha256`;
  await Deno.remove(revisions, { recursive: true });
  const usual = await countReadTags(() => it.collect());
  // The links to the blobs of image B were in the other repository.
  assertEquals([usual.result.blobs, usual.result.manifests], [0, 0]);
  assertEquals([...new Set(usual.read)], [OTHER]);
  const { read } = await countReadTags(() => it.collect({ untagged: true, dryRun: true }));
  assertEquals(read, [OTHER, REPO]);
});

// What a server does between the marks to a repository that the second mark would leave out without it. Image B and its
// blobs are garbage by the first mark.
const RACES: readonly (readonly [string, (server: PullThrough, store: DiskStore) => Promise<unknown>])[] = [
  ["a tag appears", async (_, store) => {
    await store.writeManifest(OTHER, imageB.descriptor, imageB.bytes);
    await store.tag(OTHER, "new", imageB.descriptor.digest);
  }],
  ["a tag refers to another image", async (_, store) => {
    await store.writeManifest(OTHER, imageB.descriptor, imageB.bytes);
    await store.tag(OTHER, "1", imageB.descriptor.digest);
  }],
  ["a pull completes", async (server) => {
    assertEquals((await server.resolve(OTHER, "pulled"))?.digest, imageB.descriptor.digest);
    for (const { descriptor } of [configB, shared, onlyB]) await server.fetchBlob(OTHER, descriptor);
  }],
  ["a repository appears", async (_, store) => {
    await store.writeManifest(NEW, imageB.descriptor, imageB.bytes);
    await store.tag(NEW, "1", imageB.descriptor.digest);
  }],
];

for (const [name, change] of RACES) {
  for (const untagged of [false, true]) {
    Deno.test(`[35] collectGarbage() loses nothing when ${name} between its marks (untagged: ${untagged})`, async () => {
      await using it = await openStore();
      await it.put(configA, shared, onlyA, stray);
      await it.file(imageA);
      await it.store.tag(REPO, "1", imageA.descriptor.digest);
      await it.store.writeManifest(OTHER, imageA.descriptor, imageA.bytes);
      await it.store.tag(OTHER, "1", imageA.descriptor.digest);
      // The links that are moved aside are in the other repository.
      await it.put(configB, onlyB);
      await pause();
      const upstream = new FakeUpstream();
      for (const content of [imageB, configB, shared, onlyB]) upstream.content.set(content.descriptor.digest, content);
      upstream.tags.set("pulled", imageB.descriptor.digest);
      const store = new DiskStore(it.root);
      const report = await it.collect({
        untagged,
        watch: { margin: MARGIN },
        onMovedAside: async () => {
          assertEquals(await it.has(onlyB), false);
          await change(new PullThrough({ store, upstream }), store);
        },
      });
      assertEquals(report.bytes, 777);
      const fresh = new DiskStore(it.root);
      const repository = name.startsWith("a repository") ? NEW : OTHER;
      assertEquals([await it.pulls(imageA), await isComplete(fresh, repository, imageB.descriptor)], [true, true]);
      await it.check();
    });
  }
}

Deno.test("[35] a manifest that is collected as untagged before its tag is stored is stored again with the tag", async () => {
  await using it = await openStore();
  class CollectedStore extends DiskStore {
    #isCollected = false;
    override async writeManifest(...args: Parameters<DiskStore["writeManifest"]>): Promise<void> {
      await super.writeManifest(...args);
      if (this.#isCollected) return;
      this.#isCollected = true;
      assertEquals((await it.collect({ untagged: true })).manifests, 1);
    }
  }
  const upstream = new FakeUpstream();
  upstream.content.set(imageB.descriptor.digest, imageB);
  upstream.tags.set("pulled", imageB.descriptor.digest);
  const cache = new PullThrough({ store: new CollectedStore(it.root), upstream });
  assertEquals((await cache.resolve(REPO, "pulled"))?.digest, imageB.descriptor.digest);
  const fresh = new DiskStore(it.root);
  assertEquals((await fresh.resolve(REPO, "pulled"))?.digest, imageB.descriptor.digest);
  assertEquals(await fresh.readManifest(REPO, imageB.descriptor.digest), imageB.bytes);
});

for (
  const [untagged, watch] of [[false, {}], [true, {}], [false, { margin: MARGIN }], [true, { margin: MARGIN }]] as const
) {
  const title = `untagged: ${untagged}, margin: ${"margin" in watch ? watch.margin : "as usual"}`;
  Deno.test(`[35] collectGarbage() loses no content of concurrent pulls (${title})`, async () => {
    await using it = await openStore();
    const upstream = new FakeUpstream();
    const layers = Array.from({ length: 10 }, (_, i) => makeBlob(3000 + i, 100 + i));
    const images = Array.from({ length: 24 }, (_, i) => {
      const blobs = [makeBlob(100 + i, 200 + i), layers[i % 10]!, layers[(i * 3 + 1) % 10]!];
      const manifest = makeManifest(blobs[0]!, blobs.slice(1));
      const root = i % 3 === 0 ? makeIndex([manifest]) : manifest;
      for (const content of [...blobs, manifest, root]) upstream.content.set(content.descriptor.digest, content);
      upstream.tags.set(`v${i}`, root.descriptor.digest);
      return { tag: `v${i}`, root, manifest, blobs };
    });
    // Content that is not referenced yet, but will be soon.
    await it.put(...layers);
    if (untagged) await it.file(...images.slice(12).map(({ manifest }) => manifest));
    const cache = new PullThrough({ store: new DiskStore(it.root), upstream });
    let isPulling = true;
    let removed = 0;
    const collect = async () => {
      while (isPulling) {
        const { blobs, links } = await it.collect({ untagged, watch });
        removed += blobs + links;
      }
    };
    const pull = async () => {
      for (let at = 0; at < images.length; at += 4) {
        await Promise.all(
          images.slice(at, at + 4).map(async ({ tag, root, manifest, blobs }) => {
            assertEquals((await cache.resolve(REPO, tag))?.digest, root.descriptor.digest);
            assertEquals((await cache.resolve(REPO, manifest.descriptor.digest))?.digest, manifest.descriptor.digest);
            assertEquals(await cache.readManifest(REPO, manifest.descriptor.digest), manifest.bytes);
            for (const { descriptor } of blobs) await cache.fetchBlob(REPO, descriptor);
          }),
        );
      }
    };
    await Promise.all([pull().finally(() => isPulling = false), collect()]);
    assert(removed > 0);
    const fresh = new DiskStore(it.root);
    for (const { tag, root } of images) {
      assertEquals((await fresh.resolve(REPO, tag))?.digest, root.descriptor.digest);
      assert(await it.pulls(root), `${tag} is not complete`);
    }
    await it.check();
    assertEquals((await it.collect({ untagged })).manifests, 0);
  });
}
