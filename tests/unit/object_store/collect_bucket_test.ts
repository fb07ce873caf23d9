import { SharedFiles } from "../../../lib/bytes/shared_files.ts";
import {
  collectBucket,
  type CollectBucketOptions,
  GRACE_MILLISECONDS,
  takeCollectionLease,
} from "../../../lib/object_store/collect_bucket.ts";
import { removeBucketRot } from "../../../lib/object_store/find_bucket_rot.ts";
import { CondemnedBlobs } from "../../../lib/object_store/condemned_blobs.ts";
import { takeLease } from "../../../lib/object_store/object_lease.ts";
import { ObjectStore } from "../../../lib/object_store/object_store.ts";
import { blobPath, layerLinkPath, revisionLinkPath, tagIndexPath, tagLinkPath } from "../../../lib/store/layout.ts";
import type { GcReport } from "../../../lib/store/gc.ts";
import { assertEquals, assertMatch, assertRejects } from "../../support/assert.ts";
import { type Content, makeBlob, makeIndex, makeManifest, streamOf } from "../../support/content.ts";
import { MemoryS3 } from "../../support/memory_s3.ts";

const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip";
const REPO = "quay.io/team/app";
const [layer, config, orphan] = [makeBlob(500, 1), makeBlob(100, 2), makeBlob(300, 3)];
const manifest = makeManifest(config, [layer]);
const index = makeIndex([manifest]);
const referrer = makeManifest(makeBlob(50, 4), [], index);

class Bucket {
  readonly s3 = new MemoryS3();

  /** A store of a process of its own. */
  open(): ObjectStore {
    return new ObjectStore({ client: this.s3.client(), spool: "/nonexistent", files: new SharedFiles() });
  }

  async write(...blobs: Content[]): Promise<void> {
    for (const { descriptor, bytes } of blobs) await this.open().writeBlob(REPO, descriptor, streamOf(bytes));
  }

  async writeManifests(...manifests: Content[]): Promise<void> {
    for (const { descriptor, bytes } of manifests) await this.open().writeManifest(REPO, descriptor, bytes);
  }

  /** Lets everything become old enough to be removed. */
  age(): void {
    this.s3.now += GRACE_MILLISECONDS + 1000;
  }

  collect(options: Partial<CollectBucketOptions> = {}) {
    return collectBucket({ client: this.s3.client(), name: "s3://bucket", warn: () => {}, ...options });
  }

  has({ descriptor: { digest } }: Content): boolean {
    return this.s3.objects.has(`pre/${blobPath(digest)}`);
  }

  /** The keys of the verdicts of a collection. */
  listVerdicts(): string[] {
    return [...this.s3.objects.keys()].filter((key) => key.startsWith("pre/crpe/condemned/"));
  }
}

function folderOf({ descriptor: { digest } }: Content): string {
  return revisionLinkPath(REPO, digest).slice(0, -"link".length);
}

async function fill(): Promise<Bucket> {
  const bucket = new Bucket();
  await bucket.write(layer, config, orphan);
  await bucket.writeManifests(manifest, index);
  await bucket.open().tag(REPO, "1", index.descriptor.digest);
  return bucket;
}

Deno.test("[103] collectBucket() removes an old blob that nothing refers to, with its links, and nothing else", async () => {
  const bucket = await fill();
  bucket.age();
  const expected = { blobs: 1, bytes: 300, manifests: 0 };
  assertEquals(await bucket.collect({ dryRun: true }), { ...expected, links: 0 });
  assertEquals(bucket.has(orphan), true);
  assertEquals(await bucket.collect(), { ...expected, links: 1 });
  assertEquals([orphan, layer, config, manifest, index].map((it) => bucket.has(it)), [false, true, true, true, true]);
  assertEquals([await bucket.open().isLinkedBlob(REPO, orphan.descriptor.digest), bucket.listVerdicts()], [false, []]);
});

