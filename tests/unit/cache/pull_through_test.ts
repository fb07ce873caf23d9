import { resolveRange } from "../../../lib/bytes/byte_range.ts";
import { SharedFiles } from "../../../lib/bytes/shared_files.ts";
import type { CacheEvent } from "../../../lib/cache/cache_event.ts";
import { PullThrough } from "../../../lib/cache/pull_through.ts";
import { DigestMismatchError } from "../../../lib/content/verifier.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { NoSpaceError, RegistryError } from "../../../lib/oci/error.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { Ingest } from "../../../lib/store/ingest.ts";
import { partialPath } from "../../../lib/store/layout.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { type Content, makeBlob, makeIndex, makeManifest, readAll, UNKNOWN_DIGEST } from "../../support/content.ts";
import { FakeUpstream, unreachable, UPSTREAM_HOST } from "../../support/fake_upstream.ts";
import { removeFolder } from "../../support/remove_folder.ts";
import { MEMORY_FOLDER } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const layer = makeBlob(5 * 1024 * 1024 + 3, 11);
const config = makeBlob(200, 12);
const manifest = makeManifest(config, [layer]);
const index = makeIndex([manifest]);

async function open(...content: Content[]) {
  const root = await Deno.makeTempDir({ dir: MEMORY_FOLDER });
  const upstream = new FakeUpstream(...(content.length > 0 ? content : [layer, config, manifest, index]));
  upstream.tags.set("1.0", index.descriptor.digest);
  const store = new DiskStore(root);
  let time = 0;
  const warnings: string[] = [];
  const events: CacheEvent[] = [];
  const cache = new PullThrough({
    store,
    upstream,
    tagTtl: 1000,
    now: () => time,
    warn: (message) => warnings.push(message),
    onEvent: (event) => events.push(event),
  });
  return {
    root,
    events: (type: CacheEvent["type"]) => events.filter((event) => event.type === type),
    upstream,
    store,
    cache,
    warnings,
    wait: (milliseconds: number) => time += milliseconds,
    offline: () => new PullThrough({ store: new DiskStore(root) }),
    [Symbol.asyncDispose]: () => removeFolder(root),
  };
}

function countBlobRequests(upstream: FakeUpstream, digest: Digest): number {
  return upstream.asked.filter((what) => what.startsWith(`blob ${digest}`)).length;
}

async function pullAll(cache: PullThrough): Promise<void> {
  assertEquals((await cache.resolve(REPO, "1.0"))?.digest, index.descriptor.digest);
  assertEquals(await cache.readManifest(REPO, index.descriptor.digest), index.bytes);
  assertEquals(await cache.readManifest(REPO, manifest.descriptor.digest), manifest.bytes);
  assertEquals(await readAll(await cache.openBlob(REPO, config.descriptor.digest)), config.bytes);
  assertEquals(await readAll(await cache.openBlob(REPO, layer.descriptor.digest)), layer.bytes);
  await settle(cache);
}

/** Waits until the downloads are committed to the store: a client receives the last bytes a moment earlier. */
async function settle(cache: PullThrough): Promise<void> {
  const isRunning = () => [config, layer].some(({ descriptor }) => cache.isDownloading(descriptor.digest));
  while (isRunning()) await new Promise((resolve) => setTimeout(resolve, 1));
}

Deno.test("PullThrough downloads an image once, and then serves it without the upstream", async () => {
  await using it = await open();
  await pullAll(it.cache);
  const asked = it.upstream.asked.length;
  await pullAll(it.cache);
  assertEquals(it.upstream.asked.length, asked);
  await pullAll(it.offline());
});

Deno.test("[1] PullThrough sends one upstream request for 50 clients of one cold blob", async () => {
  await using it = await open();
  const bodies = await Promise.all(
    Array.from({ length: 50 }, async () => await readAll(await it.cache.openBlob(REPO, layer.descriptor.digest))),
  );
  for (const body of bodies) assertEquals(body, layer.bytes);
  assertEquals(countBlobRequests(it.upstream, layer.descriptor.digest), 1);
});

Deno.test("PullThrough shares a download between repositories of one registry", async () => {
  await using it = await open();
  const [a, b] = await Promise.all([
    it.cache.openBlob(REPO, layer.descriptor.digest),
    it.cache.openBlob("registry.example/x", layer.descriptor.digest),
  ]);
  assertEquals([await readAll(a), await readAll(b)], [layer.bytes, layer.bytes]);
  assertEquals(countBlobRequests(it.upstream, layer.descriptor.digest), 1);
});

