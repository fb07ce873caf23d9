import { DigestMismatchError } from "../../../lib/content/verifier.ts";
import { countMissing } from "../../../lib/store/blob_pieces.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { pieceListPath, piecesPath } from "../../../lib/store/layout.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { makeBlob, readAll } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const BLOB = makeBlob(100_000, 1);
const { digest: DIGEST, size: SIZE } = BLOB.descriptor;
const [FIRST, SECOND] = [{ start: 0, length: 60_000, part: 1 }, { start: 60_000, length: 40_000, part: 2 }];
const bytesOf = ({ start, length }: typeof FIRST) => BLOB.bytes.slice(start, start + length);

const cases: [string, [number, number][], number, number, number][] = [
  ["no range", [], 0, 10, 10],
  ["a range equal to the span", [[0, 10]], 0, 10, 0],
  ["a range larger than the span", [[0, 100]], 5, 10, 0],
  ["ranges before and after the span", [[0, 5], [15, 5]], 5, 10, 10],
  ["a range in the middle", [[7, 2]], 5, 10, 8],
  ["overlapping, unsorted ranges", [[8, 4], [0, 6], [5, 5]], 0, 12, 0],
  ["nested ranges and a gap", [[0, 4], [1, 2], [6, 2]], 0, 10, 4],
];
for (const [what, ranges, start, length, missing] of cases) {
  Deno.test(`countMissing() with ${what} gives ${missing}`, () => {
    assertEquals(countMissing(ranges.map(([start, length]) => ({ start, length })), start, length), missing);
  });
}

Deno.test("BlobPieces commits the blob when the last piece is recorded, and leaves no temporary files", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  for (const range of [SECOND, FIRST]) {
    assertEquals(await store.statBlob("", DIGEST), undefined);
    const pieces = await store.openPieces(DIGEST);
    await pieces.write(range.start, bytesOf(range));
    assertEquals((await store.listPieces(DIGEST)).length, range === SECOND ? 0 : 1);
    await pieces.record([range, range]);
    assertEquals(await pieces.commit(SIZE), range === FIRST);
  }
  assertEquals(await readAll(await store.openBlob("", DIGEST)), BLOB.bytes);
  assertEquals([await folder.listFiles("ingest"), await store.listPieces(DIGEST)], [[], []]);
});

Deno.test("BlobPieces removes all pieces when they do not match the digest", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  const pieces = await store.openPieces(DIGEST);
  await pieces.write(0, BLOB.bytes.with(7, 1 + BLOB.bytes[7]!));
  await pieces.record([{ start: 0, length: SIZE, part: 1 }]);
  await assertRejects(() => pieces.commit(SIZE), DigestMismatchError);
  assertEquals([await folder.listFiles("ingest"), await store.statBlob("", DIGEST)], [[], undefined]);
});

Deno.test("BlobPieces neither commits nor removes pieces while there is another writer", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  const [pieces, other] = [await store.openPieces(DIGEST), await store.openPieces(DIGEST)];
  await pieces.write(0, BLOB.bytes);
  await pieces.record([{ start: 0, length: SIZE, part: 1 }]);
  assertEquals(await pieces.commit(SIZE), false);
  await other.write(5, BLOB.bytes.slice(5, 10));
  await other.abandon();
  const again = await store.openPieces(DIGEST);
  assertEquals(await again.commit(SIZE), true);
  assertEquals(await readAll(await store.openBlob("", DIGEST)), BLOB.bytes);
});

Deno.test("BlobPieces.abandon() keeps recorded pieces, and removes the file if there are none", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  const first = await store.openPieces(DIGEST);
  await first.write(0, bytesOf(FIRST));
  await first.abandon();
  await first.abandon();
  assertEquals(await folder.listFiles("ingest"), []);
  const second = await store.openPieces(DIGEST);
  await second.write(0, bytesOf(FIRST));
  await second.record([FIRST]);
  await second.write(SECOND.start, bytesOf(SECOND));
  await second.abandon();
  assertEquals(await store.listPieces(DIGEST), [FIRST]);
  assertEquals((await Deno.stat(`${folder.path}/${piecesPath(DIGEST)}`)).size, FIRST.length);
});

Deno.test("BlobPieces.abandon() keeps pieces that another writer recorded just before", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  const [first, other] = [await store.openPieces(DIGEST), await store.openPieces(DIGEST)];
  await first.write(0, bytesOf(FIRST));
  const { tryLock } = Deno.FsFile.prototype;
  Deno.FsFile.prototype.tryLock = async function (isExclusive) {
    Deno.FsFile.prototype.tryLock = tryLock;
    await first.record([FIRST]);
    first.close();
    return await tryLock.call(this, isExclusive);
  };
  try {
    await other.abandon();
  } finally {
    Deno.FsFile.prototype.tryLock = tryLock;
  }
  assertEquals(await store.listPieces(DIGEST), [FIRST]);
});

Deno.test("DiskStore.listPieces() ignores a list that is torn, or has ranges outside the file", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  const list = JSON.stringify({ ranges: [FIRST] });
  const wrong: [string | undefined, number][] = [
    ["{torn", 60_000],
    ["[]", 60_000],
    [JSON.stringify({ ranges: [{ ...FIRST, start: -1 }] }), 60_000],
    [JSON.stringify({ ranges: [{ ...FIRST, length: "9" }] }), 60_000],
    [list, 59_999],
  ];
  for (const [text, size] of wrong) {
    await folder.write(pieceListPath(DIGEST), text!);
    await folder.write(piecesPath(DIGEST), new Uint8Array(size));
    assertEquals(await store.listPieces(DIGEST), []);
  }
  await folder.write(piecesPath(DIGEST), new Uint8Array(60_000));
  assertEquals(await store.listPieces(DIGEST), [FIRST]);
  await Deno.remove(`${folder.path}/${piecesPath(DIGEST)}`);
  assertEquals(await store.listPieces(DIGEST), []);
});
