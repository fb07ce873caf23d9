// Reads a bundle (a kubepkg.tgz) from a file that is never in memory whole: its first kilobytes, the tar headers that are
// needed, and slices of the file for the blobs. The agent verifies all digests.
import { S } from "./strings.js";

const BLOCK = 512;
const STORED_BYTES = 65535;
const STORED_HEADER_BYTES = 5;
const MAX_DOCUMENT_BYTES = 64 * 1024 * 1024;
const MAX_SIGNATURE_BYTES = 16 * 1024;
const HEAD_BYTES = 24;
// An empty final block: it ends a deflate stream that is continued by stored blocks.
const FINAL_BLOCK = new Uint8Array([1, 0, 0, 0xff, 0xff]);

/** The file cannot be used; the message is for the user. */
export class BundleError extends Error {}

/** Reads bytes of a file, which may have changed since it was chosen. */
export async function readSlice(file, start, end) {
  try {
    return new Uint8Array(await file.slice(start, end).arrayBuffer());
  } catch {
    throw new BundleError(S.install.errors.changed);
  }
}

/**
 * Opens a bundle. The result has the package, the bytes of `kubepkg.json` and of its tar entry, and `locate` if the position
 * of every blob can be found; a file without it is sent whole.
 */
export async function openBundle(file) {
  if (file.size === 0) throw new BundleError(S.install.errors.empty);
  const head = await readSlice(file, 0, HEAD_BYTES);
  if (isSealed(head)) return await openSealed(file, new DataView(head.buffer));
  if (head[0] === 0x1f && head[1] === 0x8b) return await openForeign(file, new DecompressionStream("gzip"));
  // Zstandard: browsers cannot decompress it.
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return { file };
  return await openForeign(file);
}

// The extra field of a bundle that crpe packed: the length of the compressed documents, and their CRC-32.
function isSealed(head) {
  const start = [0x1f, 0x8b, 8, 4];
  return head.length === HEAD_BYTES && start.every((byte, i) => head[i] === byte) &&
    head[10] === 12 && head[11] === 0 && head[12] === 0x43 && head[13] === 0x52 && head[14] === 8 && head[15] === 0;
}

async function openSealed(file, head) {
  const [length, crc] = [head.getUint32(16, true), head.getUint32(20, true)];
  const end = HEAD_BYTES + length;
  if (end > file.size) throw new BundleError(S.install.errors.cut);
  const compressed = file.slice(HEAD_BYTES, end);
  const documents = await inflate(new Blob([compressed, FINAL_BLOCK]));
  if (crc32(documents) !== crc) throw new BundleError(S.install.errors.damaged);
  const first = parseFirst(documents);
  // The bytes of the tar after the documents, as ranges of the file: stored blocks of 65,535 bytes with a header each.
  const rangesOf = (start, size) => {
    const ranges = [];
    for (let at = start; at < start + size;) {
      const block = Math.floor(at / STORED_BYTES);
      const stop = Math.min(start + size, (block + 1) * STORED_BYTES);
      const from = end + at + (block + 1) * STORED_HEADER_BYTES;
      ranges.push([from, from + stop - at]);
      at = stop;
    }
    return ranges;
  };
  return withPackage(file, first, { rangesOf, start: 0 });
}

async function inflate(blob) {
  const reader = blob.stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  try {
    return await readUpTo(reader, () => MAX_DOCUMENT_BYTES * 2);
  } catch {
    throw new BundleError(S.install.errors.damaged);
  }
}

// A tar, or a gzip of another program, of which only the start is read.
async function openForeign(file, decompress) {
  const stream = file.stream();
  const reader = (decompress === undefined ? stream : stream.pipeThrough(decompress)).getReader();
  let first;
  try {
    const bytes = await readUpTo(reader, (bytes) => {
      return bytes.length < BLOCK ? BLOCK : entrySize(bytes) + BLOCK + MAX_SIGNATURE_BYTES;
    });
    first = parseFirst(bytes);
  } catch (error) {
    if (error instanceof BundleError) throw error;
    throw new BundleError(S.install.errors.damaged);
  } finally {
    reader.cancel().catch(() => {});
  }
  if (decompress !== undefined) return withPackage(file, first);
  return withPackage(file, first, { rangesOf: (at, size) => [[at, at + size]], start: first.entry.length });
}

/** Reads until `wanted` of the bytes so far is reached, or the end. */
async function readUpTo(reader, wanted) {
  let parts = [], length = 0, known = 0;
  const join = () => {
    const all = new Uint8Array(length);
    let at = 0;
    for (const part of parts) all.set(part, at), at += part.length;
    parts = [all];
    return all;
  };
  for (;;) {
    if (length >= known) {
      const next = wanted(join());
      if (next <= length) break;
      known = next;
    }
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    length += value.length;
    if (length > MAX_DOCUMENT_BYTES * 2) throw new BundleError(S.install.errors.notBundle);
  }
  reader.cancel().catch(() => {});
  return join();
}