Deno.test("PullThrough sends one upstream request for 50 clients of one cold tag", async () => {
  await using it = await open();
  await Promise.all(Array.from({ length: 50 }, () => it.cache.resolve(REPO, "1.0")));
  assertEquals(it.upstream.asked.filter((what) => what === "get 1.0").length, 1);
});

Deno.test("[2] PullThrough continues a download when its first client leaves", async () => {
  await using it = await open();
  const gate = Promise.withResolvers<void>();
  it.upstream.beforeChunk = (sent) => sent < 1024 * 1024 ? Promise.resolve() : gate.promise;
  const first = await it.cache.openBlob(REPO, layer.descriptor.digest);
  const second = await it.cache.openBlob(REPO, layer.descriptor.digest);
  const reader = first!.body.getReader();
  assert(!(await reader.read()).done);
  await reader.cancel();
  gate.resolve();
  assertEquals(await readAll(second), layer.bytes);
  await settle(it.cache);
  assertEquals(await it.store.statBlob(REPO, layer.descriptor.digest), layer.bytes.length);
});

Deno.test("[3] PullThrough does not let a slow reader stall other readers", async () => {
  await using it = await open();
  const slow = await it.cache.openBlob(REPO, layer.descriptor.digest);
  assertEquals(await readAll(await it.cache.openBlob(REPO, layer.descriptor.digest)), layer.bytes);
  assertEquals(await readAll(slow), layer.bytes);
});

Deno.test("[4] PullThrough fails the streams of all followers when the upstream fails", async () => {
  await using it = await open();
  it.upstream.beforeChunk = (sent) => sent < 3_000_000 ? Promise.resolve() : Promise.reject(new Error("cut"));
  const bodies = await Promise.all([1, 2, 3].map(() => it.cache.openBlob(REPO, layer.descriptor.digest)));
  for (const body of bodies) await assertRejects(() => readAll(body), Error, "cut");
  assertEquals(await it.store.statBlob(REPO, layer.descriptor.digest), undefined);
  it.upstream.beforeChunk = () => Promise.resolve();
  assertEquals(await readAll(await it.cache.openBlob(REPO, layer.descriptor.digest)), layer.bytes);
  assertStringIncludes(it.upstream.asked.at(-1) ?? "", '{"start":');
});

Deno.test("[5] PullThrough serves a range of a cold blob, and caches the whole blob", async () => {
  await using it = await open();
  const [start, end] = [4_000_000, 5_000_000];
  const part = await it.cache.openBlob(REPO, layer.descriptor.digest, { start, end: end - 1 });
  assertEquals(await readAll(part), layer.bytes.slice(start, end));
  assertEquals(await readAll(await it.cache.openBlob(REPO, layer.descriptor.digest)), layer.bytes);
  assertEquals(countBlobRequests(it.upstream, layer.descriptor.digest), 1);
});

Deno.test("[10] PullThrough does not cache corrupt bytes, fails the stream, and retries at the next pull", async () => {
  await using it = await open();
  const { digest } = layer.descriptor;
  const wrong = layer.bytes.slice();
  wrong[0]! ^= 1;
  it.upstream.content.set(digest, { bytes: wrong, descriptor: layer.descriptor });
  const opened = await it.cache.openBlob(REPO, digest);
  let seen = 0;
  await assertRejects(
    async () => {
      for await (const chunk of opened!.body) seen += chunk.length;
    },
    DigestMismatchError,
  );
  assert(seen < wrong.length);
  assertEquals(await it.store.statBlob(REPO, digest), undefined);
  const [failed] = it.events("failed") as Extract<CacheEvent, { type: "failed" }>[];
  assert(failed?.error instanceof DigestMismatchError);
  assertEquals({ ...failed, error: 0 }, { type: "failed", repo: REPO, digest, host: UPSTREAM_HOST, error: 0 });
  it.upstream.content.set(digest, layer);
  assertEquals(await readAll(await it.cache.openBlob(REPO, digest)), layer.bytes);
});

Deno.test("PullThrough revalidates a tag after its TTL", async () => {
  await using it = await open();
  await it.cache.resolve(REPO, "1.0");
  it.upstream.tags.set("1.0", manifest.descriptor.digest);
  it.wait(999);
  assertEquals((await it.cache.resolve(REPO, "1.0"))?.digest, index.descriptor.digest);
  it.wait(1);
  assertEquals((await it.cache.resolve(REPO, "1.0"))?.digest, manifest.descriptor.digest);
});

