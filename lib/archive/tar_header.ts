import { CorruptError } from "../oci/error.ts";

/** The unit of a tar: headers have this size, contents are padded to it. */
export const BLOCK_BYTES = 512;

/** What a header says of an entry (POSIX.1-2017, pax, "ustar Interchange Format"). */
export interface TarHeader {
  readonly name: string;
  readonly size: number;
  /** The `typeflag`: `0` a regular file, `5` a folder, `x` and `g` extended headers, `L` GNU's long name. */
  readonly type: string;
}

/** Largest size that the header's own field takes: 11 octal digits. */
const MAX_OCTAL_SIZE = 8 ** 11 - 1;
const NAME_BYTES = 100;
const CHECKSUM_AT = 148;
const CHECKSUM_BYTES = 8;
const MAGIC = { at: 257, length: 6, name: "magic" };
const USED_RECORDS = /^(?:path|size|GNU\.sparse\..*)$/;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Writes the header of a regular file, always the same for the same name and size: mode 0644, owner 0, no owner's name,
 * time 0. What does not fit is said by an extended header before it.
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

/**
 * Reads one header block.
 *
 * @param what names the tar in errors
 * @returns `undefined` for a block of zeros, which marks the end
 * @throws {CorruptError} when the check sum is wrong or a field makes no sense
 */
export function parseTarHeader(block: Uint8Array, what = "the tar"): TarHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  // Signed sums, which some ancient programs wrote, are not asked for: they differ only for bytes above 127.
  const checksum = parseNumber(block, { at: CHECKSUM_AT, length: CHECKSUM_BYTES, name: "check sum" }, what);
  if (checksum !== checksumOf(block)) {
    throw new CorruptError(`Cannot read ${what}: the check sum of a header is wrong`);
  }
  const isPosix = parseText(block, MAGIC, what) === "ustar" && block[262] === 0;
  const prefix = isPosix ? parseText(block, { at: 345, length: 155, name: "prefix" }, what) : "";
  const name = parseText(block, { at: 0, length: NAME_BYTES, name: "name" }, what);
  const flag = block[156] ?? 0;
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    size: parseNumber(block, { at: 124, length: 12, name: "size" }, what),
    type: flag === 0 ? "0" : String.fromCharCode(flag),
  };
}

/** Tells whether a file begins as a tar does: with a header that is right, or one that is marked as one. */
export function isTarHead(head: Uint8Array): boolean {
  if (head.length < BLOCK_BYTES) return false;
  try {
    return parseText(head, MAGIC, "").startsWith("ustar") || (parseTarHeader(head), true);
  } catch (error) {
    if (error instanceof CorruptError) return false;
    throw error;
  }
}

/**
 * Reads those records of an extended header that change how its entry is read: `<length> <key>=<value>\n` each.
 *
 * @param what names the tar in errors
 * @throws {CorruptError}
 */
export function parsePaxRecords(bytes: Uint8Array, what = "the tar"): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const digits = space < 0 ? "" : String.fromCharCode(...bytes.subarray(at, Math.min(space, at + 8)));
    const end = at + Number(digits);
    if (!/^[1-9][0-9]{0,5}$/.test(digits) || end > bytes.length || end <= space || bytes[end - 1] !== 0x0a) {
      throw new CorruptError(`Cannot read ${what}: an extended header has a record of the wrong length`);
    }
    const equals = bytes.indexOf(0x3d, space);
    if (equals <= space + 1 || equals >= end) {
      throw new CorruptError(`Cannot read ${what}: an extended header has a record without a key`);
    }
    const key = decodeText(bytes.subarray(space + 1, equals), "key of an extended header", what);
    const value = bytes.subarray(equals + 1, end - 1);
    // Some values are no text (extended attributes); those that count are.
    if (USED_RECORDS.test(key)) records.set(key, decodeText(value, `${key} of an extended header`, what));
    at = end;
  }
  return records;
}

/** `size` rounded up to whole blocks. */
export function paddedSize(size: number): number {
  return Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
}

/** Reads a field that ends at its first NUL. @throws {CorruptError} when it is not UTF-8 */
export function decodeText(bytes: Uint8Array, field: string, what = "the tar"): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new CorruptError(`Cannot read ${what}: the ${field} is not UTF-8`, { cause });
  }
}

function formatBlock(name: Uint8Array, size: number, type: string): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  const put = (at: number, text: string) => block.set(encoder.encode(text), at);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`;
  block.set(name);
  put(100, octal(0o644, 7));
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

// A record's length counts its own digits too.
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
  /** In errors. */
  readonly name: string;
}

function parseText(block: Uint8Array, { at, length, name }: Field, what: string): string {
  const bytes = block.subarray(at, at + length);
  const end = bytes.indexOf(0);
  return decodeText(end < 0 ? bytes : bytes.subarray(0, end), name, what);
}

// Octal digits; or, with the first bit set, GNU's big-endian binary ("base-256").
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
    throw new CorruptError(`Cannot read ${what}: a header's ${field.name} is no number`);
  }
  return value;
}