Deno.test("[103] collectBucket() removes the old history of tags that are gone, and no other", async () => {
  const bucket = await fill();
  const store = bucket.open();
  const setTags = async (...tags: readonly string[]) => {
    for (const tag of tags) for (const it of [manifest, index]) await store.tag(REPO, tag, it.descriptor.digest);
  };
  // The links of the tags are removed alone, as by a removal that is interrupted.
  const cut = (tag: string) => bucket.s3.objects.delete(`pre/${tagLinkPath(REPO, tag)}`);
  await setTags("1", "1-old", "1.old", "set", "used");
  for (const tag of ["1-old", "1.old", "set"]) cut(tag);
  bucket.age();
  await setTags("recent");
  cut("recent");
  bucket.s3.intercept = async ({ method, url }) => {
    // Another machine sets the tag again when the history was listed.
    if (method !== "DELETE" || !url.includes("/tags/1-old/")) return undefined;
    bucket.s3.intercept = () => undefined;
    await store.tag(REPO, "set", index.descriptor.digest);
    return undefined;
  };
  const countHistory = (tag: string) =>
    [...bucket.s3.objects.keys()].filter((key) => key.startsWith(`pre/${tagIndexPath(REPO, tag)}/`)).length;
  assertEquals((await bucket.collect({ dryRun: true })).links, 0);
  // Two entries of each of the two tags, and the link of the blob that goes.
  assertEquals((await bucket.collect()).links, 2 * 2 + 1);
  const tags = ["1", "1-old", "1.old", "recent", "set", "used"];
  assertEquals(tags.map(countHistory), [2, 0, 0, 2, 2, 2]);
  assertEquals((await store.listTags(REPO))?.tags, ["1", "recent", "set", "used"]);
});

for (const untagged of [false, true]) {
  Deno.test(`[103] collectBucket() keeps the content of packages (untagged: ${untagged})`, async () => {
    const bucket = new Bucket();
    await bucket.write(layer, config, orphan);
    await bucket.writeManifests(manifest);
    bucket.age();
    const kept = [layer, config, manifest, orphan];
    const keep = new Set(kept.map(({ descriptor: { digest } }) => digest));
    await bucket.collect({ untagged, readKeep: () => Promise.resolve(keep) });
    assertEquals(kept.filter((blob) => !bucket.has(blob)), []);
    assertEquals(bucket.s3.objects.has(`pre/${revisionLinkPath(REPO, manifest.descriptor.digest)}`), true);
    const { blobs } = await bucket.collect({ untagged });
    assertEquals([blobs, bucket.has(orphan)], [untagged ? 4 : 1, false]);
  });
}

Deno.test("[103] collectBucket() keeps what is younger than a day", async () => {
  const bucket = await fill();
  assertEquals((await bucket.collect()).blobs, 0);
  bucket.age();
  // An import has found the blob, and linked it.
  await bucket.open().linkBlob(REPO, orphan.descriptor.digest);
  assertEquals((await bucket.collect()).blobs, 0);
});

Deno.test("[103] collectBucket() with untagged removes what no tag, index or subject reaches", async () => {
  const bucket = await fill();
  await bucket.writeManifests(referrer);
  await bucket.open().tag(REPO, "1", referrer.descriptor.digest);
  bucket.age();
  assertEquals(
    (await bucket.collect({ untagged: true })).manifests,
    2,
    "the subject of a tagged manifest is not tagged",
  );
  assertEquals([index, manifest, layer, referrer].map((it) => bucket.has(it)), [false, false, false, true]);

  const other = await fill();
  await other.writeManifests(referrer);
  other.age();
  assertEquals((await other.collect({ untagged: true })).manifests, 0);
  assertEquals([index, manifest, layer, referrer].map((it) => other.has(it)), [true, true, true, true]);
});

const WRITERS: [what: string, write: (bucket: Bucket) => Promise<void>][] = [
  ["links it", (bucket) => bucket.open().linkBlob(REPO, orphan.descriptor.digest)],
  ["writes it", (bucket) => bucket.write(orphan)],
  ["writes a manifest that names it", (bucket) => bucket.writeManifests(makeManifest(orphan, []))],
];
for (const [what, write] of WRITERS) {
  Deno.test(`[103] collectBucket() keeps a condemned blob when a writer ${what}`, async () => {
    const bucket = await fill();
    bucket.age();
    assertEquals((await bucket.collect({ onCondemned: () => write(bucket) })).blobs, 0);
    assertEquals([bucket.has(orphan), bucket.listVerdicts()], [true, []]);
  });
}

Deno.test("[103] a writer that comes after the second mark keeps a condemned blob, or finds that it is gone", async () => {
  const bucket = await fill();
  const client = bucket.s3.client();
  const { digest } = orphan.descriptor;
  const condemned = new CondemnedBlobs(client);
  const etag = (await condemned.condemn(digest))!;
  await bucket.open().linkBlob(REPO, digest);
  assertEquals(await condemned.confirm(digest, etag), undefined);
  await condemned.release(digest);

  const again = (await condemned.condemn(digest))!;
  assertEquals(await condemned.confirm(digest, again) !== undefined, true);
  const writer = new CondemnedBlobs(client, async () => {
    // Meanwhile the collection removes the blob.
    await client.remove(blobPath(digest));
    await condemned.release(digest);
  });
  assertEquals(await writer.keep(digest), false);
});