Deno.test("[23] PullThrough serves a cached tag that the upstream no longer has", async () => {
  await using it = await open();
  await pullAll(it.cache);
  it.upstream.tags.clear();
  it.wait(2000);
  assertEquals((await it.cache.resolve(REPO, "1.0"))?.digest, index.descriptor.digest);
});

// A registry answers the same for an image that was removed, an image that was made private, and a login that was
// revoked. A request by digest is served from the store without an upstream request in any case.
for (const status of [401, 403]) {
  Deno.test(`[23] PullThrough serves a stale tag, with a warning, when the upstream answers ${status}`, async () => {
    await using it = await open();
    await pullAll(it.cache);
    it.upstream.failure = new RegistryError("DENIED", `Cannot look it up: the registry answers ${status}`, {
      status: 404,
    });
    it.wait(2000);
    assertEquals(await it.cache.resolve(REPO, "1.0"), { ...index.descriptor, isStale: true });
    assertEquals(it.warnings, [
      `${REPO}:1.0 is served from the store: Cannot look it up: the registry answers ${status}`,
    ]);
    assertEquals(it.events("stale").length, 1);
    await assertRejects(() => it.cache.resolve(REPO, "2.0"), RegistryError, String(status));
  });
}

Deno.test("[21] PullThrough serves only cached content when the upstream is unreachable", async () => {
  await using it = await open();
  await pullAll(it.cache);
  it.upstream.failure = unreachable();
  it.wait(2000);
  await pullAll(it.cache);
  assertStringIncludes(it.warnings.join(), "registry.example/team/app:1.0 is served from the store");
  await assertRejects(() => it.cache.resolve(REPO, "2.0"), RegistryError, "registry.example");
  await assertRejects(() => it.cache.openBlob(REPO, UNKNOWN_DIGEST), RegistryError, "registry.example");
});

Deno.test("[68] PullThrough serves a manifest with missing blobs without the upstream, and names them", async () => {
  await using it = await open();
  await it.cache.resolve(REPO, "1.0");
  await it.cache.readManifest(REPO, manifest.descriptor.digest);
  const incomplete = { ...index.descriptor, isIncomplete: true as const };
  assertEquals(await it.offline().resolve(REPO, "1.0"), incomplete);
  it.upstream.failure = unreachable();
  it.wait(2000);
  for (let request = 1; request <= 2; request++) {
    assertEquals(await it.cache.resolve(REPO, "1.0"), { ...incomplete, isStale: true });
    assertEquals(await it.cache.resolve(REPO, index.descriptor.digest), incomplete);
  }
  const missing = [config, layer].map(({ descriptor }) => descriptor.digest).join(", ");
  assertEquals(it.warnings.filter((warning) => warning.includes("missing")), [
    `${REPO}:1.0 is served without 2 of its blobs, which are missing: ${missing}`,
  ]);
  assertEquals(it.events("incomplete").length, 4);
});

Deno.test("[69] PullThrough does not serve an index of which it has no image, without the upstream", async () => {
  await using it = await open();
  await it.cache.resolve(REPO, "1.0");
  assertEquals(await it.offline().resolve(REPO, "1.0"), undefined);
  assertEquals(await it.offline().resolve(REPO, index.descriptor.digest), undefined);
  it.upstream.failure = unreachable();
  it.wait(2000);
  await assertRejects(() => it.cache.resolve(REPO, "1.0"), RegistryError, "registry.example");
  assertEquals(await it.cache.resolve(REPO, index.descriptor.digest), undefined);
});

Deno.test("PullThrough resumes a partial download", async () => {
  await using it = await open();
  const { digest } = layer.descriptor;
  await Deno.mkdir(`${it.root}/ingest`);
  await Deno.writeFile(`${it.root}/${partialPath(digest, REPO)}`, layer.bytes.slice(0, 2_000_000));
  assertEquals(await readAll(await it.cache.openBlob(REPO, digest)), layer.bytes);
  assertEquals(it.upstream.asked, [`stat ${digest}`, `blob ${digest} {"start":2000000}`]);
});

