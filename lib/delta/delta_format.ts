import { type Digest, isDigest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { MAX_PARAMETERS, RECIPE_LIMITS } from "./gzip_recipe.ts";
import { OPERATION_STREAMS } from "./operations.ts";

/** The first bytes of a delta: its name, and the version of the format. */
const MAGIC = new Uint8Array([0x63, 0x72, 0x70, 0x65, 0x64, 0x6c, 0x74, 1]);
/** Where the version is in it. */
const VERSION_AT = MAGIC.length - 1;
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

/** The sections for inner streams, which follow the others. */
export const INNER_SECTIONS = [...SECTIONS, "places", "basePlaces"] as const;

/** The name of a section for inner streams. */
type InnerSectionName = typeof INNER_SECTIONS[number];

/** How an inventory names the ability to apply a delta with inner streams. */
export const INNER_NAME = "inner/1";
/** How an inventory names the ability to apply a delta with copied tokens. */
export const COPIED_NAME = "tokens/1";
/** Most plain bytes of inner streams for each byte of the tars that they are part of, so that work is bounded. */
export const MAX_INNER_RATIO = 16;

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

/** A compressor model, with its parameters in hexadecimal. */
export interface HeaderModel {
  readonly id: string;
  readonly version: number;
  readonly parameters: string;
}

/**
 * The inner streams of a delta: deflate streams of zip archives that lie in the plain bytes of the layer. They are made like the
 * layer itself, from plain bytes and a model, and put into the places where the plain bytes of the layer lack them.
 */
export interface InnerPart {
  /** Number of plain bytes of all inner streams of the layer. */
  readonly plainSize: number;
  /** Number of plain bytes of the inner streams of the bases that the operations copy from. */
  readonly basePlainSize: number;
  readonly model: HeaderModel;
  readonly sections: Readonly<Record<InnerSectionName, Section>>;
}

/** The header of a delta. */
export interface DeltaHeader {
  /** The layer that the delta makes, with its size in bytes. */
  readonly target: { readonly digest: Digest; readonly size: number };
  /** Number of plain bytes of the layer. */
  readonly plainSize: number;
  /** At least one, in the order in which operations see their plain bytes. */
  readonly bases: readonly DeltaBase[];
  readonly model: HeaderModel;
  readonly sections: Readonly<Record<SectionName, Section>>;
  readonly inner?: InnerPart;
  /** The section of the tokens that are copied from the bases, which follows all others. */
  readonly copied?: Section;
}

/** Formats the beginning of a delta: everything before its sections. */
export function formatDeltaHeader(header: DeltaHeader): Uint8Array {
  const { target, plainSize, bases, model, sections, inner, copied } = header;
  const json = new TextEncoder().encode(JSON.stringify({ target, plainSize, bases, model, sections, inner, copied }));
  const bytes = new Uint8Array(PREFIX_BYTES + json.length);
  bytes.set(MAGIC);
  new DataView(bytes.buffer).setUint32(MAGIC.length, json.length, true);
  bytes.set(json, PREFIX_BYTES);
  return bytes;
}

/** Tests whether bytes begin like a delta of any version. */
export function hasMagic(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, i) => i === VERSION_AT || bytes[i] === byte);
}

/**
 * Reads the length of the header from the first `PREFIX_BYTES` bytes of a delta.
 *
 * @throws {CorruptError} when they do not begin a delta of this version
 */