for (const other of ["library/app", "app"]) {
  Deno.test(`[103] collectBucket() with untagged keeps what a tag of ${other} names as docker.io/library/app`, async () => {
    const bucket = await fill();
    const store = bucket.open();
    await store.writeManifest(other, manifest.descriptor, manifest.bytes);
    await store.tag("docker.io/library/app", "1", manifest.descriptor.digest);
    bucket.age();
    assertEquals((await bucket.collect({ untagged: true })).manifests, 0);
    assertEquals((await bucket.open().resolve("docker.io/library/app", "1"))?.digest, manifest.descriptor.digest);
  });
}

Deno.test("[103] collectBucket() keeps all blobs of a repository that has a manifest it cannot read", async () => {
  for (const untagged of [false, true]) {
    const bucket = await fill();
    await bucket.writeManifests(referrer);
    bucket.s3.objects.get(`pre/${blobPath(manifest.descriptor.digest)}`)!.bytes[0]! ^= 1;
    bucket.age();
    const warnings: string[] = [];
    const report = await bucket.collect({ untagged, warn: (message) => warnings.push(message) });
    assertEquals([report.blobs, report.manifests, bucket.has(orphan)], [0, 0, true]);
    assertMatch(warnings[0]!, /^Cannot read the manifest \S+: cannot .*; all blobs of its repository stay$/);
  }
});

Deno.test("[103] collectBucket() keeps the layers that the index of a build cache lists, and does not read them", async () => {
  const bucket = new Bucket();
  const cached = makeBlob(9 * 1024 * 1024, 5);
  await bucket.write(cached);
  const cache = makeIndex([{ ...cached, descriptor: { ...cached.descriptor, mediaType: LAYER_TYPE } }]);
  await bucket.writeManifests(cache);
  await bucket.open().tag(REPO, "cache", cache.descriptor.digest);
  for (const untagged of [false, true]) {
    bucket.age();
    bucket.s3.requests.length = 0;
    assertEquals((await bucket.collect({ untagged })).blobs, 0);
    const reads = bucket.s3.requests.filter((it) => it === `GET /bucket/pre/${blobPath(cached.descriptor.digest)}`);
    assertEquals([bucket.has(cached), reads], [true, []]);
  }
});

const TAGGED_AT: [when: string, isRequest: (request: string) => boolean][] = [
  ["before untagged manifests are removed", (it) => it.startsWith("GET") && it.includes("uploads")],
  ["just before its link is removed", (it) => it.includes(`prefix=pre/${folderOf(index)}`)],
];
for (const [when, isRequest] of TAGGED_AT) {
  for (const isFetched of [false, true]) {
    Deno.test(`[103] collectBucket() with untagged keeps what is ${isFetched ? "written again" : "tagged"} ${when}`, async () => {
      const bucket = await fill();
      await bucket.writeManifests(referrer);
      await bucket.open().tag(REPO, "1", referrer.descriptor.digest);
      bucket.age();
      let isDone = false;
      bucket.s3.intercept = async ({ method, url }) => {
        if (isDone || !isRequest(`${method} ${decodeURIComponent(url)}`)) return undefined;
        isDone = true;
        if (isFetched) await bucket.open().writeManifest(REPO, { ...index.descriptor, isFetched }, index.bytes);
        else await bucket.open().tag(REPO, "2", index.descriptor.digest);
      };
      await bucket.collect({ untagged: true });
      assertEquals(isDone, true);
      assertEquals([index, manifest, layer].map((it) => bucket.has(it)), [true, true, true]);
      assertEquals((await bucket.open().resolve(REPO, index.descriptor.digest))?.digest, index.descriptor.digest);
    });
  }
}

/** Collects, and lets a writer work when a link is about to be removed: its request is under way. */
async function collectWhile(bucket: Bucket, link: string, write: () => Promise<void>): Promise<GcReport> {
  let writing: Promise<void> | undefined;
  bucket.s3.intercept = async ({ method, url }) => {
    if (writing !== undefined || method !== "DELETE" || !decodeURIComponent(url).endsWith(link)) return undefined;
    const isPut = (request: string) => request.startsWith("PUT ") && request.endsWith(link);
    const before = bucket.s3.requests.filter(isPut).length;
    writing = write();
    while (bucket.s3.requests.filter(isPut).length === before) await new Promise((resolve) => setTimeout(resolve, 1));
    return undefined;
  };
  const report = await bucket.collect({ untagged: true });
  await writing;
  return report;
}

