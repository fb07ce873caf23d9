import type { ByteSource } from "../bytes/byte_reader.ts";
import type { HeaderModel, Section } from "./delta_format.ts";
import { openSection, readSection } from "./delta_sections.ts";
import type { GzipRecipe } from "./gzip_recipe.ts";
import { OPERATION_STREAMS, type OperationStreams } from "./operations.ts";

/** The bytes of a delta. */
export interface DeltaFile {
  /** In bytes. */
  readonly size: number;
  /** Opens `length` bytes from `start`; both are within the delta, and `length` is not 0. */
  open(start: number, length: number): Promise<ReadableStream<Uint8Array>>;
}

/** A part of a delta: that of the layer, or that of its inner streams. */
interface DeltaPart {
  readonly model: HeaderModel;
  readonly plainSize: number;
  readonly sections: Readonly<Record<string, Section>>;
}

/** Where a part is. */
interface PartInput {
  readonly file: DeltaFile;
  readonly part: DeltaPart;
  /** The names of its sections in the order of the file, and the position after the last one. */
  readonly names: readonly string[];
  readonly end: number;
}

/** Reads the sections of one part of a delta. */
export class PartReader {
  readonly #input: PartInput;
  readonly #opened: ByteSource[] = [];

  constructor(input: PartInput) {
    this.#input = input;
  }

  /** Opens the operations. */
  async openOperations(): Promise<OperationStreams<ByteSource>> {
    const opened: [string, ByteSource][] = [];
    for (const name of OPERATION_STREAMS) {
      const source = openSection(await this.#openPacked(name), this.#input.part.sections[name]!);
      this.#opened.push(source);
      opened.push([name, source]);
    }
    return Object.fromEntries(opened) as unknown as OperationStreams<ByteSource>;
  }

  /** Reads the recipe. @throws as `readSection` */
  async readRecipe(): Promise<GzipRecipe> {
    const { model, plainSize } = this.#input.part;
    const [tokens, blocks] = [await this.read("tokens"), await this.read("blocks")];
    const [headers, members] = [await this.read("headers"), await this.read("members")];
    return {
      model: { ...model, parameters: Uint8Array.fromHex(model.parameters) },
      plainSize,
      sections: { tokens, blocks, headers, members },
    };
  }

  /** Reads a section as a whole. @throws as `readSection` */
  async read(name: string): Promise<Uint8Array> {
    return await readSection(await this.#openPacked(name), this.#input.part.sections[name]!);
  }

  /** Stops reading the operations. */
  async cancel(): Promise<void> {
    for (const source of this.#opened) await source.cancel();
  }

  async #openPacked(name: string): Promise<ReadableStream<Uint8Array>> {
    const { file, part: { sections }, names, end } = this.#input;
    const after = names.slice(names.indexOf(name)).reduce((sum, each) => sum + sections[each]!.packed, 0);
    const { packed } = sections[name]!;
    return packed === 0 ? new Blob([]).stream() : await file.open(end - after, packed);
  }
}