export function parseDeltaPrefix(prefix: Uint8Array): number {
  if (prefix.length < PREFIX_BYTES || !hasMagic(prefix)) throw refuse("it does not begin like a delta");
  if (prefix[VERSION_AT] !== MAGIC[VERSION_AT]) {
    throw refuse(`its format has version ${prefix[VERSION_AT]}, this crpe knows ${MAGIC[VERSION_AT]}`);
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
  const { target, plainSize, bases, model, sections, inner, copied } = asObject(value, "the header");
  const { digest, size: targetSize } = asObject(target, "target");
  const header: DeltaHeader = {
    target: { digest: asDigest(digest, "target.digest"), size: asSize(targetSize, "target.size") },
    plainSize: asSize(plainSize, "plainSize"),
    bases: parseBases(bases),
    model: parseModel(model),
    sections: parseSections(sections, SECTIONS),
    inner: inner === undefined ? undefined : parseInner(inner),
    copied: copied === undefined ? undefined : parseSection(copied, "copied"),
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

/** Size in bytes of the temporary space that applying a delta takes. */
export function sizeOfScratch({ bases, inner, copied }: Pick<DeltaHeader, "bases" | "inner" | "copied">): number {
  const compressed = copied === undefined ? 0 : bases.reduce((sum, { size }) => sum + size, 0);
  return sizeOfBases({ bases }) + (inner?.basePlainSize ?? 0) + compressed;
}

/** Size in bytes of sections in the file of a delta. */
export function sizeOfSections(sections: Readonly<Record<string, Section>>): number {
  return Object.values(sections).reduce((sum, { packed }) => sum + packed, 0);
}

/** What a site must know to apply a delta, as inventories name it, joined by `+`: `go6/1`, `go6/1+inner/1+zlib/1`. */
export function namesOfModels({ model, inner, copied }: Pick<DeltaHeader, "model" | "inner" | "copied">): string {
  const nameOf = ({ id, version }: HeaderModel) => `${id}/${version}`;
  const names = [nameOf(model)];
  if (inner !== undefined) names.push(INNER_NAME, nameOf(inner.model));
  if (copied !== undefined) names.push(COPIED_NAME);
  return [...new Set(names)].join("+");
}

function checkSizes(header: DeltaHeader, packedSize: number): void {
  const { target, plainSize, bases, sections, inner, copied } = header;
  if (plainSize > maxPlainSize(target.size)) throw refuse(`plainSize is too large for ${target.size} bytes of gzip`);
  if (sizeOfScratch(header) > RECIPE_LIMITS.plainBytes) throw refuse("its bases are too large");
  checkOperations(sections, plainSize);
  if (inner !== undefined) {
    checkOperations(inner.sections, inner.plainSize);
    const isTooLarge = inner.plainSize > MAX_INNER_RATIO * plainSize ||
      inner.basePlainSize > MAX_INNER_RATIO * sizeOfBases({ bases });
    if (isTooLarge) throw refuse("its inner streams are too large");
  }
  const recipeSize = sizeInMemory(sections) + sizeInMemory(inner?.sections ?? {}) + (copied?.size ?? 0);
  if (recipeSize > RECIPE_LIMITS.sectionBytes) {
    throw refuse(`its corrections have ${recipeSize} bytes, ${RECIPE_LIMITS.sectionBytes} are allowed`);
  }
  const packed = sizeOfSections(sections) + sizeOfSections(inner?.sections ?? {}) + (copied?.packed ?? 0);
  if (packed !== packedSize) throw refuse(`its sections have ${packedSize} bytes, its header says ${packed}`);
}

function checkOperations(sections: DeltaHeader["sections"], plainSize: number): void {
  const { inserts, copies, jumps, literals, differences } = sections;
  if (literals.size + differences.size > plainSize) throw refuse("it inserts more bytes than the layer has");
  if ([inserts, copies, jumps].some(({ size }) => size > plainSize * MAX_NUMBER_BYTES)) {
    throw refuse("it has too many operations");
  }
}

// The sections that are read as a whole.
function sizeInMemory(sections: Readonly<Record<string, Section>>): number {
  const names: readonly string[] = OPERATION_STREAMS;
  return Object.entries(sections).reduce((sum, [name, { size }]) => names.includes(name) ? sum : sum + size, 0);
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

function parseInner(value: unknown): InnerPart {
  const { plainSize, basePlainSize, model, sections } = asObject(value, "inner");
  return {
    plainSize: asSize(plainSize, "inner.plainSize"),
    basePlainSize: asSize(basePlainSize, "inner.basePlainSize"),
    model: parseModel(model),
    sections: parseSections(sections, INNER_SECTIONS),
  };
}

function parseModel(value: unknown): HeaderModel {
  const { id, version, parameters } = asObject(value, "model");
  if (typeof id !== "string" || !/^[a-z0-9]{1,32}$/.test(id)) throw refuse("model.id must be a name");
  if (typeof parameters !== "string" || !/^(?:[0-9a-f]{2})*$/.test(parameters)) {
    throw refuse("model.parameters must be hexadecimal");
  }
  if (parameters.length > 2 * MAX_PARAMETERS) throw refuse("model.parameters is too long");
  return { id, version: asSize(version, "model.version"), parameters };
}

function parseSections<Name extends string>(value: unknown, names: readonly Name[]): Record<Name, Section> {
  const all = asObject(value, "sections");
  return Object.fromEntries(names.map((name) => [name, parseSection(all[name], name)])) as Record<Name, Section>;
}

function parseSection(value: unknown, name: string): Section {
  const { size, packed } = asObject(value, `sections.${name}`);
  const section = { size: asSize(size, `${name}.size`), packed: asSize(packed, `${name}.packed`) };
  if ((section.size === 0) !== (section.packed === 0)) throw refuse(`section ${name} is empty and is not`);
  return section;
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
  return new CorruptError(cannot("apply the delta", reason));
}