Deno.test("[103] collectBucket() keeps the link of a blob that is stored again while it is removed", async () => {
  const bucket = await fill();
  bucket.age();
  const { digest } = orphan.descriptor;
  const { links } = await collectWhile(bucket, layerLinkPath(REPO, digest), () => bucket.write(orphan));
  assertEquals([links, bucket.has(orphan)], [1, true]);
  assertEquals(await bucket.open().isLinkedBlob(REPO, digest), true);
});

for (const isFetched of [true, undefined] as const) {
  Deno.test(`[103] collectBucket() keeps a manifest that is ${isFetched ? "fetched" : "stored"} again while it is removed`, async () => {
    const bucket = new Bucket();
    await bucket.write(layer, config);
    const { descriptor, bytes } = manifest;
    const write = async () => {
      const store = bucket.open();
      await store.writeManifest(REPO, isFetched ? { ...descriptor, isFetched } : descriptor, bytes);
      await store.tag(REPO, "1", descriptor.digest);
    };
    await write();
    await bucket.s3.client().remove(tagLinkPath(REPO, "1"));
    bucket.age();
    const folder = folderOf(manifest);
    const beside = () => [...bucket.s3.objects.keys()].filter((key) => key.startsWith(`pre/${folder}`)).sort();
    const before = beside();
    await collectWhile(bucket, `${folder}link`, write);
    assertEquals((await bucket.open().resolve(REPO, "1"))?.digest, descriptor.digest);
    // Without the mark of a fetched manifest, the link would grant its blobs.
    assertEquals([beside(), bucket.listVerdicts()], [before, []]);
  });
}

Deno.test("[103] a tag is not set to a manifest whose link is removed at this moment", async () => {
  const bucket = new Bucket();
  await bucket.write(layer, config);
  await bucket.writeManifests(manifest);
  bucket.age();
  let error: Error | undefined;
  const tag = () => bucket.open().tag(REPO, "1", manifest.descriptor.digest).catch((it) => void (error = it));
  await collectWhile(bucket, `${folderOf(manifest)}link`, tag);
  assertMatch(error!.message, /a garbage collection has just removed it; try again$/);
  assertEquals(await bucket.open().listTagLinks(REPO), []);
});

Deno.test("[103] a writer that knew a blob finds that it was removed in the meantime", async () => {
  const bucket = await fill();
  const store = bucket.open();
  const { digest } = orphan.descriptor;
  assertEquals(await store.statBlob(REPO, digest), 300);
  bucket.age();
  assertEquals((await bucket.collect()).blobs, 1);
  await assertRejects(() => store.linkBlob(REPO, digest), Error, "has just removed it");
  await store.writeBlob(REPO, orphan.descriptor, streamOf(orphan.bytes));
  assertEquals(bucket.has(orphan), true);
});

Deno.test("[103] a manifest that is written again after the second mark is kept", async () => {
  const bucket = await fill();
  const client = bucket.s3.client();
  const { digest } = manifest.descriptor;
  const condemned = new CondemnedBlobs(client);
  const etag = (await condemned.condemn(digest))!;
  await bucket.writeManifests(manifest);
  assertEquals(await condemned.confirm(digest, etag), undefined);
  await condemned.release(digest);

  const again = (await condemned.condemn(digest))!;
  assertEquals(await condemned.confirm(digest, again) !== undefined, true);
  bucket.s3.intercept = async ({ method, url }) => {
    if (method !== "GET" || !url.includes("crpe/condemned")) return undefined;
    bucket.s3.intercept = () => undefined;
    await client.remove(blobPath(digest));
    await condemned.release(digest);
  };
  await bucket.writeManifests(manifest);
  assertEquals(bucket.has(manifest), true);
});

Deno.test("[103] a collection that was killed while it removed a blob leaves nothing that blocks", async () => {
  const bucket = await fill();
  bucket.age();
  const client = bucket.s3.client();
  const { digest } = orphan.descriptor;
  const killed = new CondemnedBlobs(client);
  assertEquals(await killed.confirm(digest, (await killed.condemn(digest))!) !== undefined, true);
  bucket.age();
  assertEquals(await killed.keep(digest), true);
  assertEquals((await bucket.collect()).blobs, 1);
  assertEquals([bucket.has(orphan), bucket.listVerdicts()], [false, []]);
});

