import { cannot, CorruptError, unlessCorrupt } from "../oci/error.ts";

/** Size of a tar block in bytes. A header is one block, and contents are padded to whole blocks. */
export const BLOCK_BYTES = 512;

/** The header of an entry (POSIX.1-2017, pax, "ustar Interchange Format"). */
export interface TarHeader {
  readonly name: string;
  readonly size: number;
  /** The `typeflag`: `0` regular file, `5` folder, `x` and `g` extended headers, `L` GNU long name. */
  readonly type: string;
  /** The target of a symbolic link. */
  readonly linkName?: string;
}

/** Largest size that fits into the header's own field: 11 octal digits. */
const MAX_OCTAL_SIZE = 8 ** 11 - 1;
const NAME_BYTES = 100;
const CHECKSUM_AT = 148;
const CHECKSUM_BYTES = 8;
const MAGIC = { at: 257, length: 6, name: "magic" };
const SYMBOLIC_LINK = "2".charCodeAt(0);
const USED_RECORDS = /^(?:path|size|GNU\.sparse\..*)$/;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Formats the header of a regular file. The same name and size always give the same bytes: mode 0644, owner 0, no owner
 * name, time 0. A pax extended header precedes it when the name or size does not fit.
 */
export function formatTarHeader(name: string, size: number): Uint8Array {
  const nameBytes = encoder.encode(name);
  const records = [
    ...(nameBytes.length > NAME_BYTES ? [formatPaxRecord("path", name)] : []),
    ...(size > MAX_OCTAL_SIZE ? [formatPaxRecord("size", `${size}`)] : []),
  ].join("");
  if (records === "") return formatBlock(nameBytes, size, "0");
  const extended = encoder.encode(records);
  const bytes = new Uint8Array(2 * BLOCK_BYTES + paddedSize(extended.length));
  const short = nameBytes.subarray(0, NAME_BYTES);
  bytes.set(formatBlock(encoder.encode("PaxHeaders/entry"), extended.length, "x"));
  bytes.set(extended, BLOCK_BYTES);
  bytes.set(formatBlock(short, size > MAX_OCTAL_SIZE ? 0 : size, "0"), bytes.length - BLOCK_BYTES);
  return bytes;
}

/** Formats the entry of a folder: mode 0755, owner 0, no owner name, time 0. @param name at most 100 bytes, with `/` at its end */
export function formatTarFolder(name: string): Uint8Array {
  return formatBlock(encoder.encode(name), 0, "5");
}

/** Formats files of a tar: header, content and padding of each. */
export function formatTarFiles(files: readonly (readonly [name: string, bytes: Uint8Array])[]): Uint8Array {
  const headers = files.map(([name, bytes]) => formatTarHeader(name, bytes.length));
  const size = files.reduce((sum, [, bytes], i) => sum + headers[i]!.length + paddedSize(bytes.length), 0);
  const tar = new Uint8Array(size);
  let at = 0;
  for (const [i, [, bytes]] of files.entries()) {
    const header = headers[i]!;
    tar.set(header, at);
    tar.set(bytes, at + header.length);
    at += header.length + paddedSize(bytes.length);
  }
  return tar;
}

/**
 * Parses one header block.
 *
 * @param what name of the tar in errors
 * @returns `undefined` for a block of zeros, which marks the end
 * @throws {CorruptError} when the checksum is wrong or a field is malformed
 */
export function parseTarHeader(block: Uint8Array, what = "the tar"): TarHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  // Signed checksums, as some very old programs wrote them, are not accepted: they differ only for bytes above 127.
  const checksum = parseNumber(block, { at: CHECKSUM_AT, length: CHECKSUM_BYTES, name: "checksum" }, what);
  if (checksum !== checksumOf(block)) {
    throw new CorruptError(cannot(`read ${what}`, "the checksum of a header is wrong"));
  }
  const isPosix = parseText(block, MAGIC, what) === "ustar" && block[262] === 0;
  const prefix = isPosix ? parseText(block, { at: 345, length: 155, name: "prefix" }, what) : "";
  const name = parseText(block, { at: 0, length: NAME_BYTES, name: "name" }, what);
  const flag = block[156] ?? 0;
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    size: parseNumber(block, { at: 124, length: 12, name: "size" }, what),
    type: flag === 0 ? "0" : String.fromCharCode(flag),
    ...(flag === SYMBOLIC_LINK
      ? { linkName: parseText(block, { at: 157, length: NAME_BYTES, name: "linkname" }, what) }
      : {}),
  };
}

