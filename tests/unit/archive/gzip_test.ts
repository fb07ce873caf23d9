import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { Buffer } from "node:buffer";
import { constants, crc32, gunzipSync, gzipSync, zstdCompressSync } from "node:zlib";
import { decompress } from "../../../lib/archive/decompress.ts";
import { formatGzipHead, GzipWriter, sizeOfRest } from "../../../lib/archive/gzip_writer.ts";
import { ByteReader, openByteSource } from "../../../lib/bytes/byte_reader.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { makeBytes, streamOf } from "../../support/content.ts";
import { run, withFolder } from "../bundle/bundle_support.ts";
import { peerTest } from "../../support/peers.ts";

const TEXT = new TextEncoder().encode("some text that repeats itself ".repeat(500));

async function write(
  work: (gzip: GzipWriter) => Promise<void>,
  { state, bytes: begun } = formatGzipHead(TEXT),
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [begun];
  const gzip = new GzipWriter({
    write: async (bytes) => {
      // Copies the bytes late: the writer must not change a buffer that is still being written.
      await Promise.resolve();
      parts.push(bytes.slice());
    },
  }, state);
  await work(gzip);
  const bytes = joinChunks(parts);
  assertEquals(bytes.length, gzip.size);
  return bytes;
}

async function read(stream: ReadableStream<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const { reader } = await decompress(stream);
  const parts: Uint8Array[] = [];
  for (let piece = await reader.read(1 << 20); piece !== undefined; piece = await reader.read(1 << 20)) {
    parts.push(piece);
  }
  return joinChunks(parts);
}

for (const size of [0, 1, 65_534, 65_535, 65_536, 131_070, 16 * 65_535 - 1, 16 * 65_535, 16 * 65_535 + 1, 3_000_000]) {
  Deno.test(`GzipWriter writes ${size} bytes uncompressed, in a file of the predicted size`, async () => {
    const content = makeBytes(size);
    let predicted = 0;
    const bytes = await write(async (gzip) => {
      predicted = gzip.size + sizeOfRest(size);
      for (let at = 0; at < size; at += 77_777) await gzip.write(content.subarray(at, at + 77_777));
      await gzip.finish();
    });
    const expected = joinChunks([TEXT, content]);
    assertEquals(bytes.length, predicted);
    assert(new Uint8Array(gunzipSync(bytes)).every((byte, i) => byte === expected[i]));
    assertEquals(await read(streamOf(bytes, 10_000)), expected);
  });
}

peerTest(
  "formatGzipHead() writes a header without time and system, with the position of the stored blocks",
  ["gunzip"],
  async () => {
    const head = formatGzipHead(TEXT);
    const content = makeBytes(100_000);
    const bytes = await write(async (gzip) => {
      await gzip.write(content);
      await gzip.finish();
    });
    assertEquals([...bytes.subarray(0, 10)], [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 2, 255]);
    const view = new DataView(bytes.buffer);
    assertEquals([view.getUint16(10, true), String.fromCharCode(bytes[12]!, bytes[13]!)], [12, "CR"]);
    assertEquals([view.getUint16(14, true), view.getUint32(20, true)], [8, crc32(TEXT)]);
    const start = 24 + view.getUint32(16, true);
    assertEquals(start, head.bytes.length);
    assert(start < TEXT.length / 10);
    // RFC 1951, 3.2.4: BTYPE 00, LEN and its complement.
    const blocks = [[start, 65_535], [start + 5 + 65_535, 100_000 - 65_535]] as const;
    for (const [at, length] of blocks) {
      assertEquals([bytes[at], view.getUint16(at + 1, true), view.getUint16(at + 3, true) ^ 0xffff], [
        0,
        length,
        length,
      ]);
    }
    assertEquals(bytes.subarray(start + 5, start + 5 + 1000), content.subarray(0, 1000));
    await withFolder(async (folder) => {
      await Deno.writeFile(`${folder}/a.gz`, bytes);
      await run("gunzip", ["-t", "a.gz"], folder);
      await run("gunzip", ["a.gz"], folder);
      assertEquals(computeDigest(await Deno.readFile(`${folder}/a`)), computeDigest(joinChunks([TEXT, content])));
    });
  },
);

for (const cut of [0, 1, 65_535, 65_536, 200_000, 1_200_000]) {
  Deno.test(`GzipWriter resumed after ${cut} bytes writes the same file as without interruption`, async () => {
    const content = makeBytes(1_500_000);
    const whole = await write(async (gzip) => {
      await gzip.write(content);
      await gzip.finish();
    });
    const blocks = Math.floor(cut / 65_535);
    const length = blocks * 65_535;
    const size = formatGzipHead(TEXT).bytes.length + blocks * 65_540;
    const state = { size, crc: crc32(content.subarray(0, length), crc32(TEXT)), length: TEXT.length + length };
    const resumed = await write(async (gzip) => {
      await gzip.write(content.subarray(length, cut));
      await gzip.write(content.subarray(cut));
      await gzip.finish();
    }, { state, bytes: whole.subarray(0, size) });
    assertEquals(computeDigest(resumed), computeDigest(whole));
  });
}

Deno.test("GzipWriter reports the error of a sink that fails", async () => {
  const gzip = new GzipWriter({ write: () => Promise.reject(new Error("full")) }, formatGzipHead(TEXT).state);
  await gzip.write(TEXT);
  await assertRejects(() => gzip.finish(), Error, "full");
});

const CONTENT = makeBytes(300_000);
const MEMBERS = [
  gzipSync(CONTENT.subarray(0, 100_000)),
  gzipSync(CONTENT.subarray(100_000), { level: 0 }),
  gzipSync(new Uint8Array(0)),
];
const SEVERAL = new Uint8Array(Buffer.concat(MEMBERS));
const BORDER = MEMBERS[0]?.length ?? 0;

