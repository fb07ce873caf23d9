import { resolveRange } from "../bytes/byte_range.ts";
import type { OpenScratch } from "../bytes/scratch.ts";
import { namesOfModels, sizeOfScratch } from "../delta/delta_format.ts";
import { type MadeDelta, makeDelta } from "../delta/make_delta.ts";
import type { Effort } from "../delta/models/model.ts";
import { OldLayers } from "../delta/old_layers.ts";
import type { DeltaFile } from "../delta/part_reader.ts";
import type { StatusDelta } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError, IncompleteError, NoSpaceError } from "../oci/error.ts";
import type { Descriptor } from "../oci/manifest.ts";
import { repositoryOf } from "../oci/reference.ts";
import type { CarriedManifest, PlanEntry } from "./bundle_plan.ts";
import { MAX_ALL_BASES } from "./declared_deltas.ts";
import { findOldLayers, type OldImageStore } from "./old_images.ts";
import type { PreparedPack } from "./prepare_pack.ts";

/** How deltas are made. */
interface DeltaOptions {
  /** The packer's store, which has the old layers, and room for temporary files. */
  readonly store: OldImageStore & { readonly openScratch: OpenScratch };
  /** The digests that the site holds. */
  readonly have: Pick<ReadonlySet<Digest>, "has">;
  /** The compressor models that the site knows. */
  readonly models: ReadonlySet<string>;
  readonly effort: Effort;
  /** Called with the layer that is worked on, and the number of plain bytes processed for it. */
  readonly onProgress?: (progress: DeltaProgress) => void;
  readonly signal?: AbortSignal;
}

/** Progress of making deltas. */
interface DeltaProgress {
  /** The layer, counted from 1, of those that are tried. */
  readonly number: number;
  readonly count: number;
  readonly bytes: number;
}

/** A pack in which deltas take the place of layers. Disposing of it frees their temporary files. */
export interface DeltaPack extends Disposable {
  readonly pack: PreparedPack;
  /** The layers for which a delta was tried in vain, with the reason as the end of a sentence. */
  readonly whole: readonly { readonly digest: Digest; readonly reason: string }[];
}

/** The media type of a delta, for descriptors that never leave the program. */
const DELTA_TYPE = "application/octet-stream";
/** Smaller layers are not worth a delta, in bytes. */
const MIN_LAYER_BYTES = 16 * 1024;
/** The compressed bytes of the old layers that are compared with, at most. */
const MAX_OLD_BYTES: Readonly<Record<Effort, number>> = { fast: 512 << 20, normal: 2 ** 31, max: Infinity };
/** An eStargz layer has a gzip member for each chunk, which no model predicts well. */
const STARGZ_ANNOTATION = "containerd.io/snapshot/stargz/toc.digest";

/**
 * Replaces layers of a pack by deltas against older layers that the site holds. Every delta was verified by rebuilding its
 * layer; where there is none, the whole layer is packed. The same content and options give the same deltas.
 */
export async function addDeltas(pack: PreparedPack, options: DeltaOptions): Promise<DeltaPack> {
  const work = new DeltaWork(pack, options);
  try {
    await work.run();
    return work.finish();
  } catch (error) {
    work[Symbol.dispose]();
    throw error;
  }
}

/** The layers of one manifest for which deltas are tried. */
interface LayerGroup {
  readonly repository: string;
  readonly manifest: CarriedManifest;
  readonly layers: readonly Descriptor[];
}

class DeltaWork implements Disposable {
  readonly #pack: PreparedPack;
  readonly #options: DeltaOptions;
  readonly #made = new Map<Digest, MadeDelta>();
  readonly #whole: { readonly digest: Digest; readonly reason: string }[] = [];
  #number = 0;
  #basesLeft = MAX_ALL_BASES;

  constructor(pack: PreparedPack, options: DeltaOptions) {
    this.#pack = pack;
    this.#options = options;
  }

