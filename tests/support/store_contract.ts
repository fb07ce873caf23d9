import type { ContentCatalog, ContentStore } from "../../lib/content/source.ts";
import { DigestMismatchError } from "../../lib/content/verifier.ts";
import { RegistryError } from "../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "./assert.ts";
import { makeBlob, makeIndex, makeManifest, readAll, streamOf, UNKNOWN_DIGEST } from "./content.ts";

const REPO = "docker.io/library/app";

/** Registers the tests that every store has to pass, whatever it is made of. */
export function testStoreContract(name: string, open: () => Promise<ContentStore & ContentCatalog & AsyncDisposable>) {
  const test = (what: string, fn: (store: ContentStore & ContentCatalog) => Promise<void>) => {
    // Fault numbers come first in the name of a test.
    const [, faults = "", criterion] = /^((?:\[\d+\] )*)(.*)$/.exec(what) ?? [];
    Deno.test(`${faults}${name} ${criterion}`, async () => {
      await using store = await open();
      await fn(store);
    });
  };
  const layer = makeBlob(3 * 1024 * 1024 + 17, 2);
  const config = makeBlob(100, 3);
  const manifest = makeManifest(config, [layer]);
  const index = makeIndex([manifest]);

  test("returns written content by tag and by digest", async (store) => {
    await store.writeBlob(REPO, config.descriptor, streamOf(config.bytes));
    await store.writeBlob(REPO, layer.descriptor, streamOf(layer.bytes));
    await store.writeManifest(REPO, manifest.descriptor, manifest.bytes);
    await store.writeManifest(REPO, index.descriptor, index.bytes);
    await store.tag(REPO, "1.0", index.descriptor.digest);
    assertEquals(await store.resolve(REPO, "1.0"), index.descriptor);
    assertEquals(await store.resolve(REPO, manifest.descriptor.digest), manifest.descriptor);
    assertEquals(await store.readManifest(REPO, index.descriptor.digest), index.bytes);
    assertEquals(await store.statBlob(REPO, layer.descriptor.digest), layer.bytes.length);
    assertEquals(await readAll(await store.openBlob(REPO, layer.descriptor.digest)), layer.bytes);
  });

  test("returns undefined for missing content", async (store) => {
    assertEquals(await store.resolve(REPO, "1.0"), undefined);
    assertEquals(await store.resolve(REPO, UNKNOWN_DIGEST), undefined);
    assertEquals(await store.readManifest(REPO, UNKNOWN_DIGEST), undefined);
    assertEquals(await store.statBlob(REPO, UNKNOWN_DIGEST), undefined);
    assertEquals(await store.openBlob(REPO, UNKNOWN_DIGEST), undefined);
    assertEquals(await store.listTags(REPO), undefined);
    assertEquals(await store.listRepositories(), { repositories: [], isMore: false });
    assertEquals((await store.listReferrers(REPO, UNKNOWN_DIGEST)).referrers, []);
  });

  const ranges: [string, Parameters<ContentStore["openBlob"]>[2], number, number][] = [
    ["from the start", { start: 0, end: 9 }, 0, 10],
    ["in the middle", { start: 1_000_000, end: 2_999_999 }, 1_000_000, 3_000_000],
    ["to the end", { start: 3 * 1024 * 1024 }, 3 * 1024 * 1024, layer.bytes.length],
    ["past the end", { start: 10, end: 1e12 }, 10, layer.bytes.length],
    ["of the last bytes", { suffix: 5 }, layer.bytes.length - 5, layer.bytes.length],
    ["with a suffix longer than the blob", { suffix: 1e12 }, 0, layer.bytes.length],
  ];
  for (const [what, range, start, end] of ranges) {
    test(`openBlob() returns a range ${what}`, async (store) => {
      await store.writeBlob(REPO, layer.descriptor, streamOf(layer.bytes));
      const opened = await store.openBlob(REPO, layer.descriptor.digest, range);
      assertEquals({ size: opened?.size, start: opened?.start, length: opened?.length }, {
        size: layer.bytes.length,
        start,
        length: end - start,
      });
      assertEquals(await readAll(opened), layer.bytes.slice(start, end));
    });
  }

  test("openBlob() refuses a range that starts past the end", async (store) => {
    await store.writeBlob(REPO, config.descriptor, streamOf(config.bytes));
    const error = await assertRejects(
      () => store.openBlob(REPO, config.descriptor.digest, { start: 100 }),
      RegistryError,
    );
    assertEquals({ code: error.code, detail: error.detail }, { code: "RANGE_INVALID", detail: { size: 100 } });
  });

  const wrong: [string, Uint8Array<ArrayBuffer>][] = [
    ["other bytes", makeBlob(100, 9).bytes],
    ["fewer bytes", config.bytes.slice(0, 99)],
    ["more bytes", makeBlob(101, 3).bytes],
    ["no bytes", new Uint8Array()],
  ];
  for (const [what, bytes] of wrong) {
    test(`[10] [11] [12] writeBlob() refuses ${what}`, async (store) => {
      await assertRejects(() => store.writeBlob(REPO, config.descriptor, streamOf(bytes)), DigestMismatchError);
      assertEquals(await store.statBlob(REPO, config.descriptor.digest), undefined);
    });
  }

  test("[13] writeManifest() refuses other bytes", async (store) => {
    await assertRejects(() => store.writeManifest(REPO, manifest.descriptor, index.bytes), DigestMismatchError);
    assertEquals(await store.resolve(REPO, manifest.descriptor.digest), undefined);
  });

  for (const algorithm of ["sha384", "sha512"] as const) {
    test(`[45] keeps ${algorithm} apart from sha256`, async (store) => {
      const blob = makeBlob(1000, 4, algorithm);
      await store.writeBlob(REPO, blob.descriptor, streamOf(blob.bytes));
      assertEquals(await readAll(await store.openBlob(REPO, blob.descriptor.digest)), blob.bytes);
    });
  }

  test("keeps an empty blob", async (store) => {
    const blob = makeBlob(0);
    await store.writeBlob(REPO, blob.descriptor, streamOf(blob.bytes));
    assertEquals(await readAll(await store.openBlob(REPO, blob.descriptor.digest)), blob.bytes);
  });

  test("tag() moves a tag", async (store) => {
    await store.writeManifest(REPO, manifest.descriptor, manifest.bytes);
    await store.writeManifest(REPO, index.descriptor, index.bytes);
    await store.tag(REPO, "latest", manifest.descriptor.digest);
    await store.tag(REPO, "latest", index.descriptor.digest);
    assertEquals((await store.resolve(REPO, "latest"))?.digest, index.descriptor.digest);
    assertEquals(await store.listTags(REPO), { tags: ["latest"], isMore: false });
  });

  test("lists tags and repositories in order", async (store) => {
    for (const repo of ["quay.io/b/c", "quay.io/b", REPO]) {
      await store.writeManifest(repo, manifest.descriptor, manifest.bytes);
      for (const tag of ["b", "a", "B"]) await store.tag(repo, tag, manifest.descriptor.digest);
    }
    assertEquals(await store.listRepositories(), {
      repositories: [REPO, "quay.io/b", "quay.io/b/c"],
      isMore: false,
    });
    assertEquals(await store.listTags("quay.io/b"), { tags: ["B", "a", "b"], isMore: false });
  });

  test("listReferrers() finds the manifests that name a subject, even a missing subject", async (store) => {
    const referrer = makeManifest(config, [], index);
    await store.writeManifest(REPO, manifest.descriptor, manifest.bytes);
    await store.writeManifest(REPO, referrer.descriptor, referrer.bytes);
    assertEquals((await store.listReferrers(REPO, index.descriptor.digest)).referrers, [
      { ...referrer.descriptor, artifactType: "application/octet-stream" },
    ]);
  });
}
