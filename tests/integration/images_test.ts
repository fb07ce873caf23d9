import { formatSize } from "../../lib/bytes/format_size.ts";
import { ImagePins } from "../../lib/install/image_pins.ts";
import { PackageRecords } from "../../lib/install/package_records.ts";
import { openCacheLimit } from "../../lib/cli/wiring/open_cache_limit.ts";
import { listTaggedImages } from "../../lib/store/list_images.ts";
import { blobPath, partialPath, tagLinkPath } from "../../lib/store/layout.ts";
import { computeDigest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { takeDataFolder } from "../../lib/store/data_folder.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { buildImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { createPackFixture } from "../support/pack_fixture.ts";

// `web` and `job` share a layer.
const SHARED = { "shared.txt": "x".repeat(3000) };
const IMAGES = {
  "registry.test/team/web:1": buildImage({ files: [SHARED, { "web.txt": "web" }], layerCompression: "none" }),
  "registry.test/team/job:1": buildImage({ files: [SHARED, { "job.txt": "job" }], layerCompression: "none" }),
  "docker.io/library/plain:3": buildImage({ format: "docker" }),
};
const [WEB, JOB, PLAIN] = Object.keys(IMAGES) as [string, string, string];

type Fixture = Awaited<ReturnType<typeof createPackFixture>>;
const namesIn = async (fixture: Fixture, data = "source") => {
  return (await listTaggedImages(new DiskStore(`${fixture.folder.path}/${data}`))).map(({ reference }) => reference);
};

Deno.test("crpe images rm removes images, frees what no other image has, and names those that fail", async () => {
  await using fixture = await createPackFixture(IMAGES);
  const planned = await fixture.crpe("images", "rm", WEB, "--dry-run", "--data=source");
  const { images } = JSON.parse((await fixture.crpe("images", "du", "--data=source", "--json")).stdout) as {
    images: { references: string[]; unique: number }[];
  };
  const { unique } = images.find(({ references }) => references.includes(WEB))!;
  assertEquals([planned.code, planned.stdout], [0, `would remove ${WEB}\nwould free ${formatSize(unique)}\n`]);
  const removed = await fixture.crpe("images", "rm", "missing", WEB, "--data=source", "--json");
  assertEquals(removed.code, 1);
  assertEquals(JSON.parse(removed.stdout).map((it: Record<string, unknown>) => it.removed), [undefined, true]);
  assertStringIncludes(removed.stderr, "1 of 2 failed: missing\n");
  assertEquals(await namesIn(fixture), [PLAIN, JOB]);
  const files = await fixture.folder.listFiles("source");
  const isThere = (digest: Parameters<typeof blobPath>[0]) => files.includes(blobPath(digest));
  const own = [...IMAGES[WEB as keyof typeof IMAGES].blobs.keys()];
  const others = new Set(IMAGES[JOB as keyof typeof IMAGES].blobs.keys());
  assertEquals(own.map(isThere), own.map((digest) => others.has(digest)));
  assertEquals((await fixture.crpe("verify", "--data=source")).code, 0);
});

Deno.test("crpe images rm removes nothing that a package needs, or that is pinned: exit status 3", async () => {
  await using fixture = await createPackFixture(IMAGES);
  assertEquals((await fixture.pack(makeKubePkg({ [WEB]: "" }, { namespace: "shop" }), "web")).code, 0);
  assertEquals((await fixture.crpe("import", "web.tgz", "--data=source")).code, 0);
  assertEquals((await fixture.crpe("images", "pin", PLAIN, "--data=source")).code, 0);
  for (
    const [image, reason] of [[WEB, "crpe packages remove shop/line4 releases it"], [
      PLAIN,
      "crpe images unpin",
    ]] as const
  ) {
    const refused = await fixture.crpe("images", "rm", image, "--data=source");
    assertEquals(refused.code, 3, refused.stderr);
    assertStringIncludes(refused.stderr, reason);
  }
  assertEquals(await namesIn(fixture), [PLAIN, JOB, WEB]);
  assertEquals((await fixture.crpe("images", "unpin", PLAIN, "--data=source")).code, 0);
  assertEquals((await fixture.crpe("images", "rm", PLAIN, "--data=source")).code, 0);
});

Deno.test("crpe images rm waits for an installation or a pin in progress, and then keeps what it needs", async () => {
  await using fixture = await createPackFixture(IMAGES);
  const root = `${fixture.folder.path}/source`;
  let removing: ReturnType<typeof fixture.crpe>;
  {
    await using _lock = await new PackageRecords(root).lock();
    removing = fixture.crpe("images", "rm", JOB, "--data=source");
    // Without the lock, it ends in this time.
    await Promise.race([removing, new Promise((resolve) => setTimeout(resolve, 1000))]);
    await new ImagePins(root).write([JOB]);
  }
  const { code, stderr } = await removing;
  assertEquals([code, await namesIn(fixture)], [3, [PLAIN, JOB, WEB]], stderr);
});

Deno.test("images that are pinned at the same time are all pinned", async () => {
  await using fixture = await createPackFixture({});
  const names = Array.from({ length: 6 }, (_, i) => `registry.test/team/web:${i}`);
  await Promise.all(names.map((name) => fixture.crpe("images", "pin", name, "--data=source")));
  assertEquals(await new ImagePins(`${fixture.folder.path}/source`).list(), names);
});

Deno.test("a pinned image is not evicted by the size limit; a damaged record of pins is named, and nothing is evicted", async () => {
  await using fixture = await createPackFixture(IMAGES);
  assertEquals((await fixture.crpe("images", "pin", JOB, "--data=source", "--json")).code, 0);
  const root = `${fixture.folder.path}/source`;
  const record = `${root}/kubepkg/.pins.json`;
  assertEquals((await Deno.stat(record)).mode! & 0o777, 0o600);
  const job = (await listTaggedImages(new DiskStore(root))).find(({ reference }) => reference === JOB);
  const evict = async (limit = Math.ceil(job!.size * 1.05)) => {
    const store = new DiskStore(root);
    const warnings: string[] = [];
    const opened = await openCacheLimit({
      root,
      limit,
      store,
      isBusy: () => false,
      warn: (it) => warnings.push(it),
    });
    await opened.close();
    return warnings.join("\n");
  };
  const text = await Deno.readTextFile(record);
  await Deno.writeTextFile(record, text.replace("job", "jab"));
  await evict().catch(() => {});
  assertEquals(await namesIn(fixture), [PLAIN, JOB, WEB]);
  const verified = await fixture.crpe("verify", "--data=source");
  assertEquals(verified.code, 4);
  assertStringIncludes(verified.stdout, ".pins.json: its checksum is wrong");
  assertStringIncludes(verified.stdout, "remove the file, and pin the images again");
  await Deno.writeTextFile(record, text);
  await evict();
  const left = await namesIn(fixture);
  assertEquals([left.includes(JOB), left.includes(WEB)], [true, false]);
  assertEquals((await fixture.crpe("images", "unpin", JOB, "--data=source")).code, 0);
  await evict(1);
  assertEquals(await namesIn(fixture), []);
});

Deno.test("crpe images shows when each tag was set, and the size of the store", async () => {
  await using fixture = await createPackFixture(IMAGES);
  const root = `${fixture.folder.path}/source`;
  const date = new Date("2026-01-02T03:04:05Z");
  await Deno.utime(`${root}/${tagLinkPath("registry.test/team/web", "1")}`, date, date);
  const { stdout, stderr } = await fixture.crpe("images", "--data=source");
  assertMatch(stdout, /^IMAGE +DIGEST +PLATFORMS +SIZE +TAGGED \(UTC\) +COMPLETE\n/);
  assertMatch(stdout, /^registry\.test\/team\/web:1 .* 2026-01-02 03:04 +yes$/m);
  const { total } = JSON.parse((await fixture.crpe("images", "du", "--data=source", "--json")).stdout);
  assertEquals(stderr, `crpe: 3 images, ${formatSize(total)} in the store\n`);
  const images = JSON.parse((await fixture.crpe("images", "--data=source", "--json")).stdout);
  assertEquals(images.find((it: { reference: string }) => it.reference === WEB).tagged, date.toJSON());
});

Deno.test("crpe images du shows what images take alone and share", async () => {
  await using fixture = await createPackFixture(IMAGES);
  const { stdout } = await fixture.crpe("images", "du", "--data=source", "--json");
  const usage = JSON.parse(stdout) as {
    images: { references: string[]; size: number; unique: number }[];
    total: number;
    unreferenced: number;
  };
  const byName = Object.fromEntries(usage.images.map((image) => [image.references[0], image]));
  assert(byName[WEB]!.size > 3000 && byName[WEB]!.unique < byName[WEB]!.size - 3000);
  assertEquals(byName[PLAIN]!.unique, byName[PLAIN]!.size);
  const shared = byName[WEB]!.size - byName[WEB]!.unique;
  assertEquals(usage.total, usage.images.reduce((sum, { unique }) => sum + unique, 0) + shared);
  assertEquals(usage.unreferenced, 0);
});

Deno.test("partial files of downloads are listed, removed by crpe gc --partial unless in use, and expire", async () => {
  await using fixture = await createPackFixture({});
  const root = `${fixture.folder.path}/source`;
  const [used, given, old] = ["used", "given up", "old"].map((text) => computeDigest(text));
  for (const digest of [used!, given!, old!]) await fixture.folder.write(`source/${partialPath(digest)}`, "12345");
  const longAgo = new Date(Date.now() - 15 * 24 * 3600 * 1000);
  await Deno.utime(`${root}/${partialPath(old!)}`, longAgo, longAgo);
  const ingest = await new DiskStore(root).openIngest(used!);
  const list = async () => {
    const { stdout } = await fixture.crpe("images", "--partial", "--data=source", "--json");
    return Object.fromEntries(
      (JSON.parse(stdout) as { digest: string; size: number; isInUse: boolean }[])
        .map(({ digest, size, isInUse }) => [digest, [size, isInUse]]),
    );
  };
  assertEquals(await list(), { [used!]: [5, true], [given!]: [5, false], [old!]: [5, false] });
  (await takeDataFolder(root))![Symbol.dispose]();
  assertEquals(await list(), { [used!]: [5, true], [given!]: [5, false] });
  const collected = await fixture.crpe("gc", "--partial", "--data=source");
  assertStringIncludes(collected.stdout, "1 partial file (5 B)");
  assertEquals(await list(), { [used!]: [5, true] });
  ingest.keep();
});
