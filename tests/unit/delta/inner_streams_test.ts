import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { deflateRawSync, gzipSync } from "node:zlib";
import { findInnerStreams, inflateStream } from "../../../lib/delta/inner_streams.ts";
import { makeText } from "../../support/delta_fixture.ts";
import { assertEquals } from "../../support/assert.ts";
import { memoryScratch } from "../../support/memory_scratch.ts";
import { Random } from "../../support/random.ts";
import { makeZip, type ZipFile } from "../../support/zip.ts";

const encoder = new TextEncoder();
const text = (i: number, length = 3000) => encoder.encode(makeText(i, length));
const noise = (length: number) => new Random(7).bytes(length);
const file = (name: string, kind?: ZipFile["kind"], bytes = text(1)): ZipFile => ({ name, bytes, kind });

const NOISE_BETWEEN = new Uint8Array(40);

/** A gzip file whose header has optional fields. */
function makeGzip(flags: number, fields: readonly (string | number[])[]): Uint8Array<ArrayBuffer> {
  const plain = new Uint8Array(gzipSync(text(1)));
  const header = plain.slice(0, 10);
  header[3] = flags;
  const encoded = fields.map((field) => typeof field === "string" ? encoder.encode(field) : new Uint8Array(field));
  return joinChunks([header, ...encoded, plain.subarray(10)]);
}

/** The sizes of the first file are no longer in its header. */
function toZip64(archive: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return archive.fill(255, 18, 26);
}

const CASES: readonly [what: string, bytes: Uint8Array, names: string[]][] = [
  ["no bytes", new Uint8Array(), []],
  ["no archive", text(1), []],
  ["files of an archive in order", makeZip([file("b"), file("a")]), ["b", "a"]],
  ["a file whose size follows it", makeZip([file("a", "following"), file("b")]), ["a", "b"]],
  ["a large file whose size follows it", makeZip([file("a", "following", noise(300_000)), file("b")]), ["a", "b"]],
  ["files of an archive that is stored in another one", makeZip([file("x.jar", "stored", makeZip([file("a")]))]), [
    "a",
  ]],
  ["no stored file", makeZip([file("a", "stored")]), []],
  ["no encrypted file", makeZip([file("a", "encrypted"), file("b")]), ["b"]],
  ["no tiny file", makeZip([file("a", "sized", encoder.encode("a")), file("b")]), ["b"]],
  ["no file with a long name", makeZip([file("a".repeat(1025)), file("b")]), ["b"]],
  ["a file of an archive in ZIP64 format", toZip64(makeZip([file("a")])), ["a"]],
  ["no file of more than 4 MiB", makeZip([file("a", "sized", noise(5 << 20)), file("b")]), ["b"]],
  ["no file of more than 4 MiB whose size follows", makeZip([file("a", "following", noise(5 << 20)), file("b")]), [
    "b",
  ]],
  ["nothing where the stream is cut", makeZip([file("a", "following")]).subarray(0, 200), []],
  ["nothing where the size reaches beyond the end", makeZip([file("a")]).subarray(0, 200), []],
  ["nothing where the header is cut", makeZip([file("a")]).subarray(0, 29), []],
  ["nothing behind a signature alone", joinChunks([encoder.encode("PK\x03\x04PK\x03\x04"), noise(4000)]), []],
  ["an archive behind a signature", joinChunks([encoder.encode("PK\x03\x04"), makeZip([file("a")])]), ["a"]],
  ["an archive over the end of a window", joinChunks([noise((1 << 20) - 13), makeZip([file("a"), file("b")])]), [
    "a",
    "b",
  ]],
  ["a gzip file", joinChunks([NOISE_BETWEEN, makeGzip(0, []), NOISE_BETWEEN]), ["gzip "]],
  ["a gzip file with a name", makeGzip(8, ["a.txt\0"]), ["gzip a.txt"]],
  ["a gzip file with all fields", makeGzip(30, [[2, 0, 7, 7], "a.txt\0", "comment\0", [1, 2]]), ["gzip a.txt"]],
  ["a gzip file with a comment", makeGzip(16, ["comment\0"]), ["gzip "]],
  ["no gzip file of reserved flags", makeGzip(32, []), []],
  ["no gzip file whose name does not end", joinChunks([makeGzip(8, []).subarray(0, 10), text(3)]), []],
  ["no gzip file whose extra field reaches beyond the end", makeGzip(4, [[255, 255]]), []],
  ["archives and gzip files in turns", joinChunks([makeGzip(0, []), makeZip([file("a")]), makeGzip(8, ["b\0"])]), [
    "gzip ",
    "a",
    "gzip b",
  ]],
];