Deno.test("[15] PullThrough marks a tag stale after one urgent request, and does not retry at once", async () => {
  await using it = await open();
  await pullAll(it.cache);
  it.wait(1000);
  it.upstream.failure = new RegistryError("TOOMANYREQUESTS", "Cannot look up: too many requests");
  assertEquals(await it.cache.resolve(REPO, "1.0"), { ...index.descriptor, isStale: true });
  const asked = it.upstream.asked.length;
  assertEquals(it.upstream.asked.at(-1), "head 1.0 urgently");
  it.wait(999);
  assertEquals(await it.cache.resolve(REPO, "1.0"), { ...index.descriptor, isStale: true });
  assertEquals(it.upstream.asked.length, asked);
  it.upstream.failure = undefined;
  it.wait(1);
  assertEquals(await it.cache.resolve(REPO, "1.0"), index.descriptor);
  assertEquals(it.upstream.asked.length, asked + 1);
});

Deno.test("PullThrough moves a tag in the store only when the new image is complete", async () => {
  const [newLayer, newConfig] = [makeBlob(400_000, 21), makeBlob(150, 22)];
  const newManifest = makeManifest(newConfig, [newLayer]);
  await using it = await open(layer, config, manifest, index, newLayer, newConfig, newManifest);
  await pullAll(it.cache);
  it.upstream.tags.set("1.0", newManifest.descriptor.digest);
  it.wait(1000);
  assertEquals((await it.cache.resolve(REPO, "1.0"))?.digest, newManifest.descriptor.digest);
  assertEquals((await it.offline().resolve(REPO, "1.0"))?.digest, index.descriptor.digest);
  await it.cache.fetchBlob(REPO, newConfig.descriptor);
  assertEquals((await it.offline().resolve(REPO, "1.0"))?.digest, index.descriptor.digest);

  it.upstream.failure = unreachable();
  it.wait(1000);
  assertEquals(await it.cache.resolve(REPO, "1.0"), { ...index.descriptor, isStale: true });
  it.upstream.failure = undefined;
  it.wait(1000);
  assertEquals((await it.cache.resolve(REPO, "1.0"))?.digest, newManifest.descriptor.digest);
  await it.cache.fetchBlob(REPO, newLayer.descriptor);
  while ((await it.offline().resolve(REPO, "1.0"))?.digest !== newManifest.descriptor.digest) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
});

Deno.test("PullThrough.fetchBlob() replaces a truncated blob in the store", async () => {
  await using it = await open();
  const { digest } = config.descriptor;
  await it.cache.fetchBlob(REPO, config.descriptor);
  const hex = digest.slice(7);
  await Deno.truncate(`${it.root}/docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`, 10);
  await it.cache.fetchBlob(REPO, config.descriptor);
  assertEquals(await readAll(await it.store.openBlob(REPO, digest)), config.bytes);
});

Deno.test("PullThrough.fetchBlob() restarts a download whose partial file is corrupt", async () => {
  await using it = await open();
  const { digest } = layer.descriptor;
  await Deno.mkdir(`${it.root}/ingest`);
  await Deno.writeFile(`${it.root}/${partialPath(digest, REPO)}`, makeBlob(1000, 99).bytes);
  await it.cache.fetchBlob(REPO, layer.descriptor);
  assertEquals(await readAll(await it.store.openBlob(REPO, digest)), layer.bytes);
});

Deno.test("PullThrough revalidates a cached tag once for 50 clients", async () => {
  await using it = await open();
  await pullAll(it.cache);
  it.wait(1000);
  const asked = it.upstream.asked.length;
  await Promise.all(Array.from({ length: 50 }, () => it.cache.resolve(REPO, "1.0")));
  assertEquals(it.upstream.asked.slice(asked), ["head 1.0"].map((what) => `${what} urgently`));
});

