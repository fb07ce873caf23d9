import type { ReadableBytes, Scratch } from "../bytes/scratch.ts";
import { Turns } from "../bytes/turns.ts";
import { type DeltaHeader, sizeOfBases } from "./delta_format.ts";
import type { GzipRecipe } from "./gzip_recipe.ts";
import { parsePlaces, type Place } from "./inner_places.ts";
import { freeInflated, inflateStream } from "./inner_streams.ts";
import { wrongDelta } from "./operation_inputs.ts";
import { applyOperations } from "./operations.ts";
import type { PartReader } from "./part_reader.ts";

/** The inner streams of a layer. */
interface OpenedStreams {
  readonly plain: AsyncIterable<Uint8Array>;
  readonly recipe: GzipRecipe;
  /** Where they belong among the plain bytes of the layer, and how many of these they are. */
  readonly places: Iterable<Place>;
  readonly size: number;
}

/** What inner streams are opened with. */
interface InnerInput {
  readonly header: DeltaHeader;
  readonly bases: ReadableBytes;
  /** Gets the plain bytes of the inner streams of the bases. */
  readonly innerBases: Scratch;
}

/**
 * Opens the inner streams of a layer, and inflates those of its bases that they are made from.
 *
 * @throws {CorruptError} when the bases do not have them, or a section is damaged
 * @throws {CorruptError} when their places are wrong
 */
export async function openInner(
  reader: PartReader,
  { header, bases, innerBases }: InnerInput,
): Promise<OpenedStreams> {
  const { plainSize, basePlainSize } = header.inner!;
  const places = await reader.read("places");
  const basePlaces = await reader.read("basePlaces");
  await inflateStreams(parsePlaces(basePlaces, sizeOfBases(header), basePlainSize), bases, innerBases);
  let size = 0;
  for (const place of parsePlaces(places, header.plainSize)) size += place.size;
  return {
    plain: applyOperations({ streams: await reader.openOperations(), bases: innerBases, plainSize }),
    recipe: await reader.readRecipe(),
    places: parsePlaces(places, header.plainSize),
    size,
  };
}

async function inflateStreams(places: Iterable<Place>, bases: ReadableBytes, output: Scratch): Promise<void> {
  const turns = new Turns();
  let position = 0;
  for (const { gap, size, plainSize = 0 } of places) {
    await turns.next();
    const plain = inflateStream(bases, { start: position + gap, size }, plainSize);
    if (plain?.length !== plainSize) throw wrongDelta("its bases do not have the inner streams that it needs");
    output.append(plain);
    freeInflated(plain);
    position += gap + size;
  }
}
