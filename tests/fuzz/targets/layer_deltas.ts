import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { gzipSync } from "node:zlib";
import { type DeltaFile, rebuildLayer } from "../../../lib/delta/apply_delta.ts";
import {
  type DeltaHeader,
  formatDeltaHeader,
  parseDeltaHeader,
  parseDeltaPrefix,
  PREFIX_BYTES,
  type Section,
  type SectionName,
  SECTIONS,
} from "../../../lib/delta/delta_format.ts";
import { packSection, readSection, scratchOf } from "../../../lib/delta/delta_sections.ts";
import { fileOf, makeDelta } from "../../../lib/delta/make_delta.ts";
import { OldLayers } from "../../../lib/delta/old_layers.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { makeText } from "../../support/delta_fixture.ts";
import { memoryScratch } from "../../support/memory_scratch.ts";
import type { Random } from "../../support/random.ts";
import { checkError, fault, type FuzzTarget } from "../fuzz_target.ts";
import { mutateBytes } from "../mutate_bytes.ts";
import { mutateJson } from "../mutate_json.ts";

/** A delta that is right, and what it needs. */
interface Seed {
  readonly header: DeltaHeader;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The plain bytes of its sections. */
  readonly sections: Readonly<Record<SectionName, Uint8Array<ArrayBuffer>>>;
  readonly layer: Uint8Array;
  readonly bases: Uint8Array;
}

type Bytes = Uint8Array<ArrayBuffer>;

const LEVELS = [1, 6, 9];
const encoder = new TextEncoder();

/** The delta of a layer, which only its digest protects from strangers. */
export const LAYER_DELTAS: FuzzTarget = {
  name: "deltas of layers",
  outcomes: ["the layer", "other bytes", "CorruptError"],
  cases: 2000,
  prepare: async () => {
    const seeds: Seed[] = [];
    for (const level of LEVELS) seeds.push(await makeSeed(level));
    return {
      run: async (random, describe) => {
        const seed = random.pick(seeds);
        const { bytes, what } = await mutate(seed, random);
        describe(`level ${LEVELS[seeds.indexOf(seed)]}, ${what}`);
        return await apply(bytes, seed);
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};

async function makeSeed(level: number): Promise<Seed> {
  const texts = [0, 1, 2, 3].map((i) => encoder.encode(makeText(i, 9000)));
  const before = joinChunks([texts[0]!, texts[1]!, texts[2]!]);
  const after = joinChunks([
    texts[2]!,
    texts[0]!.map((byte, i) => i % 97 === 0 ? byte ^ 1 : byte),
    texts[3]!,
    texts[1]!,
  ]);
  const [oldLayer, layer] = [before, after].map((bytes) => new Uint8Array(gzipSync(bytes, { level }))) as [
    Bytes,
    Bytes,
  ];
  const inputOf = (bytes: Uint8Array<ArrayBuffer>) => ({
    digest: computeDigest(bytes),
    size: bytes.length,
    open: () => Promise.resolve(new Blob([bytes]).stream()),
  });
  const options = { openScratch: () => Promise.resolve(memoryScratch()), effort: "normal" } as const;
  using old = await OldLayers.open([inputOf(oldLayer)], options);
  const made = await makeDelta(old, inputOf(layer), options);
  if ("reason" in made) throw new Error(`no delta for level ${level}: ${made.reason}`);
  const bytes = await new Response(await made.file.open(0, made.file.size)).bytes();
  const sections = await readSections(made.header, made.file);
  return { header: made.header, bytes, sections, layer, bases: before };
}

async function readSections(header: DeltaHeader, file: DeltaFile): Promise<Seed["sections"]> {
  let at = file.size - SECTIONS.reduce((sum, name) => sum + header.sections[name].packed, 0);
  const read: [string, Uint8Array][] = [];
  for (const name of SECTIONS) {
    const section = header.sections[name];
    const input = section.packed === 0 ? new Blob([]).stream() : await file.open(at, section.packed);
    read.push([name, await readSection(input, section)]);
    at += section.packed;
  }
  return Object.fromEntries(read) as unknown as Seed["sections"];
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
      const changed = { ...seed.sections };
      const whats: string[] = [];
      for (let times = 1 + random.below(2); times > 0; times--) {
        const name = random.pick(SECTIONS.filter((it) => changed[it].length > 4));
        const { bytes, what } = mutateBytes(changed[name], random);
        changed[name] = bytes;
        whats.push(`${what} in ${name}`);
      }
      return { bytes: await assemble(seed.header, changed), what: whats.join(", ") };
    }
  }
}

// The frames and sizes are right, so that what is in them is reached.
async function assemble(header: DeltaHeader, changed: Seed["sections"]): Promise<Uint8Array<ArrayBuffer>> {
  const packed = memoryScratch();
  const sections: [string, Section][] = [];
  for (const name of SECTIONS) sections.push([name, await packSection(scratchOf(changed[name]), packed, 1)]);
  const head = formatDeltaHeader({ ...header, sections: Object.fromEntries(sections) as DeltaHeader["sections"] });
  return joinChunks([head, packed.bytes]);
}

async function apply(bytes: Uint8Array, { layer, bases }: Seed): Promise<string> {
  const pieces: Uint8Array[] = [];
  let [length, limit] = [0, layer.length];
  try {
    const size = parseDeltaPrefix(bytes);
    limit = parseDeltaHeader(bytes.slice(PREFIX_BYTES, PREFIX_BYTES + size), bytes.length).target.size;
    for await (const piece of rebuildLayer(fileOf(scratchOf(bytes)), scratchOf(bases))) {
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
