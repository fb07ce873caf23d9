import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { gzipSync } from "node:zlib";
import { rebuildLayer } from "../../../lib/delta/apply_delta.ts";
import type { DeltaFile } from "../../../lib/delta/part_reader.ts";
import {
  type DeltaHeader,
  formatDeltaHeader,
  INNER_SECTIONS,
  type InnerPart,
  parseDeltaHeader,
  parseDeltaPrefix,
  PREFIX_BYTES,
  type Section,
  SECTIONS,
} from "../../../lib/delta/delta_format.ts";
import { packSection, readSection, scratchOf } from "../../../lib/delta/delta_sections.ts";
import { fileOf, makeDelta } from "../../../lib/delta/make_delta.ts";
import { OldLayers } from "../../../lib/delta/old_layers.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { layerInput, makeText } from "../../support/delta_fixture.ts";
import { memoryScratch } from "../../support/memory_scratch.ts";
import type { Random } from "../../support/random.ts";
import { makeZip } from "../../support/zip.ts";
import { checkError, fault, type FuzzTarget } from "../fuzz_target.ts";
import { mutateBytes } from "../mutate_bytes.ts";
import { mutateJson } from "../mutate_json.ts";

/** A delta that is right, and what it needs. */
interface Seed {
  readonly header: DeltaHeader;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The plain bytes of its sections. */
  readonly sections: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  readonly layer: Uint8Array;
  readonly oldLayer: Bytes;
  readonly bases: Uint8Array;
}

type Bytes = Uint8Array<ArrayBuffer>;

const LEVELS = [1, 6, 9];
/** What a layer is made of: the second kind has inner streams, the third one copied tokens. */
const KINDS = ["texts", "archives", "copied"] as const;
const encoder = new TextEncoder();

