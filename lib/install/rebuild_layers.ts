import type { BundleBlob } from "../bundle/read_bundle.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import { SingleFlight } from "../content/single_flight.ts";
import { beginsLikeDelta, readDeltaHeader, rebuildLayer } from "../delta/apply_delta.ts";
import { type DeltaHeader, namesOfModels, sizeOfScratch } from "../delta/delta_format.ts";
import { BaseError, inflateBase } from "../delta/inflate_layers.ts";
import type { DeltaFile } from "../delta/part_reader.ts";
import type { StatusDelta } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError, CrpeError } from "../oci/error.ts";
import type { ImportStore } from "../store/blob_store.ts";
import { openEmptyIngest, writeBundleBlob } from "./write_bundle_blob.ts";

/** The layer of a delta, and where it goes. */
export interface RebuildJob {
  readonly delta: StatusDelta;
  /** Size of the layer in bytes. */
  readonly size: number;
  /** The repository that the layer is linked into. */
  readonly repository: string;
  /** Called with the number of bytes of the layer that were written; with 0 as a sign of life while a base is read. */
  readonly onBytes: (count: number) => void;
}

/** Whether a layer was rebuilt, was in the store already, or the store has no delta for it. */
type RebuildOutcome = "rebuilt" | "held" | "missing";

/**
 * Writes the delta of a bundle into a store, as a blob that no repository has, unless the store holds it or its layer.
 *
 * @param options.layerSize the size of the layer in bytes; a file of another size is not that layer
 * @throws {CorruptError} when it is not a delta for the layer: the site needs the full layer
 * @throws as `writeBundleBlob` does
 */
export async function receiveDelta(
  store: ImportStore,
  blob: BundleBlob,
  { layerSize, onBytes }: { readonly layerSize: number | undefined; readonly onBytes: (count: number) => void },
): Promise<void> {
  const { digest, size, delta } = blob;
  const held = await store.statBlob("", delta!.digest);
  const isHeld = held !== undefined && held === layerSize || await store.statBlob("", digest) === size;
  if (isHeld) return onBytes(size);
  await writeBundleBlob(store, blob, { onBytes });
  try {
    checkHeader(await readDeltaHeader(openDelta(store, digest, size)), { delta: delta!, size: layerSize });
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    // It was not in the store before, but another import may have begun to use it.
    await discardDelta(store, { delta: delta! });
    throw wrongDelta(delta!.digest, error.clause, error);
  }
}

function wrongDelta(layer: Digest, reason: string, cause: unknown): CorruptError {
  return new CorruptError(
    `the delta for the layer ${layer} does not rebuild it (${reason}); the site needs the full layer: ` +
      "pack it with --no-delta",
    { cause },
  );
}

/**
 * Rebuilds a layer from its delta, which the store holds, and from its bases. It is visible once its digest is verified;
 * then the delta is removed, as it is when it turns out to be wrong. If this is interrupted, the delta stays, and the next
 * import starts the layer over. While it is rebuilt already, as after a push whose connection was cut, that is joined.
 *
 * @throws {BaseError} when a base is missing or corrupt
 * @throws {CorruptError} when the delta is wrong: the site needs the full layer
 * @throws {NoSpaceError} when the disk is full
 */
export async function rebuildFromDelta(store: ImportStore, job: RebuildJob): Promise<RebuildOutcome> {
  const { delta: { digest, delta, size: deltaSize }, size, repository, onBytes } = job;
  const isDeltaHeld = await store.statBlob("", delta) === deltaSize;
  // A layer that nothing refers to may be removed from a shared store at any time, unless it is kept.
  const isHeld = await store.statBlob("", digest) === size && await store.keepBlob(repository, digest);
  if (isHeld) {
    if (isDeltaHeld) await discardDelta(store, job);
    onBytes(size);
    return "held";
  }
  if (!isDeltaHeld) return "missing";
  await rebuildsOf(store).join(store, job);
  await store.linkBlob(repository, digest);
  await discardDelta(store, job);
  return "rebuilt";
}

/** A rebuild in progress: what it has written, and who is told. */
interface RebuildProgress {
  bytes: number;
  readonly listeners: Set<RebuildJob["onBytes"]>;
}

/** The rebuilds in progress of one store. */
class RunningRebuilds {
  readonly #flights = new SingleFlight<void>();
  readonly #progress = new Map<string, RebuildProgress>();

