import { decompress } from "../../../lib/archive/decompress.ts";
import { TarReader } from "../../../lib/archive/tar_reader.ts";
import { parseBlobEntryName, parsePieceEntryName } from "../../../lib/bundle/entry_names.ts";
import { packParts, type PackPartsOptions } from "../../../lib/bundle/pack_parts.ts";
import { preparePack } from "../../../lib/bundle/prepare_pack.ts";
import { layOutParts } from "../../../lib/bundle/split_bundle.ts";
import { DigestMismatchError, verifyBytes } from "../../../lib/content/verifier.ts";
import type { KubePkg, PartContent } from "../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { UsageError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../../support/assert.ts";
import { makeBlob, makeBytes, streamOf } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { peerTest } from "../../support/peers.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { fillStore, makeImage, makeKubePkg, makeMultiImage, run } from "./bundle_support.ts";

const KIB = 1024;
const BIG = makeBlob(700_123, 1);
const IMAGE = makeMultiImage([
  ["linux/amd64", makeImage("linux/amd64", [BIG, makeBlob(1, 2), makeBlob(90_000, 3), makeBlob(0)])],
  ["linux/arm64", makeImage("linux/arm64", [makeBlob(300_000, 4, "sha512"), makeBlob(5000, 5)])],
]);
const NAMES = { "app:1": "", "web:2": "" };
const SMALL = makeImage("linux/amd64", Array.from({ length: 40 }, (_, i) => makeBlob(3000 + i, 50 + i)));

async function prepare(have?: ReadonlySet<Digest>) {
  const store = await fillStore(new MemoryStore(), { "app:1": IMAGE, "web:2": SMALL });
  return await preparePack(makeKubePkg(NAMES), store, have === undefined ? {} : { have });
}

/** Packs the test package in parts, into a folder. */
async function split(maxBytes: number, options: Partial<PackPartsOptions> = {}, folder?: TestFolder) {
  const target = folder ?? await TestFolder.create();
  const pack = await prepare();
  const result = await packParts(pack, {
    maxBytes,
    pathOf: (number, count) => `${target.path}/a.part${number}of${count}.tgz`,
    ...options,
  });
  const files = await Promise.all(result.parts.map(({ file }) => Deno.readFile(file)));
  if (folder === undefined) await target[Symbol.asyncDispose]();
  return { pack, result, files };
}

async function readPart(bytes: Uint8Array<ArrayBuffer>) {
  const { reader } = await decompress(streamOf(bytes), "the part");
  const tar = new TarReader(reader, "the part");
  const entries: { name: string; bytes: Uint8Array }[] = [];
  for (let entry = await tar.next(); entry !== undefined; entry = await tar.next()) {
    entries.push({ name: entry.name, bytes: (await entry.readAll(1e9)).slice() });
  }
  const [first, ...rest] = entries;
  assertEquals(first?.name, "kubepkg.json");
  return { kubepkg: parseKubePkg(JSON.parse(new TextDecoder().decode(first!.bytes))), entries: rest };
}

function contentOf({ name, bytes }: { name: string; bytes: Uint8Array }): PartContent {
  const piece = parsePieceEntryName(name);
  return piece === undefined ? { digest: parseBlobEntryName(name)! } : { ...piece, length: bytes.length };
}

for (const size of [100 * KIB, 128 * KIB + 1, 200_000, 500_000, 10_000_000]) {
  Deno.test(`packParts() writes parts of at most ${size} bytes, which together have all content once`, async () => {
    const { pack, result, files } = await split(size, { hashOutput: true });
    const count = files.length;
    assertEquals(count === 1, size === 10_000_000);
    const id = computeDigest(`${JSON.stringify(pack.kubepkg)}\n`);
    const whole = new Map<Digest, Uint8Array[]>();
    const placed: Digest[] = [];
    for (const [i, bytes] of files.entries()) {
      assert(bytes.length <= size, `${bytes.length} bytes`);
      // Each part is filled before the next: the unused rest is too small for a piece or a manifest.
      if (i < count - 1) assert(bytes.length > size - 34 * KIB, `${bytes.length} of ${size} bytes`);
      assertEquals(result.parts[i]!.size, bytes.length);
      assertEquals(result.parts[i]!.tgzDigest, computeDigest(bytes));
      const { kubepkg, entries } = await readPart(bytes);
      const { part, ...status } = kubepkg.status!;
      assertEquals({ ...kubepkg, status } as KubePkg, pack.kubepkg);
      assertEquals(part, { id, number: i + 1, count, carries: entries.map(contentOf) });
      for (const entry of entries) {
        const { digest, start } = contentOf(entry);
        const pieces = whole.get(digest) ?? [];
        assertEquals(start ?? 0, pieces.reduce((sum, { length }) => sum + length, 0));
        if (pieces.length === 0) placed.push(digest);
        whole.set(digest, [...pieces, entry.bytes]);
      }
    }
    assertEquals(placed, pack.plan.entries.map(({ descriptor }) => descriptor.digest));
    for (const { type, descriptor: { digest, size } } of pack.plan.entries) {
      const pieces = whole.get(digest)!;
      if (type === "manifest") assertEquals(pieces.length, 1);
      verifyBytes(new Uint8Array(await new Blob(pieces as Uint8Array<ArrayBuffer>[]).arrayBuffer()), digest, size);
    }
    const again = await split(size);
    assertEquals(again.files.map((bytes) => computeDigest(bytes)), files.map((bytes) => computeDigest(bytes)));
  });
}

