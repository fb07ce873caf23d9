import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { makeBlob, makeManifest, streamOf } from "../../support/content.ts";
import { testStoreContract } from "../../support/store_contract.ts";
import { MEMORY_FOLDER } from "../../support/test_folder.ts";

async function openTemporary() {
  const root = await Deno.makeTempDir({ dir: MEMORY_FOLDER });
  const warnings: string[] = [];
  const store = new DiskStore(root, { warn: (message) => warnings.push(message) });
  return Object.assign(store, {
    root,
    warnings,
    [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }),
  });
}

testStoreContract("DiskStore", openTemporary);

const config = makeBlob(100, 3);
const manifest = makeManifest(config, []);
const V2 = "docker/registry/v2";

async function listFiles(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(folder)) {
    if (entry.isFile) found.push(entry.name);
    else found.push(...(await listFiles(`${folder}/${entry.name}`)).map((name) => `${entry.name}/${name}`));
  }
  return found.sort();
}

Deno.test("DiskStore writes the layout of CNCF distribution", async () => {
  await using store = await openTemporary();
  const repo = "quay.io/team/app";
  await store.writeBlob(repo, config.descriptor, streamOf(config.bytes));
  await store.writeManifest(repo, manifest.descriptor, manifest.bytes);
  await store.tag(repo, "1.0", manifest.descriptor.digest);
  const [c, m] = [config.descriptor.digest.slice(7), manifest.descriptor.digest.slice(7)];
  assertEquals(
    await listFiles(store.root),
    [
      `${V2}/blobs/sha256/${c.slice(0, 2)}/${c}/data`,
      `${V2}/blobs/sha256/${m.slice(0, 2)}/${m}/data`,
      `${V2}/repositories/${repo}/_layers/sha256/${c}/link`,
      `${V2}/repositories/${repo}/_manifests/revisions/sha256/${m}/link`,
      `${V2}/repositories/${repo}/_manifests/tags/1.0/current/link`,
      `${V2}/repositories/${repo}/_manifests/tags/1.0/index/sha256/${m}/link`,
    ].sort(),
  );
  const link = await Deno.readTextFile(`${store.root}/${V2}/repositories/${repo}/_manifests/tags/1.0/current/link`);
  assertEquals(link, manifest.descriptor.digest);
});

for (const written of ["library/nginx", "nginx", "docker.io/library/nginx"]) {
  Deno.test(`DiskStore finds docker.io/library/nginx in a folder where it is filed as ${written}`, async () => {
    await using store = await openTemporary();
    await store.writeManifest(written, manifest.descriptor, manifest.bytes);
    await store.tag(written, "1", manifest.descriptor.digest);
    const fresh = new DiskStore(store.root);
    assertEquals((await fresh.resolve("docker.io/library/nginx", "1"))?.digest, manifest.descriptor.digest);
    assertEquals((await fresh.listTags("docker.io/library/nginx"))?.tags, ["1"]);
    assertEquals(await fresh.resolve("quay.io/library/nginx", "1"), undefined);
  });
}

Deno.test("[28] DiskStore treats a blob truncated to 0 bytes as missing, and writes it again", async () => {
  await using store = await openTemporary();
  await store.writeBlob("a.b/c", config.descriptor, streamOf(config.bytes));
  const hex = config.descriptor.digest.slice(7);
  await Deno.truncate(`${store.root}/${V2}/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`);
  assertEquals(await store.statBlob("a.b/c", config.descriptor.digest), undefined);
  assertEquals(await store.openBlob("a.b/c", config.descriptor.digest), undefined);
  await store.writeBlob("a.b/c", config.descriptor, streamOf(config.bytes));
  assertEquals(await store.statBlob("a.b/c", config.descriptor.digest), 100);
});

Deno.test("[29] DiskStore treats a manifest with a flipped bit as missing, warns, and accepts it again", async () => {
  await using store = await openTemporary();
  await store.writeManifest("a.b/c", manifest.descriptor, manifest.bytes);
  const hex = manifest.descriptor.digest.slice(7);
  const rotten = manifest.bytes.slice();
  rotten[20]! ^= 1;
  await Deno.writeFile(`${store.root}/${V2}/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`, rotten);
  const warnings: string[] = [];
  const fresh = new DiskStore(store.root, { warn: (message) => warnings.push(message) });
  assertEquals(await fresh.resolve("a.b/c", manifest.descriptor.digest), undefined);
  assertStringIncludes(warnings.join(), `the manifest ${manifest.descriptor.digest} of a.b/c: cannot accept `);
  await fresh.writeManifest("a.b/c", manifest.descriptor, manifest.bytes);
  assertEquals(await fresh.resolve("a.b/c", manifest.descriptor.digest), manifest.descriptor);
});