const padded = (size) => Math.ceil(size / BLOCK) * BLOCK;

function entrySize(bytes) {
  const header = parseHeader(bytes.subarray(0, BLOCK));
  if (header === undefined || header.name !== "kubepkg.json" || header.size > MAX_DOCUMENT_BYTES) {
    throw new BundleError(S.install.errors.notBundle);
  }
  return BLOCK + padded(header.size);
}

function parseFirst(bytes) {
  if (bytes.length < BLOCK) throw new BundleError(S.install.errors.notBundle);
  const length = entrySize(bytes);
  if (length > bytes.length) throw new BundleError(S.install.errors.cut);
  const { size } = parseHeader(bytes.subarray(0, BLOCK));
  const json = bytes.slice(BLOCK, BLOCK + size);
  try {
    const kubepkg = JSON.parse(new TextDecoder().decode(json));
    const end = length + signatureSize(bytes.subarray(length));
    return { entry: bytes.slice(0, end), isSigned: end > length, json, kubepkg };
  } catch {
    throw new BundleError(S.install.errors.notBundle);
  }
}

// The size of the entry with the signatures, which stands behind kubepkg.json; 0 if the bundle is not signed.
function signatureSize(bytes) {
  const header = bytes.length < BLOCK ? undefined : parseHeader(bytes.subarray(0, BLOCK));
  if (header?.name !== "kubepkg.json.sig" || header.size > MAX_SIGNATURE_BYTES) return 0;
  const size = BLOCK + padded(header.size);
  return size > bytes.length ? 0 : size;
}

/** Parses a tar header; `undefined` for one that is not valid. */
function parseHeader(block) {
  const text = (from, length) => new TextDecoder().decode(block.subarray(from, from + length)).split("\0", 1)[0];
  const octal = (from, length) => parseInt(text(from, length).trim() || "0", 8);
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 32 : block[i];
  if (sum !== octal(148, 8)) return undefined;
  const prefix = text(345, 155);
  const size = block[124] & 0x80
    ? Number(block.subarray(128, 136).reduce((value, byte) => value * 256n + BigInt(byte), 0n))
    : octal(124, 12);
  return { name: prefix === "" ? text(0, 100) : `${prefix}/${text(0, 100)}`, size, type: block[156] };
}

function withPackage(file, { entry, isSigned, json, kubepkg }, { rangesOf, start } = {}) {
  const { status, metadata, spec } = kubepkg ?? {};
  const canPlan = Array.isArray(status?.digests) && status.part === undefined;
  const common = { file, kubepkg, name: metadata?.name, version: spec?.version, part: status?.part };
  const installBody = new Blob([entry, new Uint8Array(2 * BLOCK)]);
  const planBody = isSigned ? installBody : new Blob([json]);
  if (!canPlan || rangesOf === undefined) return canPlan ? { ...common, planBody } : common;
  const sliceOf = (from, size) => {
    const ranges = rangesOf(from, size);
    if (ranges.length > 0 && ranges.at(-1)[1] > file.size) throw new BundleError(S.install.errors.cut);
    return new Blob(ranges.map(([a, b]) => file.slice(a, b)));
  };
  return {
    ...common,
    planBody,
    installBody,
    sliceOf,
    locate: (digests) => locate(digests, { sliceOf, start, deltas: status.deltas ?? [] }),
  };
}

/** Finds the positions of blobs: a map from digests to `{ at, size }`. Stops when all are found. */
async function locate(digests, { sliceOf, start, deltas }) {
  const wanted = new Set(digests);
  // A delta has the name of the layer that it makes.
  const deltaOf = new Map(deltas.map(({ digest, delta }) => [digest, delta]));
  const found = new Map();
  for (let at = start; wanted.size > 0;) {
    const block = await readSlice(sliceOf(at, BLOCK), 0, BLOCK);
    if (block.every((byte) => byte === 0)) break;
    const header = parseHeader(block);
    if (header === undefined) throw new BundleError(S.install.errors.damaged);
    const parts = /^(blobs|deltas)\/([a-z0-9]+)\/([0-9a-f]+)$/.exec(header.name);
    const digest = parts === null ? undefined : `${parts[2]}:${parts[3]}`;
    const name = parts?.[1] === "deltas" ? deltaOf.get(digest) : digest;
    if (wanted.delete(name)) found.set(name, { at: at + BLOCK, size: header.size });
    at += BLOCK + padded(header.size);
  }
  const [missing] = wanted;
  if (missing !== undefined) throw new BundleError(S.install.errors.missing(missing));
  return found;
}

let table;
function crc32(bytes) {
  table ??= Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n;
  });
  let crc = -1;
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ -1) >>> 0;
}