  /** Rebuilds a layer, or waits until it is rebuilt, and reports the same progress. */
  async join(store: ImportStore, job: RebuildJob): Promise<void> {
    const { delta, size, onBytes } = job;
    // Another delta of the layer may be right where this one is wrong, and what another package declares of the same one.
    const key = JSON.stringify([delta, size]);
    const progress = this.#progress.get(key) ?? { bytes: 0, listeners: new Set() };
    this.#progress.set(key, progress);
    progress.listeners.add(onBytes);
    onBytes(progress.bytes);
    const report = (count: number) => {
      progress.bytes += count;
      for (const listener of progress.listeners) listener(count);
    };
    try {
      await this.#flights.run(key, () => rebuild(store, { ...job, onBytes: report }));
    } finally {
      if (this.#progress.get(key) === progress) this.#progress.delete(key);
    }
  }
}

const running = new WeakMap<ImportStore, RunningRebuilds>();

function rebuildsOf(store: ImportStore): RunningRebuilds {
  const known = running.get(store) ?? new RunningRebuilds();
  running.set(store, known);
  return known;
}

async function rebuild(store: ImportStore, job: RebuildJob): Promise<void> {
  const { delta: { digest, delta, size: deltaSize }, size, onBytes } = job;
  const file = openDelta(store, delta, deltaSize);
  try {
    const header = await readDeltaHeader(file);
    checkHeader(header, job);
    using bases = await store.openScratch();
    using compressed = header.copied && await store.openScratch();
    for (const base of header.bases) {
      const open = async () => (await store.openBlob("", base.digest))?.body;
      const input = { layer: { digest: base.digest, open }, scratch: bases, compressed };
      await inflateBase(base, input, { onBytes: () => onBytes(0) });
    }
    // The bytes of an interrupted rebuild save nothing: they would be made again to be compared.
    const ingest = await openEmptyIngest(store, digest);
    try {
      ingest.expectSize(size);
      const openScratch = store.openScratch.bind(store);
      for await (const piece of rebuildLayer(file, bases, { openScratch, compressed })) {
        await ingest.write(piece);
        onBytes(piece.length);
      }
    } catch (error) {
      await ingest.abort();
      throw error;
    }
    await ingest.commit();
  } catch (error) {
    const wrong = await explain(error, store);
    if (wrong === undefined) throw error;
    // Another package may declare it as it is.
    if (!(error instanceof UndeclaredError)) await discardDelta(store, job);
    throw wrongDelta(digest, wrong, error);
  }
}

// A package may name any blob as its delta, also one of another package. Only a file that says itself that it is a delta for
// the layer, or a damaged delta, is removed; everything else is left to garbage collection.
async function discardDelta(
  store: ImportStore,
  { delta: { digest, delta, size } }: Pick<RebuildJob, "delta">,
): Promise<void> {
  const file = openDelta(store, delta, size);
  if (!await beginsLikeDelta(file).catch(() => false)) return;
  const header = await readDeltaHeader(file).catch(() => undefined);
  if (header === undefined || header.target.digest === digest) await store.discardBlob(delta);
}

function openDelta(store: ImportStore, digest: Digest, size: number): DeltaFile {
  return {
    size,
    open: async (start, length) => {
      const opened = await store.openBlob("", digest, { start, end: start + length - 1 });
      if (opened === undefined) {
        throw new CrpeError(cannot(`read the delta ${digest}`, "it was removed; import it again"));
      }
      return opened.body;
    },
  };
}

// What the package declares was planned with: the bases that are present, and the disk space.
function checkHeader(
  header: DeltaHeader,
  { delta, size }: { readonly delta: StatusDelta; readonly size: number | undefined },
): void {
  const { target, bases } = header;
  const isDeclared = target.digest === delta.digest && target.size === (size ?? target.size) &&
    bases.length === delta.bases.length &&
    bases.every(({ digest, size }, i) => digest === delta.bases[i]!.digest && size === delta.bases[i]!.size) &&
    sizeOfScratch(header) === delta.plainSize && namesOfModels(header) === delta.model;
  if (!isDeclared) throw new UndeclaredError("its header is not what the package declares");
}

class UndeclaredError extends CorruptError {}

/** Why a delta is wrong; `undefined` if the error is not the delta's. */
async function explain(error: unknown, store: ImportStore): Promise<string | undefined> {
  if (error instanceof BaseError) {
    // The store moves a corrupt base aside. What is intact has the bytes that its digest says, so the delta lies.
    return await store.checkBlob(error.digest) === "intact" ? error.clause : undefined;
  }
  return error instanceof CorruptError || error instanceof DigestMismatchError ? error.clause : undefined;
}
