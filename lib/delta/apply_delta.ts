import type { ByteSource } from "../bytes/byte_reader.ts";
import { readBounded } from "../bytes/read_bounded.ts";
import type { Scratch } from "../bytes/scratch.ts";
import { CorruptError } from "../oci/error.ts";
import { DeflateError } from "./bit_input.ts";
import {
  type DeltaHeader,
  parseDeltaHeader,
  parseDeltaPrefix,
  PREFIX_BYTES,
  type SectionName,
  SECTIONS,
} from "./delta_format.ts";
import { openSection, readSection } from "./delta_sections.ts";
import type { GzipRecipe, RecipeSections } from "./gzip_recipe.ts";
import { modelById } from "./models/all.ts";
import { type DeflateModel, RecipeError } from "./models/model.ts";
import { applyOperations, OPERATION_STREAMS, type OperationStreams } from "./operations.ts";
import { rebuildGzip } from "./rebuild_gzip.ts";

/** The bytes of a delta. */
export interface DeltaFile {
  /** In bytes. */
  readonly size: number;
  /** Opens `length` bytes from `start`; both are within the delta, and `length` is not 0. */
  open(start: number, length: number): Promise<ReadableStream<Uint8Array>>;
}

/** Options of `rebuildLayer`. */
export interface RebuildLayerOptions {
  /** Finds a compressor model; default: those of this program. */
  readonly findModel?: (id: string, version: number) => DeflateModel | undefined;
  readonly signal?: AbortSignal;
}

/** Reads the header of a delta. @throws {CorruptError} when the file is not a delta, or its header is wrong */
export async function readDeltaHeader(file: DeltaFile): Promise<DeltaHeader> {
  if (file.size < PREFIX_BYTES) throw new CorruptError("Cannot apply the delta: it is too short");
  const prefix = await readBounded(await file.open(0, PREFIX_BYTES), "the delta", PREFIX_BYTES);
  const length = parseDeltaPrefix(prefix);
  if (length === 0 || PREFIX_BYTES + length > file.size) {
    throw new CorruptError("Cannot apply the delta: it ends before its header does");
  }
  return parseDeltaHeader(await readBounded(await file.open(PREFIX_BYTES, length), "the delta", length), file.size);
}

/**
 * Rebuilds the compressed bytes of a layer. A wrong delta gives other bytes, or an error: the digest of what comes out
 * must be checked. A piece is only valid until the next one is asked for.
 *
 * @param bases the plain bytes of all bases of the delta, one after the other
 * @throws {CorruptError} when the delta is damaged or contradicts itself
 */
export async function* rebuildLayer(
  file: DeltaFile,
  bases: Pick<Scratch, "size" | "readAt">,
  { findModel = modelById, signal }: RebuildLayerOptions = {},
): AsyncGenerator<Uint8Array> {
  const header = await readDeltaHeader(file);
  const sections = new SectionFiles(file, header);
  const recipe: GzipRecipe = {
    model: { ...header.model, parameters: Uint8Array.fromHex(header.model.parameters) },
    plainSize: header.plainSize,
    sections: await sections.readRecipe(),
  };
  const streams = await sections.openOperations();
  try {
    const plain = applyOperations({ streams, bases, plainSize: header.plainSize });
    let left = header.target.size;
    for await (const piece of rebuildGzip(plain, recipe, { findModel, signal })) {
      left -= piece.length;
      if (left < 0) throw new CorruptError("Cannot apply the delta: it makes too many bytes");
      yield piece;
    }
  } catch (cause) {
    if (!(cause instanceof RecipeError || cause instanceof DeflateError)) throw cause;
    throw new CorruptError(cause.message, { cause });
  } finally {
    for (const name of OPERATION_STREAMS) await streams[name].cancel();
  }
}

class SectionFiles {
  readonly #file: DeltaFile;
  readonly #header: DeltaHeader;

  constructor(file: DeltaFile, header: DeltaHeader) {
    this.#file = file;
    this.#header = header;
  }

  async openOperations(): Promise<OperationStreams<ByteSource>> {
    const opened: [string, ByteSource][] = [];
    for (const name of OPERATION_STREAMS) {
      opened.push([name, openSection(await this.#openPacked(name), this.#header.sections[name])]);
    }
    return Object.fromEntries(opened) as unknown as OperationStreams<ByteSource>;
  }

  async readRecipe(): Promise<RecipeSections> {
    const read = async (name: SectionName) => {
      return await readSection(await this.#openPacked(name), this.#header.sections[name]);
    };
    return {
      tokens: await read("tokens"),
      blocks: await read("blocks"),
      headers: await read("headers"),
      members: await read("members"),
    };
  }

  async #openPacked(name: SectionName): Promise<ReadableStream<Uint8Array>> {
    const { sections } = this.#header;
    const after = SECTIONS.slice(SECTIONS.indexOf(name)).reduce((sum, each) => sum + sections[each].packed, 0);
    const { packed } = sections[name];
    return packed === 0 ? new Blob([]).stream() : await this.#file.open(this.#file.size - after, packed);
  }
}
