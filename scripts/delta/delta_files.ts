/**
 * Makes a delta of a layer in a file, or applies one, in a process of its own, so that time and memory can be measured.
 * The bytes go through scratch space on the disk, as in a crpe that packs or imports.
 *
 *   deno run -P scripts/delta/delta_files.ts make OLD.tar.gz NEW.tar.gz DELTA [fast|normal|max]
 *   deno run -P scripts/delta/delta_files.ts apply OLD.tar.gz DELTA NEW.tar.gz
 *
 * `make` prints the model and the sizes of the sections as JSON. It fails when there is no delta, and says why.
 */
import { createHash } from "node:crypto";
import { streamFile } from "../../lib/bytes/file_stream.ts";
import { Verifier } from "../../lib/content/verifier.ts";
import { readDeltaHeader, rebuildLayer } from "../../lib/delta/apply_delta.ts";
import { inflateBase, type LayerInput } from "../../lib/delta/inflate_layers.ts";
import { makeDelta } from "../../lib/delta/make_delta.ts";
import type { Effort } from "../../lib/delta/models/model.ts";
import { OldLayers } from "../../lib/delta/old_layers.ts";
import type { DeltaFile } from "../../lib/delta/part_reader.ts";
import type { Digest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";

/** What `make` prints: the model of a delta, and the packed bytes of each section. */
export interface DeltaSummary {
  /** `go6/1 06`: with the parameters in hexadecimal digits. */
  readonly model: string;
  readonly sections: Readonly<Record<string, number>>;
}

const [command, ...paths] = Deno.args;
const data = await Deno.makeTempDir({ prefix: "crpe-delta-" });
try {
  const store = new DiskStore(data);
  if (command === "make" && paths.length >= 3) {
    console.log(JSON.stringify(await make(store, paths as [string, string, string], paths[3] as Effort | undefined)));
  } else if (command === "apply" && paths.length === 3) {
    await apply(store, paths as [string, string, string]);
  } else {
    throw new Error("Write: make OLD NEW DELTA [EFFORT], or apply OLD DELTA NEW");
  }
} finally {
  await Deno.remove(data, { recursive: true });
}

async function make(
  store: DiskStore,
  [old, layer, delta]: readonly [string, string, string],
  effort: Effort = "normal",
): Promise<DeltaSummary> {
  const options = { openScratch: () => store.openScratch(), effort };
  using oldLayers = await OldLayers.open([await openLayer(old)], options);
  const made = await makeDelta(oldLayers, await openLayer(layer), options);
  if ("reason" in made) throw new Error(`Cannot make a delta of ${layer}: ${made.reason}`);
  using delivered = made;
  await Deno.writeFile(delta, await delivered.file.open(0, delivered.file.size));
  const { model: { id, version, parameters }, sections, inner, copied } = delivered.header;
  const innerSections = Object.entries(inner?.sections ?? {}).map(([name, { packed }]) => [`inner ${name}`, packed]);
  return {
    model: `${id}/${version} ${parameters}`.trim(),
    sections: Object.fromEntries([
      ...Object.entries(sections).map(([name, { packed }]) => [name, packed]),
      ...innerSections,
      ["copied", copied?.packed ?? 0],
    ]),
  };
}

async function apply(store: DiskStore, [old, delta, layer]: readonly [string, string, string]): Promise<void> {
  const file = await openDelta(delta);
  const { bases, target } = await readDeltaHeader(file);
  using scratch = await store.openScratch();
  using compressed = await store.openScratch();
  for (const base of bases) await inflateBase(base, { layer: layerOf(old, base.digest), scratch, compressed });
  const verifier = new Verifier(target.digest, target.size);
  using output = await Deno.open(layer, { write: true, create: true, truncate: true });
  for await (const piece of rebuildLayer(file, scratch, { openScratch: () => store.openScratch(), compressed })) {
    verifier.update(piece);
    for (let at = 0; at < piece.length;) at += await output.write(piece.subarray(at));
  }
  verifier.finish();
}

async function openLayer(path: string): Promise<LayerInput & { readonly size: number }> {
  const hash = createHash("sha256");
  for await (const piece of (await Deno.open(path)).readable) hash.update(piece);
  const { size } = await Deno.stat(path);
  return { ...layerOf(path, `sha256:${hash.digest("hex")}`), size };
}

function layerOf(path: string, digest: Digest): LayerInput {
  return { digest, open: async () => (await Deno.open(path)).readable };
}

async function openDelta(path: string): Promise<DeltaFile> {
  const { size } = await Deno.stat(path);
  return {
    size,
    open: async (start, length) => {
      const file = await Deno.open(path);
      await file.seek(start, Deno.SeekMode.Start);
      return streamFile(file, length);
    },
  };
}
