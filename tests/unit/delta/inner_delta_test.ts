import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { crc32, gunzipSync, gzipSync } from "node:zlib";
import { readDeltaHeader, rebuildLayer } from "../../../lib/delta/apply_delta.ts";
import {
  type DeltaHeader,
  formatDeltaHeader,
  INNER_NAME,
  namesOfModels,
  sizeOfBases,
  sizeOfScratch,
} from "../../../lib/delta/delta_format.ts";
import { scratchOf } from "../../../lib/delta/delta_sections.ts";
import { insertStreams, joinStreams } from "../../../lib/delta/inner_gzip.ts";
import { formatPlaces, parsePlaces } from "../../../lib/delta/inner_places.ts";
import {
  fileOf,
  type MadeDelta,
  makeDelta,
  type MakeDeltaOptions,
  type NoDelta,
} from "../../../lib/delta/make_delta.ts";
import { knowsModels } from "../../../lib/delta/models/all.ts";
import { findInnerStreams, inflateStream } from "../../../lib/delta/inner_streams.ts";
import { OldLayers } from "../../../lib/delta/old_layers.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertLess, assertRejects, assertThrows } from "../../support/assert.ts";
import { layerInput, makeText } from "../../support/delta_fixture.ts";
import { memoryScratch } from "../../support/memory_scratch.ts";
import { makeZip, type ZipFile } from "../../support/zip.ts";

// Deflate streams of zip archives inside of a layer: docs/delta.md, "Inner streams".

type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
const OPTIONS = {
  openScratch: () => Promise.resolve(memoryScratch()),
  effort: "normal",
  known: new Set(["zlib/1", INNER_NAME]),
} as const;
const gzip = (bytes: Uint8Array) => new Uint8Array(gzipSync(bytes, { level: 6 }));

/** An application of ten classes. Those of `changed` have a few other bytes. */
function makeApp(changed: readonly number[], kind: ZipFile["kind"] = "following"): Bytes {
  const files = Array.from({ length: 10 }, (_, i): ZipFile => {
    const bytes = encoder.encode(makeText(i, 9000));
    if (changed.includes(i)) { for (let at = 100; at < bytes.length; at += 900) bytes[at]! ^= 1; }
    return { name: `app/C${i}.class`, bytes, kind };
  });
  return joinChunks([encoder.encode(makeText(50, 5000)), makeZip(files), encoder.encode(makeText(51, 5000))]);
}

async function make(
  old: readonly Bytes[],
  layer: Bytes,
  options: Partial<MakeDeltaOptions> = {},
): Promise<MadeDelta | NoDelta> {
  using layers = await OldLayers.open(old.map((bytes) => layerInput(gzip(bytes))), OPTIONS);
  return await makeDelta(layers, layerInput(gzip(layer)), { ...OPTIONS, ...options });
}

async function makeRight(old: readonly Bytes[], layer: Bytes, options?: Partial<MakeDeltaOptions>): Promise<MadeDelta> {
  const made = await make(old, layer, options);
  if ("reason" in made) throw new Error(made.reason);
  return made;
}

async function rebuild({ file }: Pick<MadeDelta, "file">, bases: Uint8Array): Promise<Bytes> {
  const pieces: Bytes[] = [];
  for await (const piece of rebuildLayer(file, scratchOf(bases), OPTIONS)) {
    pieces.push(piece.slice());
  }
  return joinChunks(pieces);
}

const OLD = makeApp([]);
const LAYER = makeApp([3, 7]);
let once: Promise<MadeDelta> | undefined;
/** The delta of `LAYER` against `OLD`, which is made once. Its scratch space is in memory and stays. */
const makeOnce = () => once ??= makeRight([OLD], LAYER);

Deno.test("a changed class of an archive costs its change, and the layer has its bytes", async () => {
  const made = await makeOnce();
  using without = await makeRight([OLD], LAYER, { known: new Set(["zlib/1"]) });
  assertEquals(await rebuild(made, OLD), gzip(LAYER));
  assertEquals(await rebuild(without, OLD), gzip(LAYER));
  assertLess(made.file.size * 2, without.file.size);
  assertEquals(namesOfModels(made.header), "zlib/1+inner/1");
  assertEquals(namesOfModels(without.header), "zlib/1");
});