for (const chunkSize of [1000, BORDER - 1, BORDER, BORDER + 1, BORDER + 2, BORDER + 3, 1 << 20]) {
  Deno.test(`decompress() reads gzip of several members in chunks of ${chunkSize} bytes`, async () => {
    assertEquals(await read(streamOf(SEVERAL, chunkSize)), CONTENT);
  });
}

Deno.test("decompress() reads gzip byte by byte", async () => {
  assertEquals(
    await read(streamOf(new Uint8Array(Buffer.concat([gzipSync(TEXT), gzipSync(TEXT)])), 1)),
    joinChunks([TEXT, TEXT]),
  );
});

Deno.test("decompress() detects zstd, zstd after a skippable frame, and plain bytes", async () => {
  const zstd = new Uint8Array(zstdCompressSync(CONTENT));
  const skippable = new Uint8Array([0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9]);
  assertEquals(await read(streamOf(zstd, 1000)), CONTENT);
  for (const chunkSize of [13, 1000, 1 << 20]) {
    const several = joinChunks([
      zstd,
      skippable,
      zstdCompressSync(TEXT),
      zstdCompressSync(new Uint8Array(0)),
      zstd,
    ]);
    assertEquals(
      computeDigest(await read(streamOf(several, chunkSize))),
      computeDigest(joinChunks([CONTENT, TEXT, CONTENT])),
    );
  }
  assertEquals(await read(streamOf(joinChunks([skippable, zstd]), 1000)), CONTENT);
  assertEquals(await read(streamOf(CONTENT, 100)), CONTENT);
  assertEquals(await read(streamOf(new Uint8Array([0x1f]))), new Uint8Array([0x1f]));
  assertEquals(await read(streamOf(new Uint8Array(0))), new Uint8Array(0));
});

Deno.test("decompress() accepts zero bytes after gzip as padding", async () => {
  assertEquals(await read(streamOf(joinChunks([SEVERAL, new Uint8Array(1000)]), 7777)), CONTENT);
});

const GZIP = new Uint8Array(gzipSync(CONTENT));
const corrupted = (at: number) => GZIP.with(at < 0 ? GZIP.length + at : at, ((GZIP.at(at) ?? 0) + 1) % 256);
const ZSTD = new Uint8Array(zstdCompressSync(TEXT, { params: { [constants.ZSTD_c_checksumFlag]: 1 } }));
const BROKEN: readonly [string, Uint8Array<ArrayBuffer>][] = [
  ["[48] gzip cut in its header", GZIP.slice(0, 5)],
  ["[48] gzip cut in the middle", GZIP.slice(0, 150_000)],
  ["[48] gzip cut in its trailer", GZIP.slice(0, -3)],
  ["[48] gzip cut in a later member's header", SEVERAL.slice(0, BORDER + 4)],
  ["gzip with a wrong checksum", corrupted(-6)],
  ["gzip with a wrong length", corrupted(-2)],
  ["gzip of an unknown method", corrupted(2)],
  ["gzip followed by other data", joinChunks([GZIP, TEXT])],
  ["zstd followed by other data", joinChunks([zstdCompressSync(CONTENT), TEXT])],
  ["zstd cut in the middle", new Uint8Array(zstdCompressSync(CONTENT)).slice(0, 150_000)],
  ["zstd cut at its end", new Uint8Array(zstdCompressSync(CONTENT)).slice(0, -1)],
  ["zstd cut in its header", new Uint8Array(zstdCompressSync(CONTENT)).slice(0, 5)],
  ["zstd with a wrong byte", ZSTD.with(-6, ((ZSTD.at(-6) ?? 0) + 1) % 256)],
];

for (const [title, bytes] of BROKEN) {
  for (const chunkSize of [1000, 1 << 20]) {
    Deno.test(`${title.startsWith("[") ? "[48] " : ""}decompress() refuses ${title.replace(/^\[\d+\] /, "")}, in chunks of ${chunkSize} bytes`, async () => {
      await assertRejects(() => read(streamOf(bytes, chunkSize)), CorruptError, " the bundle: ");
    });
  }
}

Deno.test("decompress() throws an error of the stream unchanged", async () => {
  let sent = false;
  const failing = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (sent) controller.error(new TypeError("connection lost"));
      else controller.enqueue(GZIP.slice(0, 1000));
      sent = true;
    },
  });
  await assertRejects(() => read(failing), TypeError, "connection lost");
});

Deno.test("decompress() reads no more input than its reader needs, and cancels it", async () => {
  let given = 0;
  let isCancelled = false;
  const zeros = new Uint8Array(gzipSync(new Uint8Array(64 << 20)));
  const stream = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(zeros.slice(given, given += 1000)),
    cancel: () => void (isCancelled = true),
  }, { highWaterMark: 0 });
  const { reader } = await decompress(stream);
  assertEquals((await reader.readExactly(100)).length, 100);
  assert(given < 20_000, `${given} of ${zeros.length} bytes were read`);
  await reader.cancel();
  assert(isCancelled);
  assertEquals(await reader.read(1), undefined);
});

Deno.test("openByteSource() reads byte streams in chunks that the reader may keep", async () => {
  const content = makeBytes(5_000_000);
  const stream = new Blob([content]).stream();
  const reader = new ByteReader(openByteSource(stream), "the blob");
  const parts: Uint8Array[] = [];
  for (let piece = await reader.read(Infinity); piece !== undefined; piece = await reader.read(Infinity)) {
    parts.push(piece);
  }
  assertEquals(joinChunks(parts), content);
});