/** Tests whether a file begins like a tar: with a valid header, or with the `ustar` magic. */
export function isTarHead(head: Uint8Array): boolean {
  if (head.length < BLOCK_BYTES) return false;
  return unlessCorrupt(() => parseText(head, MAGIC, "").startsWith("ustar") || (parseTarHeader(head), true)) ?? false;
}

/**
 * Parses the records of an extended header, `<length> <key>=<value>\n` each. Returns only those that change how the entry
 * is read.
 *
 * @param what name of the tar in errors
 * @throws {CorruptError} when a record is malformed
 */
export function parsePaxRecords(bytes: Uint8Array, what = "the tar"): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const digits = space < 0 ? "" : String.fromCharCode(...bytes.subarray(at, Math.min(space, at + 8)));
    const end = at + Number(digits);
    if (!/^[1-9][0-9]{0,5}$/.test(digits) || end > bytes.length || end <= space || bytes[end - 1] !== 0x0a) {
      throw new CorruptError(cannot(`read ${what}`, "an extended header has a record of the wrong length"));
    }
    const equals = bytes.indexOf(0x3d, space);
    if (equals <= space + 1 || equals >= end) {
      throw new CorruptError(cannot(`read ${what}`, "an extended header has a record without a key"));
    }
    const key = decodeText(bytes.subarray(space + 1, equals), "key of an extended header", what);
    const value = bytes.subarray(equals + 1, end - 1);
    // Values may be binary (extended attributes). Those that are used here must be text.
    if (USED_RECORDS.test(key)) records.set(key, decodeText(value, `${key} of an extended header`, what));
    at = end;
  }
  return records;
}

/** Rounds `size` up to whole blocks. */
export function paddedSize(size: number): number {
  return Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
}

/** Decodes UTF-8 text. @param field name of the field in errors @throws {CorruptError} when it is not UTF-8 */
export function decodeText(bytes: Uint8Array, field: string, what = "the tar"): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new CorruptError(cannot(`read ${what}`, `the ${field} is not UTF-8`), { cause });
  }
}

function formatBlock(name: Uint8Array, size: number, type: string): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  const put = (at: number, text: string) => block.set(encoder.encode(text), at);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`;
  block.set(name);
  put(100, octal(type === "5" ? 0o755 : 0o644, 7));
  put(108, octal(0, 7));
  put(116, octal(0, 7));
  put(124, octal(size, 11));
  put(136, octal(0, 11));
  put(156, type);
  put(257, "ustar\x0000");
  put(329, octal(0, 7));
  put(337, octal(0, 7));
  put(CHECKSUM_AT, `${octal(checksumOf(block), 6)} `);
  return block;
}

// A record's length includes its own digits.
function formatPaxRecord(key: string, value: string): string {
  const rest = encoder.encode(` ${key}=${value}\n`).length;
  let length = rest + 1;
  while (`${length}`.length + rest !== length) length = `${length}`.length + rest;
  return `${length} ${key}=${value}\n`;
}

function checksumOf(block: Uint8Array): number {
  let sum = CHECKSUM_BYTES * 0x20;
  for (let i = 0; i < BLOCK_BYTES; i++) {
    if (i < CHECKSUM_AT || i >= CHECKSUM_AT + CHECKSUM_BYTES) sum += block[i] ?? 0;
  }
  return sum;
}

interface Field {
  readonly at: number;
  readonly length: number;
  /** Name of the field in errors. */
  readonly name: string;
}

function parseText(block: Uint8Array, { at, length, name }: Field, what: string): string {
  const bytes = block.subarray(at, at + length);
  const end = bytes.indexOf(0);
  return decodeText(end < 0 ? bytes : bytes.subarray(0, end), name, what);
}

// Octal digits, or GNU's big-endian binary ("base-256") when the first bit is set.
function parseNumber(block: Uint8Array, field: Field, what: string): number {
  const bytes = block.subarray(field.at, field.at + field.length);
  const first = bytes[0] ?? 0;
  let value = Number.NaN;
  if ((first & 0x80) !== 0) {
    value = first & 0x7f;
    for (const byte of bytes.subarray(1)) value = value * 256 + byte;
  } else {
    const text = parseText(block, field, what).trim();
    if (/^[0-7]+$/.test(text)) value = Number.parseInt(text, 8);
    else if (text === "") value = 0;
  }
  if (!Number.isSafeInteger(value)) {
    throw new CorruptError(cannot(`read ${what}`, `the ${field.name} in a header is not a valid number`));
  }
  return value;
}
