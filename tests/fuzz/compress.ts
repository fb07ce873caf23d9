import { joinChunks } from "../../lib/bytes/join_chunks.ts";
import { constants, crc32, deflateRawSync, gzipSync, zstdCompressSync } from "node:zlib";
import type { SeedCompression } from "./bundle_seeds.ts";
import type { Random } from "../support/random.ts";

/** Compresses in one of the ways of real programs: with several members, optional fields, or other levels. */
export function compress(
  bytes: Uint8Array<ArrayBuffer>,
  compression: SeedCompression,
  random: Random,
): Uint8Array<ArrayBuffer> {
  if (compression === "none") return bytes;
  const pieces = random.chance(0.7) ? [bytes] : cutUp(bytes, random);
  const parts = pieces.flatMap((piece) => compression === "gzip" ? [member(piece, random)] : frame(piece, random));
  // gzip readers accept trailing zero bytes as padding; zstd readers do not.
  if (compression === "gzip" && random.chance(0.1)) parts.push(new Uint8Array(random.below(1000)));
  return joinChunks(parts);
}

// A gzip member (RFC 1952, 2.3).
function member(bytes: Uint8Array<ArrayBuffer>, random: Random): Uint8Array {
  const level = random.pick([0, 1, 6, 9]);
  if (random.chance(0.6)) return gzipSync(bytes, { level });
  const [hasExtra, hasName, hasComment] = [random.chance(0.5), random.chance(0.5), random.chance(0.5)];
  const extra = random.bytes(random.below(300));
  const text = new TextEncoder().encode("bundle.tar\0");
  const flags = (hasExtra ? 4 : 0) + (hasName ? 8 : 0) + (hasComment ? 16 : 0) + (random.chance(0.3) ? 1 : 0);
  const trailer = new DataView(new ArrayBuffer(8));
  trailer.setUint32(0, crc32(bytes), true);
  trailer.setUint32(4, bytes.length, true);
  return joinChunks([
    Uint8Array.of(0x1f, 0x8b, 8, flags, ...random.bytes(4), 0, 3),
    ...(hasExtra ? [Uint8Array.of(extra.length & 0xff, extra.length >> 8), extra] : []),
    ...(hasName ? [text] : []),
    ...(hasComment ? [text] : []),
    deflateRawSync(bytes, { level, strategy: random.pick([constants.Z_DEFAULT_STRATEGY, constants.Z_FIXED]) }),
    new Uint8Array(trailer.buffer),
  ]);
}

// A zstd frame (RFC 8878, 3.1), with a checksum, because otherwise a flipped bit could go unnoticed.
function frame(bytes: Uint8Array<ArrayBuffer>, random: Random): Uint8Array[] {
  const params = {
    [constants.ZSTD_c_checksumFlag]: 1,
    [constants.ZSTD_c_contentSizeFlag]: random.below(2),
    [constants.ZSTD_c_compressionLevel]: random.pick([1, 3, 9]),
  };
  const skippable = Uint8Array.of(0x50 + random.below(16), 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3);
  return [...(random.chance(0.2) ? [skippable] : []), zstdCompressSync(bytes, { params })];
}

function cutUp(bytes: Uint8Array<ArrayBuffer>, random: Random): Uint8Array<ArrayBuffer>[] {
  const places = [0, random.below(bytes.length), random.below(bytes.length), bytes.length].sort((a, b) => a - b);
  return places.slice(1).map((end, i) => bytes.slice(places[i], end));
}
