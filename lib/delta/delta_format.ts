import { type Digest, isDigest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { MAX_PARAMETERS, RECIPE_LIMITS } from "./gzip_recipe.ts";
import { OPERATION_STREAMS } from "./operations.ts";

/** The first bytes of a delta: its name, and the version of the format. */
const MAGIC = new Uint8Array([0x63, 0x72, 0x70, 0x65, 0x64, 0x6c, 0x74, 1]);
/** Size in bytes of the magic and of the length of the header. */
export const PREFIX_BYTES = MAGIC.length + 4;
const LIMITS = { maxBytes: 64 * 1024, maxDepth: 8 };
/** Most bases of a delta: an image has at most 127 layers. */
export const MAX_BASES = 128;
/** Deflate makes at most 1,032 bytes out of one. */
const MAX_RATIO = 1032;
/** Longest form of a number of an operation. */
const MAX_NUMBER_BYTES = 8;

/** The sections of a delta, in the order of the file. */
export const SECTIONS = [...OPERATION_STREAMS, "tokens", "blocks", "headers", "members"] as const;

/** The name of a section. */
export type SectionName = typeof SECTIONS[number];

/** A section of a delta: one zstd frame, or nothing if it is empty. */
export interface Section {
  /** In bytes. */
  readonly size: number;
  /** Size of the frame, in bytes. */
  readonly packed: number;
}

/** An old layer that a delta needs. */
export interface DeltaBase {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** Size and SHA-256 of its plain bytes. */
  readonly plainSize: number;
  readonly plainDigest: Digest;
}

/** The header of a delta. */
export interface DeltaHeader {
  /** The layer that the delta makes, with its size in bytes. */
  readonly target: { readonly digest: Digest; readonly size: number };
  /** Number of plain bytes of the layer. */
  readonly plainSize: number;
  /** At least one, in the order in which operations see their plain bytes. */
  readonly bases: readonly DeltaBase[];
  /** The compressor model, with its parameters in hexadecimal. */
  readonly model: { readonly id: string; readonly version: number; readonly parameters: string };
  readonly sections: Readonly<Record<SectionName, Section>>;
}

/** Formats the beginning of a delta: everything before its sections. */
export function formatDeltaHeader({ target, plainSize, bases, model, sections }: DeltaHeader): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify({ target, plainSize, bases, model, sections }));
  const bytes = new Uint8Array(PREFIX_BYTES + json.length);
  bytes.set(MAGIC);
  new DataView(bytes.buffer).setUint32(MAGIC.length, json.length, true);
  bytes.set(json, PREFIX_BYTES);
  return bytes;
}

/**
 * Reads the length of the header from the first `PREFIX_BYTES` bytes of a delta.
 *
 * @throws {CorruptError} when they do not begin a delta of this version
 */
export function parseDeltaPrefix(prefix: Uint8Array): number {
  const version = MAGIC.length - 1;
  if (prefix.length < PREFIX_BYTES || MAGIC.some((byte, i) => i !== version && prefix[i] !== byte)) {
    throw refuse("it does not begin like a delta");
  }
  if (prefix[version] !== MAGIC[version]) {
    throw refuse(`its format has version ${prefix[version]}, this crpe knows ${MAGIC[version]}`);
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset).getUint32(MAGIC.length, true);
  if (length > LIMITS.maxBytes) throw refuse(`its header has ${length} bytes, ${LIMITS.maxBytes} are allowed`);
  return length;
}

/**
 * Parses the header of a delta, and checks that its numbers are possible, so that memory, disk space and work are bounded
 * by them.
 *
 * @param size size of the delta in bytes
 * @throws {CorruptError} when a field is wrong, or the sizes contradict each other
 */
export function parseDeltaHeader(json: Uint8Array, size: number): DeltaHeader {
  const value = parseJson(json, "the header of the delta", LIMITS);
  const { target, plainSize, bases, model, sections } = asObject(value, "the header");
  const { digest, size: targetSize } = asObject(target, "target");
  const header: DeltaHeader = {
    target: { digest: asDigest(digest, "target.digest"), size: asSize(targetSize, "target.size") },
    plainSize: asSize(plainSize, "plainSize"),
    bases: parseBases(bases),
    model: parseModel(model),
    sections: parseSections(sections),
  };
  checkSizes(header, size - PREFIX_BYTES - json.length);
  return header;
}