Deno.test("[103] what another collection may still remove is not condemned again", async () => {
  const bucket = await fill();
  const { digest } = orphan.descriptor;
  // It lost its lease while its request for the removal was delayed.
  const slow = new CondemnedBlobs(bucket.s3.client());
  await slow.confirm(digest, (await slow.condemn(digest))!);
  const next = new CondemnedBlobs(bucket.s3.client());
  assertEquals(await next.condemn(digest), undefined);
  bucket.age();
  assertEquals(await next.condemn(digest) !== undefined, true);
});

Deno.test("[103] a removal is not sent again after the time in which writers wait for it", async () => {
  const bucket = await fill();
  bucket.age();
  bucket.s3.intercept = ({ method, url }) => {
    if (method !== "DELETE" || !url.endsWith("/data")) return undefined;
    // The machine slept.
    bucket.s3.now += 11 * 60_000;
    bucket.s3.intercept = () => undefined;
    return new Response(null, { status: 503 });
  };
  await assertRejects(() => bucket.collect(), Error, "the time in which that is safe has passed");
  assertEquals(bucket.has(orphan), true);
  // Writers do not wait for that collection any more.
  assertEquals(await bucket.open().keepBlob(REPO, orphan.descriptor.digest), true);
});

Deno.test("[103] a blob that was kept from a collection and is gone does not count as kept", async () => {
  const bucket = await fill();
  const client = bucket.s3.client();
  const { digest } = orphan.descriptor;
  await new CondemnedBlobs(client).condemn(digest);
  assertEquals(await bucket.open().keepBlob(REPO, digest), true);
  // The collection was killed before it forgot its verdict.
  await client.remove(blobPath(digest));
  assertEquals(await bucket.open().keepBlob(REPO, digest), false);
});

Deno.test("[103] collectBucket() is refused while another one is in progress, and ends when its lease is lost", async () => {
  const bucket = await fill();
  bucket.age();
  const second = async () =>
    void await assertRejects(() => bucket.collect(), Error, "another collection is in progress");
  assertEquals((await bucket.collect({ onCondemned: second })).blobs, 1);

  const slow = await fill();
  slow.age();
  const sleep = async () => {
    slow.s3.now += 61_000;
    await using _other = await takeLease({ client: slow.s3.client(), key: "crpe/gc", ttl: 60_000, owner: "other" });
  };
  await assertRejects(() => slow.collect({ onCondemned: sleep }), Error, "the lease was lost");
  assertEquals(slow.has(orphan), true);
});

Deno.test("[103] collectBucket() removes the parts of uploads that were given up a day ago", async () => {
  const bucket = new Bucket();
  const client = bucket.s3.client();
  await client.startUpload(blobPath(orphan.descriptor.digest));
  bucket.age();
  const recent = await client.startUpload(blobPath(layer.descriptor.digest));
  await client.startUpload("docker/registry/v2/repositories/app/_uploads/x/data");
  await bucket.collect();
  assertEquals([...bucket.s3.uploads.keys()], [recent, "upload-3"]);
});

Deno.test("[103] a corrupt blob is removed from a bucket, an intact one stays, and nothing blocks", async () => {
  const bucket = await fill();
  const check = (it: Content) =>
    removeBucketRot(bucket.s3.client(), it.descriptor.digest, new CondemnedBlobs(bucket.s3.client()));
  await bucket.s3.client().write(blobPath(layer.descriptor.digest), config.bytes);
  assertEquals([await check(layer), await check(config), await check(layer)], ["corrupt", "intact", "missing"]);
  assertEquals([bucket.has(layer), bucket.has(config), bucket.listVerdicts()], [false, true, []]);
});

Deno.test("[103] a corrupt blob stays while a collection is in progress, and when a writer stores it again", async () => {
  const bucket = await fill();
  const client = bucket.s3.client();
  const { digest } = layer.descriptor;
  const check = () => removeBucketRot(client, digest, new CondemnedBlobs(client));
  await client.write(blobPath(digest), config.bytes);
  const verdicts = new CondemnedBlobs(client);
  {
    await using _lease = await takeCollectionLease(client);
    const etag = await verdicts.condemn(digest);
    assertEquals(await check(), "corrupt");
    // The verdict is that of the collection.
    assertEquals([bucket.has(layer), await verdicts.confirm(digest, etag!) !== undefined], [true, true]);
    await verdicts.release(digest);
  }
  let isWritten = false;
  bucket.s3.intercept = (request) => {
    if (request.method === "PUT" && request.url.includes("crpe/condemned") && !isWritten) {
      isWritten = true;
      return bucket.s3.client().write(blobPath(digest), layer.bytes.slice()).then(() => undefined);
    }
    return undefined;
  };
  assertEquals([await check(), bucket.has(layer), bucket.listVerdicts()], ["intact", true, []]);
});