Deno.test("[30] DiskStore treats a torn tag link as missing, and warns", async () => {
  await using store = await openTemporary();
  await store.writeManifest("a.b/c", manifest.descriptor, manifest.bytes);
  await store.tag("a.b/c", "1", manifest.descriptor.digest);
  await Deno.writeTextFile(`${store.root}/${V2}/repositories/a.b/c/_manifests/tags/1/current/link`, "sha256:12");
  assertEquals(await store.resolve("a.b/c", "1"), undefined);
  assertEquals((await store.listTags("a.b/c"))?.tags, []);
  assertStringIncludes(store.warnings.join(), "tags/1/current/link");
});

Deno.test("[65] DiskStore refuses a symbolic link at the path of a blob", async () => {
  await using store = await openTemporary();
  const hex = config.descriptor.digest.slice(7);
  const folder = `${store.root}/${V2}/blobs/sha256/${hex.slice(0, 2)}/${hex}`;
  await Deno.mkdir(folder, { recursive: true });
  await Deno.symlink("/etc/passwd", `${folder}/data`);
  await assertRejects(() => store.openBlob("a.b/c", config.descriptor.digest), Error, "symbolic link");
});

Deno.test("[10] DiskStore leaves no temporary file after refusing a blob", async () => {
  await using store = await openTemporary();
  await assertRejects(() => store.writeBlob("a.b/c", config.descriptor, streamOf(makeBlob(100, 8).bytes)));
  assertEquals(await listFiles(`${store.root}/ingest`), []);
});

Deno.test("DiskStore.writeBlob() does not use the partial file of an interrupted download", async () => {
  await using store = await openTemporary();
  await Deno.mkdir(`${store.root}/ingest`);
  const partial = `${store.root}/ingest/sha256-${config.descriptor.digest.slice(7)}.partial`;
  await Deno.writeFile(partial, makeBlob(50, 77).bytes);
  await store.writeBlob("a.b/c", config.descriptor, streamOf(config.bytes));
  assertEquals(await store.statBlob("a.b/c", config.descriptor.digest), 100);
});

Deno.test("DiskStore accepts concurrent writes of one blob", async () => {
  await using store = await openTemporary();
  const blob = makeBlob(500_000, 6);
  await Promise.all([1, 2, 3].map((i) => store.writeBlob(`a.b/c${i}`, blob.descriptor, streamOf(blob.bytes, 1000))));
  assertEquals(await store.statBlob("a.b/c1", blob.descriptor.digest), 500_000);
  assertEquals(await listFiles(`${store.root}/ingest`), []);
});

/** Counts how many files `work` looks at. */
async function countStats(work: () => Promise<unknown>): Promise<number> {
  const { lstatSync } = Deno;
  let count = 0;
  Deno.lstatSync = (path) => {
    count++;
    return lstatSync(path);
  };
  try {
    await work();
  } finally {
    Deno.lstatSync = lstatSync;
  }
  return count;
}

Deno.test("DiskStore looks at a blob once when a manifest states its size, and at two links for a tag", async () => {
  await using store = await openTemporary();
  const [repo, { digest }] = ["quay.io/team/app", config.descriptor];
  await store.writeBlob(repo, config.descriptor, streamOf(config.bytes));
  await store.writeManifest(repo, manifest.descriptor, manifest.bytes);
  await store.tag(repo, "1.0", manifest.descriptor.digest);
  await store.statBlob(repo, digest);
  assertEquals(await countStats(() => store.statBlob(repo, digest)), 1);
  assertEquals(await countStats(async () => await (await store.openBlob(repo, digest))!.body.cancel()), 1);
  await store.resolve(repo, "1.0");
  assertEquals(await countStats(() => store.resolve(repo, "1.0")), 2);
  assertEquals(await countStats(() => store.readManifest(repo, manifest.descriptor.digest)), 0);
});