for (const range of [undefined, { start: 4_000_000, end: 5_000_000 }, { suffix: 10 }]) {
  const what = JSON.stringify(range) ?? "all";
  Deno.test(`[31] PullThrough serves verified bytes without caching when space is short: ${what}`, async () => {
    await using it = await open();
    const { digest } = layer.descriptor;
    const touched: string[] = [];
    const events: CacheEvent[] = [];
    let received = 0;
    const cache = new PullThrough({
      store: it.store,
      upstream: it.upstream,
      onEvent: (event) => event.type === "received" ? received += event.bytes : events.push(event),
      space: {
        reserve: () => Promise.resolve(undefined),
        store: (_, write) => write(),
        touch: (digest) => touched.push(digest),
      },
    });
    const { start, length } = resolveRange(layer.bytes.length, range);
    const got = await readAll(await cache.openBlob(REPO, digest, range));
    assertEquals(got, layer.bytes.slice(start, start + length));
    assertEquals(await it.store.statBlob(REPO, digest), undefined);
    assertEquals(await Array.fromAsync(Deno.readDir(`${it.root}/ingest`)), []);
    assertEquals(events, [{ type: "bypass", repo: REPO, digest, size: layer.bytes.length, why: "limit" }]);
    assertEquals(received, layer.bytes.length);
    await (await cache.openBlob(REPO, digest, range))!.body.cancel();
    assertEquals(events.map(({ type }) => type), ["bypass", "bypass"]);
    await assertRejects(() => cache.fetchBlob(REPO, layer.descriptor), NoSpaceError, digest);

    const wrong = layer.bytes.slice();
    wrong[0]! ^= 1;
    it.upstream.content.set(digest, { bytes: wrong, descriptor: layer.descriptor });
    await assertRejects(async () => await readAll(await cache.openBlob(REPO, digest)), DigestMismatchError);
    assertEquals(events.slice(2).map(({ type }) => type), ["bypass", "failed"]);
    await cache.resolve(REPO, "1.0");
    assertEquals(touched, [index.descriptor.digest]);
  });
}

Deno.test("[31] PullThrough relays the rest of a download, verified and uncached, when the disk fills up", async () => {
  await using it = await open();
  const { digest } = layer.descriptor;
  let free = 2_000_000;
  const original = Ingest.prototype.write;
  Ingest.prototype.write = async function (chunk) {
    if (this.written + chunk.length <= free) return await original.call(this, chunk);
    this.verify(chunk);
    throw new NoSpaceError("Cannot write: no space left on the device");
  };
  try {
    const gate = Promise.withResolvers<void>();
    it.upstream.beforeChunk = (sent) => sent < 1_000_000 ? Promise.resolve() : gate.promise;
    const [a, b, part, leaving] = [
      await it.cache.openBlob(REPO, digest),
      await it.cache.openBlob(REPO, digest),
      await it.cache.openBlob(REPO, digest, { start: 1_900_000, end: 4_999_999 }),
      await it.cache.openBlob(REPO, digest),
    ];
    await leaving!.body.cancel();
    gate.resolve();
    const [whole, again, middle] = await Promise.all([readAll(a), readAll(b), readAll(part)]);
    assertEquals(whole, layer.bytes);
    assertEquals(again, layer.bytes);
    assertEquals(middle, layer.bytes.slice(1_900_000, 5_000_000));
    assertEquals(countBlobRequests(it.upstream, digest), 1);
    await settle(it.cache);
    const bypass = { type: "bypass" as const, repo: REPO, digest, size: layer.bytes.length, why: "disk" as const };
    assertEquals({ bypass: it.events("bypass"), failed: it.events("failed") }, { bypass: [bypass], failed: [] });
    assertEquals(await Array.fromAsync(Deno.readDir(`${it.root}/ingest`)), []);
    assertEquals(await it.store.statBlob(REPO, digest), undefined);
    free = Infinity;
    assertEquals(await readAll(await it.cache.openBlob(REPO, digest)), layer.bytes);
  } finally {
    Ingest.prototype.write = original;
  }
});

Deno.test("[31] PullThrough ends the readers when the disk is full and then the upstream fails, wherever they are", async () => {
  await using it = await open();
  const { digest } = layer.descriptor;
  const limit = 1_500_000;
  const original = Ingest.prototype.write;
  Ingest.prototype.write = async function (chunk) {
    if (this.written + chunk.length <= limit) return await original.call(this, chunk);
    this.verify(chunk);
    throw new NoSpaceError("Cannot write: no space left on the device");
  };
  try {
    const gate = Promise.withResolvers<void>();
    it.upstream.beforeChunk = (sent) => sent < 3_000_000 ? Promise.resolve() : gate.promise;
    const body = (await it.cache.openBlob(REPO, digest))!.body.getReader();
    let seen = 0;
    let empty = 0;
    const read = async () => {
      const { value } = await body.read();
      if (value!.length === 0) empty++;
      seen += value!.length;
    };
    // The reader stops where the file ends; the upstream sends more, and fails.
    while (seen < limit - 256 * 1024) await read();
    gate.promise.catch(() => {});
    gate.reject(new Error("the upstream has failed"));
    await assertRejects(
      async () => {
        while (empty < 3) await read();
      },
      Error,
      "the upstream has failed",
    );
    assertEquals(empty, 0);
  } finally {
    Ingest.prototype.write = original;
  }
});