const WITHOUT: readonly [what: string, old: Bytes, layer: Bytes, options: Partial<MakeDeltaOptions>][] = [
  ["a site that does not know them", makeApp([]), makeApp([1]), { known: new Set(["zlib/1"]) }],
  ["little effort", makeApp([]), makeApp([1]), { effort: "fast" }],
  ["stored files", makeApp([], "stored"), makeApp([1], "stored"), {}],
  ["unchanged archives", joinChunks([makeApp([1]), encoder.encode(makeText(60, 9000))]), makeApp([1]), {}],
  [
    "archives without old ones",
    encoder.encode(makeText(50, 9000)),
    joinChunks([
      encoder.encode(makeText(50, 9000)),
      makeZip([{ name: "a", bytes: encoder.encode(makeText(3, 9000)) }]),
    ]),
    {},
  ],
];
for (const [what, old, layer, options] of WITHOUT) {
  Deno.test(`a delta has no inner streams for ${what}`, async () => {
    using made = await makeRight([old], layer, options);
    assertEquals(made.header.inner, undefined);
    assertEquals(await rebuild(made, old), gzip(layer));
  });
}

Deno.test("inner streams come from all bases that a delta needs", async () => {
  const [first, second] = [makeApp([]), makeZip([{ name: "x", bytes: encoder.encode(makeText(70, 9000)) }])];
  const changed = encoder.encode(makeText(70, 9000));
  changed[5000]! ^= 1;
  const layer = joinChunks([makeApp([2]), makeZip([{ name: "x", bytes: changed }])]);
  using made = await makeRight([first, second], layer);
  assertEquals(made.header.bases.length, 2);
  assertEquals(await rebuild(made, joinChunks([first, second])), gzip(layer));
  assertEquals(sizeOfScratch(made.header) - sizeOfBases(made.header), made.header.inner!.basePlainSize);
});

Deno.test("[99] a base with other inner streams than a delta says is refused", async () => {
  const made = await makeOnce();
  for (const other of [makeApp([], "stored"), new Uint8Array(OLD.length), OLD.subarray(0, OLD.length / 2)]) {
    await assertRejects(() => rebuild(made, other), CorruptError, "Cannot apply the delta: ");
  }
});

Deno.test("[99] the header of a delta with inner streams bounds them", async () => {
  const made = await makeOnce();
  const header = await readDeltaHeader(made.file);
  assertEquals(header, made.header);
  const inner = header.inner!;
  const changes: readonly [reason: string, inner: unknown][] = [
    ["inner must be an object", 1],
    ["its inner streams are too large", { ...inner, plainSize: header.plainSize * 16 + 1 }],
    ["its inner streams are too large", { ...inner, basePlainSize: sizeOfBases(header) * 16 + 1 }],
    ["it inserts more bytes than the layer has", { ...inner, plainSize: 0 }],
    ["inner.plainSize must be a number of bytes", { ...inner, plainSize: -1 }],
    ["model.id must be a name", { ...inner, model: { ...inner.model, id: "" } }],
    ["sections.places must be an object", { ...inner, sections: { ...inner.sections, places: undefined } }],
    ["its corrections have", { ...inner, sections: { ...inner.sections, places: { size: 2 ** 40, packed: 9 } } }],
    ["its sections have", { ...inner, sections: { ...inner.sections, places: { size: 9, packed: 2 ** 40 } } }],
    ["its sections have", undefined],
  ];
  for (const [reason, changed] of changes) {
    const bytes = await replaceHeader(made, { ...header, inner: changed } as DeltaHeader);
    await assertRejects(
      () => readDeltaHeader(fileOf(scratchOf(bytes))),
      CorruptError,
      `Cannot apply the delta: ${reason}`,
    );
  }
});