  async run(): Promise<void> {
    const groups = listGroups(this.#pack);
    const count = groups.reduce((sum, { layers }) => sum + layers.length, 0);
    for (const group of groups) await this.#runGroup(group, count);
  }

  async #runGroup({ repository, manifest, layers }: LayerGroup, count: number): Promise<void> {
    const { store, have, effort, onProgress, signal } = this.#options;
    const report = (number: number) => {
      let bytes = 0;
      return (more: number) => onProgress?.({ number, count, bytes: bytes += more });
    };
    const found = await findOldLayers(manifest, store, { repository, have });
    const first = this.#number + 1;
    this.#number += layers.length;
    if (found.length === 0) return;
    using old = await this.#openOld(limitSize(found, MAX_OLD_BYTES[effort]), repository, report(first));
    if (old === undefined) return;
    for (const [i, layer] of layers.entries()) {
      const { digest, size } = layer;
      const open = async () => (await this.#pack.source.openBlob(repository, digest))?.body;
      const made = await makeDelta(old, { digest, size, open }, {
        openScratch: store.openScratch.bind(store),
        effort,
        known: this.#options.models,
        onBytes: report(first + i),
        signal,
      }).catch((error) => ({ reason: explain(error) }));
      if ("reason" in made) this.#whole.push({ digest, reason: made.reason });
      else if (made.header.bases.length > this.#basesLeft) {
        made[Symbol.dispose]();
        this.#whole.push({ digest, reason: `all deltas would need more than ${MAX_ALL_BASES} bases` });
      } else {
        this.#basesLeft -= made.header.bases.length;
        this.#made.set(digest, made);
      }
    }
  }

  // Old layers that cannot be read are none to compare with.
  async #openOld(
    layers: readonly Descriptor[],
    repository: string,
    onBytes: (count: number) => void,
  ): Promise<OldLayers | undefined> {
    const { store, effort, models: known, signal } = this.#options;
    const inputs = layers.map(({ digest, size }) => ({
      digest,
      size,
      open: async () => (await store.openBlob(repository, digest))?.body,
    }));
    try {
      const openScratch = store.openScratch.bind(store);
      return await OldLayers.open(inputs, { openScratch, effort, known, onBytes, signal });
    } catch (error) {
      explain(error);
      return undefined;
    }
  }

  finish(): DeltaPack {
    const dispose = () => this[Symbol.dispose]();
    return { pack: this.#replace(), whole: this.#whole, [Symbol.dispose]: dispose };
  }

  #replace(): PreparedPack {
    const { plan, kubepkg, source } = this.#pack;
    if (this.#made.size === 0) return this.#pack;
    const entries = plan.entries.map((entry) => replaceEntry(entry, this.#made.get(entry.descriptor.digest)));
    const size = entries.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
    const files = new Map([...this.#made.values()].map(({ digest, file }) => [digest, file]));
    const deltas = [...this.#made.values()].map(describeDelta);
    return {
      ...this.#pack,
      plan: { ...plan, entries, size },
      kubepkg: { ...kubepkg, status: { ...kubepkg.status, deltas } },
      source: withDeltas(source, files),
    };
  }

  [Symbol.dispose](): void {
    for (const made of this.#made.values()) made[Symbol.dispose]();
  }
}

// What is missing or damaged is reported when it is packed. Temporary files must not be the reason that a pack fails.
function explain(error: unknown): string {
  const isExpected = error instanceof CorruptError || error instanceof IncompleteError || error instanceof NoSpaceError;
  if (!isExpected) throw error;
  return error.message;
}

// Each layer once, with the first image that has it.
function listGroups({ images, plan }: PreparedPack): LayerGroup[] {
  const carried = new Set(plan.entries.map(({ descriptor }) => descriptor.digest));
  const groups: LayerGroup[] = [];
  const visit = (manifest: CarriedManifest, repository: string): void => {
    for (const child of manifest.children) visit(child, repository);
    if (manifest.platform === undefined) return;
    const layers = manifest.blobs.filter((blob) => isSuitable(blob) && carried.delete(blob.digest));
    if (layers.length > 0) groups.push({ repository, manifest, layers });
  };
  for (const { reference, root } of images) visit(root, repositoryOf(reference));
  return groups;
}

function isSuitable({ mediaType, size, annotations = {} }: Descriptor): boolean {
  return size >= MIN_LAYER_BYTES && /[.+]gzip$/.test(mediaType) && !(STARGZ_ANNOTATION in annotations);
}

/** Leaves out the layers that would make the total size greater than the limit, in bytes. */
export function limitSize(layers: readonly Descriptor[], limit: number): Descriptor[] {
  let left = limit;
  return layers.filter(({ size }) => {
    if (size > left) return false;
    left -= size;
    return true;
  });
}

function replaceEntry(entry: PlanEntry, made: MadeDelta | undefined): PlanEntry {
  if (made === undefined) return entry;
  const { digest, file: { size } } = made;
  return { ...entry, descriptor: { mediaType: DELTA_TYPE, digest, size }, layer: entry.descriptor.digest };
}

function describeDelta({ digest, header, file }: MadeDelta): StatusDelta {
  const { target, bases } = header;
  return {
    digest: target.digest,
    delta: digest,
    size: file.size,
    bases: bases.map(({ digest, size }) => ({ digest, size })),
    plainSize: sizeOfScratch(header),
    model: namesOfModels(header),
  };
}

/** Adds deltas to the blobs of a source. */
function withDeltas(source: PreparedPack["source"], files: ReadonlyMap<Digest, DeltaFile>): PreparedPack["source"] {
  return {
    async openBlob(repo, digest, range) {
      const file = files.get(digest);
      if (file === undefined) return await source.openBlob(repo, digest, range);
      const { start, length } = resolveRange(file.size, range);
      return { size: file.size, start, length, body: await file.open(start, length) };
    },
  };
}
