import { SharedFiles } from "../../../lib/bytes/shared_files.ts";
import { ObjectStore } from "../../../lib/object_store/object_store.ts";
import { repairBucketLink, verifyBucket } from "../../../lib/object_store/verify_bucket.ts";
import { layerLinkPath, tagLinkPath } from "../../../lib/store/layout.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeBlob, makeManifest, streamOf } from "../../support/content.ts";
import { MemoryS3 } from "../../support/memory_s3.ts";

const REPO = "quay.io/team/app";
const config = makeBlob(100, 1);
const [first, second] = [makeManifest(config, []), makeManifest(config, [config])];
const [TAG, LAYER] = [tagLinkPath(REPO, "1"), layerLinkPath(REPO, config.descriptor.digest)];
const bytesOf = (text: string) => new TextEncoder().encode(text);

async function fill() {
  const s3 = new MemoryS3();
  const client = s3.client();
  const store = new ObjectStore({ client, spool: "/nonexistent", files: new SharedFiles() });
  await store.writeBlob(REPO, config.descriptor, streamOf(config.bytes));
  for (const { descriptor, bytes } of [first, second]) await store.writeManifest(REPO, descriptor, bytes);
  await store.tag(REPO, "1", first.descriptor.digest);
  const read = async (path: string) => new TextDecoder().decode((await client.read(path))?.bytes);
  return { s3, client, store, read, verify: async () => (await verifyBucket({ store, client })).links };
}

Deno.test("[103] repairBucketLink() rebuilds what is damaged", async () => {
  const { client, read, verify } = await fill();
  for (const path of [TAG, LAYER]) await client.write(path, bytesOf("sha256:12"));
  const links = await verify();
  assertEquals(links.map(({ path }) => path), [TAG, LAYER]);
  for (const link of links) assertEquals(await repairBucketLink(client, link), "rebuilt");
  assertEquals(await Promise.all([TAG, LAYER].map(read)), [first.descriptor.digest, config.descriptor.digest]);
  assertEquals(await verify(), []);
});

Deno.test("[103] repairBucketLink() leaves a tag alone that a replica sets, before it looks or after", async () => {
  const { s3, client, store, read, verify } = await fill();
  await client.write(TAG, bytesOf(""));
  const [link] = await verify();
  await store.tag(REPO, "1", second.descriptor.digest);
  await repairBucketLink(client, link!);
  assertEquals(await read(TAG), second.descriptor.digest);

  await client.write(TAG, bytesOf(""));
  s3.intercept = async ({ method }) => {
    if (method !== "PUT") return undefined;
    s3.intercept = () => undefined;
    await store.tag(REPO, "1", second.descriptor.digest);
    return undefined;
  };
  await repairBucketLink(client, link!);
  assertEquals(await read(TAG), second.descriptor.digest);
});

Deno.test("[103] locateBlob() sends no client to a blob that another process has removed", async () => {
  const { s3, store } = await fill();
  const { digest } = config.descriptor;
  assertEquals(await store.statBlob(REPO, digest), 100);
  assertEquals((await store.locateBlob(REPO, digest))?.startsWith("http://s3.test/bucket/pre/docker/"), true);
  for (const key of s3.objects.keys()) if (key.endsWith("/data")) s3.objects.delete(key);
  assertEquals(await store.locateBlob(REPO, digest), undefined);
});