async function replaceHeader({ file, header }: MadeDelta, changed: DeltaHeader): Promise<Bytes> {
  const bytes = await new Response(await file.open(0, file.size)).bytes();
  return joinChunks([formatDeltaHeader(changed), bytes.subarray(formatDeltaHeader(header).length)]);
}

const PLACES = [{ gap: 0, size: 40 }, { gap: 300, size: 5000 }];
const BASE_PLACES = PLACES.map((place) => ({ ...place, plainSize: 200 }));

Deno.test("places are read as they were written", () => {
  assertEquals([...parsePlaces(formatPlaces(PLACES), 5340)], PLACES);
  assertEquals([...parsePlaces(formatPlaces(BASE_PLACES), 5340, 400)], BASE_PLACES);
});

const WRONG_PLACES: Readonly<Record<string, () => unknown>> = {
  "beyond the end": () => [...parsePlaces(formatPlaces(PLACES), 5339)],
  "of the bases beyond the end": () => [...parsePlaces(formatPlaces(BASE_PLACES), 5339, 400)],
  "with too many plain bytes": () => [...parsePlaces(formatPlaces(BASE_PLACES), 5340, 399)],
  "that are cut": () => [...parsePlaces(formatPlaces(PLACES).subarray(0, 3), 5340)],
  "too small": () => [...parsePlaces(formatPlaces([{ gap: 0, size: 31 }]), 5340)],
  "too large": () => [...parsePlaces(formatPlaces([{ gap: 0, size: (4 << 20) + 1 }]), 2 ** 30)],
};
for (const [what, parse] of Object.entries(WRONG_PLACES)) {
  Deno.test(`[99] places ${what} are refused`, () => void assertThrows(parse, CorruptError));
}

async function* chunksOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function join(pieces: AsyncIterable<Uint8Array>): Promise<Bytes> {
  const all: Bytes[] = [];
  for await (const piece of pieces) all.push(piece.slice());
  return joinChunks(all);
}

Deno.test("inner streams are joined to gzip, and inserted into their places again", async () => {
  const whole = makeZip([
    { name: "a", bytes: encoder.encode(makeText(1, 9000)) },
    { name: "b", bytes: encoder.encode(makeText(2, 9000)) },
  ]);
  const streams = await findInnerStreams(scratchOf(whole));
  const members = streams.map(({ start, size }) => {
    const plain = inflateStream(scratchOf(whole), { start, size }, 4 << 20)!;
    return { bytes: whole.subarray(start, start + size), crc: crc32(plain), plainSize: plain.length, plain };
  });
  const joined = await join(joinStreams(members));
  assertEquals(new Uint8Array(gunzipSync(joined)), joinChunks(members.map(({ plain }) => plain as Bytes)));
  let end = 0;
  const rest: Bytes[] = [];
  const places = streams.map(({ start, size }) => {
    rest.push(whole.subarray(end, start));
    const gap = start - end;
    end = start + size;
    return { gap, size };
  });
  const bytes = joinChunks([...rest, whole.subarray(end)]);
  for (const size of [1, 1000, 1 << 20]) {
    assertEquals(await join(insertStreams(chunksOf(bytes, size), { places, gzip: chunksOf(joined, size) })), whole);
  }
  const wrong: readonly [Uint8Array, Uint8Array][] = [
    [bytes.subarray(0, 10), joined],
    [bytes, joined.subarray(0, joined.length - 1)],
    [bytes, joined.subarray(0, 100)],
    [bytes, joinChunks([joined, joined])],
  ];
  for (const [cut, streams] of wrong) {
    await assertRejects(
      () => join(insertStreams(chunksOf(cut, 999), { places, gzip: chunksOf(streams, 999) })),
      CorruptError,
    );
  }
});

Deno.test("what a site must know is all of the names", () => {
  assert(knowsModels("go6/1"));
  assert(knowsModels("klauspost5/1+inner/1+zlib/1"));
  assert(!knowsModels("go6/1+inner/2"));
  assert(!knowsModels("go6/1+go7/1"));
  assert(!knowsModels(""));
});