for (const [what, bytes, names] of CASES) {
  Deno.test(`inner streams: ${what}`, async () => {
    const found = await findInnerStreams(memoryScratch(bytes));
    assertEquals(found.map(({ name }) => name), names);
    for (const stream of found) {
      assertEquals(inflateStream(memoryScratch(bytes), stream, 4 << 20) === undefined, false, stream.name);
    }
  });
}

Deno.test("inner streams: equal bytes have equal hashes, wherever they are", async () => {
  const zip = makeZip([file("a"), file("b"), file("c", "sized", text(2))]);
  const [a, b, c] = await findInnerStreams(memoryScratch(zip));
  assertEquals([a!.hash === b!.hash, a!.hash === c!.hash], [true, false]);
});

Deno.test("[99] inner streams: headers that all begin the same large stream are given up", async () => {
  const stream = new Uint8Array(deflateRawSync(new Uint8Array(8 << 20)));
  const [count, headerBytes] = [1000, 30];
  const headers = new DataView(new ArrayBuffer(count * headerBytes));
  for (let at = 0; at < headers.byteLength; at += headerBytes) {
    headers.setUint32(at, 0x04034b50, true);
    headers.setUint16(at + 6, 8, true);
    headers.setUint16(at + 8, 8, true);
    headers.setUint16(at + 28, headers.byteLength - at - headerBytes, true);
  }
  const bytes = memoryScratch(joinChunks([new Uint8Array(headers.buffer), stream]));
  let reads = 0;
  const counted = {
    size: bytes.size,
    readAt: (position: number, target: Uint8Array) => {
      if (position === headers.byteLength && target.length > 0) reads++;
      return bytes.readAt(position, target);
    },
  };
  assertEquals(await findInnerStreams(counted), []);
  // 256 MiB, and 16 times the bytes that are searched, are 65 streams of 4 MiB.
  assertEquals(reads, 65);
});

Deno.test("[99] inner streams: a list of them takes bounded memory", async () => {
  const archive = memoryScratch(makeZip([file("a".repeat(1000)), file("b".repeat(1000)), file("c")]));
  assertEquals((await findInnerStreams(archive, { maxListBytes: 1129 })).length, 2);
  assertEquals((await findInnerStreams(archive, { maxListBytes: 1128 })).length, 1);
  assertEquals((await findInnerStreams(archive, { maxListBytes: 0 })).length, 0);
});

const STREAM = new Uint8Array(deflateRawSync(text(1)));
const WRONG: Readonly<Record<string, [size: number, limit: number, isRight: boolean]>> = {
  "exactly": [STREAM.length, text(1).length, true],
  "with too small a size": [STREAM.length - 1, text(1).length, false],
  "with too large a size": [STREAM.length + 1, text(1).length, false],
  "with too low a limit": [STREAM.length, text(1).length - 1, false],
};
for (const [what, [size, limit, isRight]] of Object.entries(WRONG)) {
  Deno.test(`[99] an inner stream is inflated ${what}: ${isRight}`, () => {
    const bytes = memoryScratch(joinChunks([noise(10), STREAM, noise(10)]));
    assertEquals(inflateStream(bytes, { start: 10, size }, limit)?.length, isRight ? text(1).length : undefined);
  });
}