/** The most plain bytes that a gzip file of `size` bytes can have. */
export function maxPlainSize(size: number): number {
  return Math.min(RECIPE_LIMITS.plainBytes, size * MAX_RATIO);
}

/** Number of plain bytes of all bases of a delta. */
export function sizeOfBases({ bases }: Pick<DeltaHeader, "bases">): number {
  return bases.reduce((sum, { plainSize }) => sum + plainSize, 0);
}

function checkSizes({ target, plainSize, bases, sections }: DeltaHeader, packedSize: number): void {
  if (plainSize > maxPlainSize(target.size)) throw refuse(`plainSize is too large for ${target.size} bytes of gzip`);
  if (sizeOfBases({ bases }) > RECIPE_LIMITS.plainBytes) throw refuse("its bases are too large");
  const { inserts, copies, jumps, literals, differences, ...recipe } = sections;
  if (literals.size + differences.size > plainSize) throw refuse("it inserts more bytes than the layer has");
  if ([inserts, copies, jumps].some(({ size }) => size > plainSize * MAX_NUMBER_BYTES)) {
    throw refuse("it has too many operations");
  }
  const recipeSize = Object.values(recipe).reduce((sum, section) => sum + section.size, 0);
  if (recipeSize > RECIPE_LIMITS.sectionBytes) {
    throw refuse(`its corrections have ${recipeSize} bytes, ${RECIPE_LIMITS.sectionBytes} are allowed`);
  }
  const packed = Object.values(sections).reduce((sum, section) => sum + section.packed, 0);
  if (packed !== packedSize) throw refuse(`its sections have ${packedSize} bytes, its header says ${packed}`);
}

function parseBases(value: unknown): DeltaBase[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_BASES) {
    throw refuse(`bases must be a list of 1 to ${MAX_BASES} layers`);
  }
  return value.map((item, i) => {
    const { digest, size, plainSize, plainDigest } = asObject(item, `bases[${i}]`);
    return {
      digest: asDigest(digest, `bases[${i}].digest`),
      size: asSize(size, `bases[${i}].size`),
      plainSize: asSize(plainSize, `bases[${i}].plainSize`),
      plainDigest: asDigest(plainDigest, `bases[${i}].plainDigest`),
    };
  });
}

function parseModel(value: unknown): DeltaHeader["model"] {
  const { id, version, parameters } = asObject(value, "model");
  if (typeof id !== "string" || !/^[a-z0-9]{1,32}$/.test(id)) throw refuse("model.id must be a name");
  if (typeof parameters !== "string" || !/^(?:[0-9a-f]{2})*$/.test(parameters)) {
    throw refuse("model.parameters must be hexadecimal");
  }
  if (parameters.length > 2 * MAX_PARAMETERS) throw refuse("model.parameters is too long");
  return { id, version: asSize(version, "model.version"), parameters };
}

function parseSections(value: unknown): DeltaHeader["sections"] {
  const all = asObject(value, "sections");
  const parsed = SECTIONS.map((name) => {
    const { size, packed } = asObject(all[name], `sections.${name}`);
    const section = { size: asSize(size, `${name}.size`), packed: asSize(packed, `${name}.packed`) };
    if ((section.size === 0) !== (section.packed === 0)) throw refuse(`section ${name} is empty and is not`);
    return [name, section] as const;
  });
  return Object.fromEntries(parsed) as Record<SectionName, Section>;
}

function asObject(value: unknown, field: string): Record<string, unknown> {
  if (!isJsonObject(value)) throw refuse(`${field} must be an object`);
  return value;
}

function asDigest(value: unknown, field: string): Digest {
  if (!isDigest(value)) throw refuse(`${field} must be a digest`);
  return value;
}

function asSize(value: unknown, field: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw refuse(`${field} must be a number of bytes`);
  }
  return value;
}

function refuse(reason: string): CorruptError {
  return new CorruptError(`Cannot apply the delta: ${reason}`);
}