Deno.test("layOutParts() refuses a size that is too small, and gives the smallest that works", async () => {
  const pack = await prepare();
  const { message } = assertThrows(() => layOutParts(pack, 1000), UsageError);
  const smallest = Number(/ the smallest size that works here is (\d+)KiB$/.exec(message)?.[1]) * KIB;
  assert(layOutParts(pack, smallest).every(({ size }) => size <= smallest));
  assertThrows(() => layOutParts(pack, smallest - 1), UsageError);
});

Deno.test("layOutParts() makes one part of a package that the site holds entirely", async () => {
  const { plan } = await prepare();
  const have = new Set(plan.entries.map(({ descriptor }) => descriptor.digest));
  const [only, ...others] = layOutParts(await prepare(have), 200 * KIB);
  assertEquals([only!.entries, others], [[], []]);
});

Deno.test("layOutParts() splits a blob of 64 GiB, and refuses a size that would make thousands of parts", async () => {
  const pack = await prepare();
  const entry = pack.plan.entries[0]!;
  const entries = [{ ...entry, descriptor: { ...entry.descriptor, size: 2 ** 36 } }];
  const plan = { ...pack.plan, entries };
  const files = layOutParts({ ...pack, plan }, 650 * KIB * KIB);
  assertEquals(files.length, 101);
  assertThrows(() => layOutParts({ ...pack, plan }, KIB * KIB), UsageError);
});

peerTest("packParts() writes parts that GNU tar reads", ["tar", "gunzip"], async () => {
  await using folder = await TestFolder.create();
  const { files } = await split(200_000, {}, folder);
  const names = (await run("tar", ["tzf", `a.part2of${files.length}.tgz`], folder.path)).trim().split("\n");
  assertEquals(names[0], "kubepkg.json");
  assert(names.slice(1).every((name) => /^(?:blobs|pieces)\//.test(name)));
});

Deno.test("packParts() keeps existing parts, and resumes a partial one", async () => {
  await using folder = await TestFolder.create();
  const { files, result } = await split(200_000, {}, folder);
  const stamps = async () => await Promise.all(result.parts.map(async ({ file }) => (await Deno.stat(file)).ino));
  const before = await stamps();
  const again = await split(200_000, { hashOutput: true }, folder);
  assertEquals(await stamps(), before);
  assertEquals(again.result.resumed, again.result.size);
  assertEquals(again.result.parts.map(({ tgzDigest }) => tgzDigest), files.map((bytes) => computeDigest(bytes)));

  // One part is partial, one is missing, one is damaged, one is of another package.
  const pathOf = (number: number) => `${folder.path}/a.part${number}of${files.length}.tgz`;
  await Deno.remove(pathOf(2));
  await folder.write(`.a.part2of${files.length}.tgz.partial`, files[1]!.slice(0, 150_000));
  await Deno.remove(pathOf(3));
  await Deno.writeFile(pathOf(4), files[3]!.with(100_000, files[3]![100_000]! ^ 1));
  await Deno.writeFile(pathOf(5), makeBytes(files[4]!.length));
  const repaired = await split(200_000, {}, folder);
  assertEquals(repaired.files.map((bytes) => computeDigest(bytes)), files.map((bytes) => computeDigest(bytes)));
  assert(repaired.result.parts[1]!.resumed > 140_000);
  assertEquals(repaired.result.parts.slice(2, 5).map(({ resumed }) => resumed), [0, 0, 0]);
  assertEquals((await folder.listFiles()).length, files.length);
});

Deno.test("packParts() finds that a resumed piece is damaged, and writes it again", async () => {
  await using folder = await TestFolder.create();
  const { files } = await split(200_000, {}, folder);
  const count = files.length;
  for (let i = 1; i <= count; i++) await Deno.remove(`${folder.path}/a.part${i}of${count}.tgz`);
  // The large blob is in parts 1 to 4. That this piece is wrong shows only at the end of the blob.
  const [layout] = layOutParts(await prepare(), 200_000);
  const first = files[0]!.slice(0, 190_000);
  const at = layout!.head.bytes.length + 40_000;
  await folder.write(`.a.part1of${count}.tgz.partial`, first.with(at, first[at]! ^ 1));
  const repaired = await split(200_000, {}, folder);
  assertEquals(repaired.files.map((bytes) => computeDigest(bytes)), files.map((bytes) => computeDigest(bytes)));
});

Deno.test("packParts() leaves no part with a piece of wrong content", async () => {
  await using folder = await TestFolder.create();
  const pack = await prepare();
  const { source } = pack;
  const openBlob: typeof source.openBlob = async (repo, digest, range) => {
    const opened = await source.openBlob(repo, digest, range);
    if (digest !== BIG.descriptor.digest || opened === undefined) return opened;
    const flip = new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => controller.enqueue(chunk.map((byte) => byte ^ 1)),
    });
    return { ...opened, body: opened.body.pipeThrough(flip) };
  };
  const wrong = { ...pack, source: Object.assign(Object.create(source), { openBlob }) };
  const pathOf = (number: number, count: number) => `${folder.path}/a.part${number}of${count}.tgz`;
  await assertRejects(
    () => packParts(wrong, { maxBytes: 200_000, pathOf }),
    DigestMismatchError,
    "Cannot pack docker.io/library/app:1: ",
  );
  assertEquals(await folder.listFiles(), []);
});