/** The delta of a layer, which only its digest protects from strangers. */
export const LAYER_DELTAS: FuzzTarget = {
  name: "deltas of layers",
  outcomes: ["the layer", "other bytes", "CorruptError"],
  cases: 250,
  prepare: async () => {
    const seeds: Seed[] = [];
    for (const level of LEVELS) for (const kind of KINDS) seeds.push(await makeSeed(level, kind));
    return {
      run: async (random, describe) => {
        const seed = random.pick(seeds);
        const { bytes, what } = await mutate(seed, random);
        describe(`seed ${seeds.indexOf(seed)}, ${what}`);
        return await apply(bytes, seed);
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};

const openScratch = () => Promise.resolve(memoryScratch());

async function makeSeed(level: number, kind: typeof KINDS[number]): Promise<Seed> {
  const texts = [0, 1, 2, 3].map((i) => encoder.encode(makeText(i, kind === "copied" && i < 3 ? 60_000 : 9000)));
  const files = kind !== "archives" ? texts : texts.map((bytes, i) => makeZip([{ name: `${i % 3}`, bytes }]));
  const changed = texts[0]!.map((byte, i) => i % 97 === 0 ? byte ^ 1 : byte);
  const before = joinChunks([files[0]!, files[1]!, files[2]!]);
  const after = joinChunks([
    files[2]!,
    kind !== "archives" ? changed : makeZip([{ name: "0", bytes: changed, kind: "following" }]),
    files[3]!,
    files[1]!,
  ]);
  const [oldLayer, layer] = [before, after].map((bytes) => new Uint8Array(gzipSync(bytes, { level }))) as [
    Bytes,
    Bytes,
  ];
  const options = { openScratch, effort: "normal" } as const;
  using old = await OldLayers.open([layerInput(oldLayer)], options);
  const made = await makeDelta(old, layerInput(layer), options);
  if ("reason" in made) throw new Error(`no delta for level ${level}: ${made.reason}`);
  const { inner, copied } = made.header;
  if ((inner !== undefined) !== (kind === "archives")) throw new Error("the delta has the wrong inner streams");
  // Those of level 1 depend on the tokens before them.
  if ((copied !== undefined) !== (kind === "copied" && level > 1)) {
    throw new Error("the delta has the wrong copied tokens");
  }
  const bytes = await new Response(await made.file.open(0, made.file.size)).bytes();
  const sections = await readSections(made.header, made.file);
  return { header: made.header, bytes, sections, layer, oldLayer, bases: before };
}

// All sections in the order of the file, by names that tell those of inner streams from the others.
function listSections({ sections, inner, copied }: DeltaHeader): [string, Section][] {
  return [
    ...SECTIONS.map((name): [string, Section] => [name, sections[name]]),
    ...inner === undefined
      ? []
      : INNER_SECTIONS.map((name): [string, Section] => [`inner ${name}`, inner.sections[name]]),
    ...copied === undefined ? [] : [["copied", copied] satisfies [string, Section]],
  ];
}

async function readSections(header: DeltaHeader, file: DeltaFile): Promise<Seed["sections"]> {
  const listed = listSections(header);
  let at = file.size - listed.reduce((sum, [, { packed }]) => sum + packed, 0);
  const read = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const [name, section] of listed) {
    const input = section.packed === 0 ? new Blob([]).stream() : await file.open(at, section.packed);
    read.set(name, await readSection(input, section) as Uint8Array<ArrayBuffer>);
    at += section.packed;
  }
  return read;
}

async function mutate(seed: Seed, random: Random) {
  switch (random.below(3)) {
    case 0:
      return mutateBytes(seed.bytes, random);
    case 1: {
      const length = parseDeltaPrefix(seed.bytes);
      const json = new TextDecoder().decode(seed.bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + length));
      const { text, what } = mutateJson(json, random);
      const changed = encoder.encode(text);
      const prefix = seed.bytes.slice(0, PREFIX_BYTES);
      new DataView(prefix.buffer).setUint32(PREFIX_BYTES - 4, changed.length, true);
      return { bytes: joinChunks([prefix, changed, seed.bytes.subarray(PREFIX_BYTES + length)]), what };
    }
    default: {
      const changed = new Map(seed.sections);
      const whats: string[] = [];
      for (let times = 1 + random.below(2); times > 0; times--) {
        const name = random.pick([...changed.keys()].filter((it) => changed.get(it)!.length > 4));
        const { bytes, what } = mutateBytes(changed.get(name)!, random);
        changed.set(name, bytes);
        whats.push(`${what} in ${name}`);
      }
      return { bytes: await assemble(seed.header, changed), what: whats.join(", ") };
    }
  }
}

// The frames and sizes are right, so that what is in them is reached.
async function assemble(header: DeltaHeader, changed: Seed["sections"]): Promise<Uint8Array<ArrayBuffer>> {
  const packed = memoryScratch();
  const [outer, inner]: [string, Section][][] = [[], []];
  let copied: Section | undefined;
  for (const [name, bytes] of changed) {
    const section = await packSection(scratchOf(bytes), packed, { level: 1 });
    if (name === "copied") copied = section;
    else if (name.startsWith("inner ")) inner!.push([name.slice("inner ".length), section]);
    else outer!.push([name, section]);
  }
  const head = formatDeltaHeader({
    ...header,
    sections: Object.fromEntries(outer!) as DeltaHeader["sections"],
    inner: header.inner && { ...header.inner, sections: Object.fromEntries(inner!) as InnerPart["sections"] },
    copied,
  });
  return joinChunks([head, packed.bytes]);
}

async function apply(bytes: Uint8Array, { layer, oldLayer, bases }: Seed): Promise<string> {
  const pieces: Uint8Array[] = [];
  const options = { openScratch, compressed: scratchOf(oldLayer) };
  let [length, limit] = [0, layer.length];
  try {
    const size = parseDeltaPrefix(bytes);
    limit = parseDeltaHeader(bytes.slice(PREFIX_BYTES, PREFIX_BYTES + size), bytes.length).target.size;
    for await (const piece of rebuildLayer(fileOf(scratchOf(bytes)), scratchOf(bases), options)) {
      pieces.push(piece.slice());
      length += piece.length;
      if (length > limit) fault(`${length} bytes were made of a layer of ${limit}`);
    }
  } catch (error) {
    return checkError(error, [CorruptError]);
  }
  const made = joinChunks(pieces as Uint8Array<ArrayBuffer>[]);
  return made.length === layer.length && made.every((byte, i) => byte === layer[i]) ? "the layer" : "other bytes";
}