Deno.test("[103] a client that joins a verified download as its storing fails is served by the upstream", async () => {
  await using it = await open();
  const { digest } = layer.descriptor;
  const { commit, openReader } = Ingest.prototype;
  const storing = Promise.withResolvers<void>();
  storing.promise.catch(() => {});
  Ingest.prototype.commit = async function () {
    await storing.promise.finally(() => this.abort());
  };
  try {
    assertEquals(await readAll(await it.cache.openBlob(REPO, digest)), layer.bytes);
    Ingest.prototype.openReader = async function (size) {
      storing.reject(new Error("the object storage answered 507"));
      await settle(it.cache);
      return await openReader.call(this, size);
    };
    assertEquals(await readAll(await it.cache.openBlob(REPO, digest)), layer.bytes);
    assertEquals(countBlobRequests(it.upstream, digest), 2);
    assertEquals(it.events("failed").length, 1);
  } finally {
    Object.assign(Ingest.prototype, { commit, openReader });
  }
});

Deno.test("[33] PullThrough serves upstream content when the data folder is not writable", async () => {
  await using it = await open();
  const readOnly = () => Promise.reject(new Deno.errors.PermissionDenied("Permission denied"));
  Object.assign(it.store, { openIngest: readOnly, writeManifest: readOnly, tag: readOnly });
  await pullAll(it.cache);
  assertEquals(it.warnings, [
    "Content from upstreams is served, but not cached: the data folder is not writable",
  ]);
  assertEquals(it.events("bypass").length, 2);
});

Deno.test("[31] PullThrough warns once that content is not cached, and again after a write has succeeded", async () => {
  await using it = await open();
  const write = it.store.writeManifest.bind(it.store);
  const full = () => Promise.reject(new NoSpaceError("Cannot write: No space left on device (os error 28)"));
  for (const [writeManifest, ...manifests] of [[full, index, manifest], [write, index], [full, manifest]] as const) {
    Object.assign(it.store, { writeManifest });
    for (const { descriptor, bytes } of manifests) {
      assertEquals(await it.cache.readManifest(REPO, descriptor.digest), bytes);
    }
  }
  const line = "Content from upstreams is served, but not cached: there is no space left on the device";
  assertEquals(it.warnings, [line, line]);
});

Deno.test("PullThrough leaves no files in the store for an unknown blob", async () => {
  await using it = await open();
  assertEquals(await it.cache.openBlob(REPO, UNKNOWN_DIGEST), undefined);
  assertEquals(await Array.fromAsync(Deno.readDir(`${it.root}/ingest`)), []);
});

Deno.test("[24] PullThrough.stop() waits until the blob that a client has received is in the store", async () => {
  await using it = await open();
  const commit = Promise.withResolvers<void>();
  const openIngest = it.store.openIngest.bind(it.store);
  it.store.openIngest = async (digest, repo) => {
    const ingest = await openIngest(digest, repo);
    const original = ingest.commit.bind(ingest);
    ingest.commit = async () => {
      await commit.promise;
      await original();
    };
    return ingest;
  };
  const { descriptor, bytes } = config;
  assertEquals(await readAll(await it.cache.openBlob(REPO, descriptor.digest)), bytes);
  const stopped = it.cache.stop();
  assertEquals(await it.store.statBlob(REPO, descriptor.digest), undefined);
  commit.resolve();
  await stopped;
  assertEquals(await it.store.statBlob(REPO, descriptor.digest), bytes.length);
});

Deno.test("[1] PullThrough gives 32 clients of a download the received bytes from memory", async () => {
  await using it = await open();
  const files = new SharedFiles();
  const openFile = files.open.bind(files);
  let read = 0;
  files.open = (handle, size) =>
    openFile({
      stat: () => handle.stat(),
      seekSync: (offset, whence) => handle.seekSync(offset, whence),
      close: () => handle.close(),
      read: async (buffer) => {
        const got = await handle.read(buffer);
        read += got ?? 0;
        return got;
      },
    }, size);
  const cache = new PullThrough({ store: new DiskStore(it.root, { files }), upstream: it.upstream });
  const { digest, size } = layer.descriptor;
  const bodies = await Promise.all(Array.from({ length: 32 }, async () => readAll(await cache.openBlob(REPO, digest))));
  assertEquals(new Set(bodies.map((body) => computeDigest(body))), new Set([digest]));
  assertEquals(countBlobRequests(it.upstream, digest), 1);
  assert(read <= 2 * size, `${read} bytes were read from the disk`);
  await settle(cache);
});
