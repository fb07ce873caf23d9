import { BundleManifests } from "../bundle/bundle_manifests.ts";
import { declaredDeltas, entrySizes } from "../bundle/declared_deltas.ts";
import { declaredSizes, declaredSizesOfAll } from "../bundle/declared_sizes.ts";
import { deltaEntryName } from "../bundle/entry_names.ts";
import type { ImageGraph } from "../bundle/image_graph.ts";
import { readPackageGraphs } from "../bundle/package_graphs.ts";
import type { BundleProgress } from "../bundle/bundle_progress.ts";
import type { BundleBlob, BundleReader } from "../bundle/read_bundle.ts";
import { readSmallBlob } from "../content/read_small_blob.ts";
import { BoundedTasks } from "../content/bounded_tasks.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { MAX_MANIFEST_BYTES } from "../oci/manifest.ts";
import type { ImportStore } from "../store/blob_store.ts";
import { refuseSpace } from "./import_plan.ts";
import type { PartImport } from "./import_part.ts";
import { rebuildFromDelta, receiveDelta } from "./rebuild_layers.ts";
import { missingError } from "./plan_blobs.ts";
import { repositoryFinder } from "./repository_finder.ts";
import { writeBundleBlob, writeBundleBytes } from "./write_bundle_blob.ts";

/** Options of a `BlobImporter`. */
interface BlobImporterOptions {
  readonly store: ImportStore;
  /** Set if the file is one part of several. */
  readonly part: PartImport | undefined;
  /** The free space in bytes; `undefined` if it is not known. */
  readonly freeBytes?: () => Promise<number | undefined>;
  readonly onProgress?: (progress: BundleProgress) => void;
}

const ANY_TYPE = "application/octet-stream";
/**
 * Largest blob that is read into memory and written beside others, in bytes. Such a blob is not resumed, because its
 * first bytes are not on the disk while the rest is on the way.
 */
const MAX_SMALL_BYTES = 64 * 1024;
/** A small blob costs the disk's time for syncing, not its bandwidth: several are synced in the time of one. */
const SMALL_BLOBS = { tasks: 32, cost: 32 * MAX_SMALL_BYTES };

/** Counts of blobs and manifests; those that the store already held are skipped. */
export interface BlobCounts {
  readonly written: number;
  readonly skipped: number;
  readonly bytesWritten: number;
}

/** Writes the blobs of a bundle into a store, in the bundle's order, and tracks which content of its packages it has. */
export class BlobImporter {
  /** Returns a repository of the packages that has a digest; see `repositoryFinder`. */
  readonly repositoryOf: (digest: Digest) => string;
  readonly #counts = { written: 0, skipped: 0, bytesWritten: 0 };
  readonly #written = new Set<Digest>();
  readonly #bundle: BundleReader;
  readonly #packages: readonly KubePkg[];
  /** What the packages declare, with sizes in bytes; of a bundle with one package, all that the bundle declares. */
  readonly #declared: ReadonlyMap<Digest, number> | undefined;
  readonly #store: ImportStore;
  readonly #part: PartImport | undefined;
  readonly #options: BlobImporterOptions;
  readonly #manifests: BundleManifests;
  readonly #inPlace = new Map<Digest, number>();
  readonly #total: number | undefined;
  readonly #writes = new BoundedTasks(SMALL_BLOBS);
  #done = 0;

  /** @param packages those of the bundle that are imported, with the digests of their images filled in; at least one */
  constructor(bundle: BundleReader, packages: readonly KubePkg[], options: BlobImporterOptions) {
    this.repositoryOf = repositoryFinder(packages, bundle.what);
    this.#bundle = bundle;
    this.#packages = packages;
    // Packages that declare nothing have no images, if others of the bundle declare theirs.
    this.#declared = bundle.declared && (declaredSizesOfAll(packages, bundle.what) ?? new Map());
    this.#store = options.store;
    this.#part = options.part;
    this.#options = options;
    this.#manifests = new BundleManifests(packages, bundle);
    this.#total = this.#bytesInFile();
  }

  /** Reads the bundle to its end and writes its blobs. Manifests are kept in memory. */
  async importAll(): Promise<void> {
    try {
      for (let blob = await this.#bundle.next(); blob !== undefined; blob = await this.#bundle.next()) {
        // Of a bundle with several packages, some may be refused. Their content is skipped.
        if (this.#declared?.has(blob.delta?.digest ?? blob.digest) ?? true) await this.#importBlob(blob);
      }
    } catch (error) {
      // The failure of a blob that was read earlier comes first: it names the blob that is broken.
      await this.#writes.finish();
      throw error;
    }
    await this.#writes.finish();
  }

  /** The counts for one of the packages. A blob that several need was written for the first of them. */
  countsOf(kubepkg: KubePkg): BlobCounts {
    if (this.#packages.length === 1) return { ...this.#counts };
    const own = declaredSizes(kubepkg) ?? new Map<Digest, number>();
    const users = this.#firstUsers();
    const written = [...own].filter(([digest]) => this.#written.has(digest) && users.get(digest) === kubepkg);
    const carried = [...own.keys()].filter((digest) => this.#inPlace.has(digest));
    return {
      written: written.length,
      skipped: carried.length - written.length,
      bytesWritten: written.reduce((sum, [, size]) => sum + size, 0),
    };
  }

  async #importBlob(blob: BundleBlob): Promise<void> {
    const { digest, size } = blob;
    const report = (bytes: number) => this.#report(bytes, blob.name);
    if (blob.start !== undefined) return await this.#importPiece(blob, report);
    if (blob.delta !== undefined) {
      const layerSize = this.#bundle.declared?.get(blob.delta.digest);
      return await receiveDelta(this.#store, blob, { layerSize, onBytes: report });
    }
    const isHeld = this.#inPlace.get(digest) === size || await this.#keepHeld(digest) === size;
    // A possible manifest is kept even if the store holds it, because the manifests tell which content an image has.
    const bytes = this.#manifests.mayBeManifest(blob) ? await this.#manifests.take(blob) : undefined;
    this.#inPlace.set(digest, size);
    if (isHeld) this.#counts.skipped++;
    else {
      if (this.#declared === undefined) await this.#checkSpace(size);
      this.#countWritten(digest, size);
      // A manifest is written only after all content that it names. Until then it stays in memory.
      if (bytes === undefined) await this.#writeBlob(blob, report);
      else if (this.#manifests.get(digest) === undefined) await this.#writeBytes(digest, bytes);
      // Another process may import the remaining parts, so the manifests of a part are stored as blobs.
      else if (this.#part !== undefined) await writeBundleBytes(this.#store, digest, bytes);
    }
    if (isHeld || bytes !== undefined) report(size);
  }

  async #checkSpace(size: number): Promise<void> {
    const refusal = refuseSpace(this.#packages[0]!, size, await this.#options.freeBytes?.());
    if (refusal !== undefined) throw refusal;
  }

  #report(bytes: number, entry: string): void {
    this.#done += bytes;
    const total = this.#total;
    this.#options.onProgress?.({ bytes: this.#done, total, entry });
  }

  async #writeBlob(blob: BundleBlob, onBytes: (bytes: number) => void): Promise<void> {
    const { digest, size } = blob;
    const repository = this.repositoryOf(digest);
    if (size > MAX_SMALL_BYTES) return await writeBundleBlob(this.#store, blob, { repository, onBytes });
    const bytes = (await blob.readAll(size)).slice();
    await this.#writes.start(size, async () => {
      await writeBundleBytes(this.#store, digest, bytes);
      await this.#store.linkBlob(repository, digest);
      onBytes(size);
    });
  }

  /** Rebuilds the layers that the packages have deltas for, after the bundle was read. */
  async rebuildLayers(): Promise<void> {
    // A package that has deltas declares its digests, although others of the bundle may not.
    const sizes = new Map(this.#packages.flatMap((kubepkg) => [...declaredSizes(kubepkg) ?? []]));
    for (const delta of declaredDeltas(this.#packages, this.#bundle.what).values()) {
      const { digest } = delta;
      if (this.#inPlace.has(digest)) continue;
      const size = sizes.get(digest)!;
      const onBytes = (bytes: number) => this.#report(bytes, deltaEntryName(digest));
      const job = { delta, size, repository: this.repositoryOf(digest), onBytes };
      const outcome = await rebuildFromDelta(this.#store, job);
      if (outcome === "missing") continue;
      this.#inPlace.set(digest, size);
      if (outcome === "rebuilt") this.#countWritten(digest, size);
      else this.#counts.skipped++;
    }
  }

  async #importPiece(blob: BundleBlob, report: (bytes: number) => void): Promise<void> {
    if (!await this.holds(blob.digest) && await this.#part?.writePiece(blob, report)) {
      this.#countWritten(blob.digest, blob.size);
    } else {
      this.#counts.skipped++;
      report(blob.size);
    }
  }

  #countWritten(digest: Digest, size: number): void {
    this.#counts.written++;
    this.#counts.bytesWritten += size;
    this.#written.add(digest);
  }

  #firstUsers(): Map<Digest, KubePkg> {
    const lines = this.#packages.flatMap((kubepkg) =>
      (kubepkg.status?.digests ?? []).map(({ digest }) => ({ digest, kubepkg }))
    );
    return new Map(lines.reverse().map(({ digest, kubepkg }) => [digest, kubepkg]));
  }

  async #writeBytes(digest: Digest, bytes: Uint8Array): Promise<void> {
    const descriptor = { mediaType: ANY_TYPE, digest, size: bytes.length };
    await this.#store.writeBlob(this.repositoryOf(digest), descriptor, new Blob([bytes.slice()]).stream());
  }

  /**
   * Checks that the store and the bundle together have all content of one of the packages.
   *
   * @returns the images of the package, with their manifests
   * @throws {IncompleteError} when content is missing
   * @throws {CorruptError} when a manifest is not valid
   */
  async checkComplete(kubepkg: KubePkg): Promise<ImageGraph[]> {
    const undelivered = await this.listMissing(kubepkg);
    if (undelivered.length > 0) throw missingError(kubepkg, undelivered);
    const { graphs, missing } = await readPackageGraphs(kubepkg, {
      what: this.#bundle.what,
      readManifest: (repository, digest) => this.#readManifest(repository, digest),
      statBlob: async (digest) => this.#inPlace.get(digest) ?? await this.#keepHeld(digest),
    });
    if (missing.length > 0) throw missingError(kubepkg, missing);
    return graphs;
  }

  /** Lists the declared content of a package that neither the bundle has brought nor the store holds. */
  async listMissing(kubepkg: KubePkg): Promise<Digest[]> {
    const missing: Digest[] = [];
    for (const [digest, size] of declaredSizes(kubepkg) ?? []) {
      if (!this.#inPlace.has(digest) && await this.statHeld(digest) !== size) missing.push(digest);
    }
    return missing;
  }

  /** Writes the blobs that looked like manifests, or were declared as such, but are layers of an image. */
  async writeNonManifests(graphs: readonly ImageGraph[]): Promise<void> {
    const used = new Set(graphs.flatMap(({ manifests }) => manifests.map(({ descriptor }) => descriptor.digest)));
    for (const [digest, bytes] of this.#manifests.list()) {
      if (!used.has(digest)) await this.#writeBytes(digest, bytes);
    }
  }

  // Only manifests that the package names are read from the store, which may hold some of an index's other platforms.
  async #readManifest(repository: string, digest: Digest): Promise<Uint8Array | undefined> {
    const bytes = this.#manifests.get(digest);
    if (bytes !== undefined) return bytes;
    if (!this.#manifests.isManifest(digest) && !this.#inPlace.has(digest)) return undefined;
    return await this.#store.readManifest(repository, digest) ??
      await readSmallBlob(this.#store, repository, { digest, limit: MAX_MANIFEST_BYTES });
  }

  /** Returns the size in bytes of a blob that the store holds; `undefined` if it does not. */
  async statHeld(digest: Digest): Promise<number | undefined> {
    return await this.#store.statBlob(this.repositoryOf(digest), digest);
  }

  // What an image of the package will refer to.
  async #keepHeld(digest: Digest): Promise<number | undefined> {
    const size = await this.statHeld(digest);
    if (size === undefined) return undefined;
    return await this.#store.keepBlob(this.repositoryOf(digest), digest) ? size : undefined;
  }

  /** Reports whether the store holds a blob with the size that the bundle declares; for a delta, it or its layer. */
  async holds(digest: Digest): Promise<boolean> {
    const delta = this.#bundle.deltasByDigest.get(digest);
    if (delta === undefined) return await this.statHeld(digest) === this.#bundle.declared?.get(digest);
    return await this.#store.statBlob("", digest) === delta.size || await this.holds(delta.digest);
  }

  #bytesInFile(): number | undefined {
    const { part } = this.#bundle;
    const declared = this.#declared;
    if (declared === undefined) return undefined;
    if (part !== undefined) {
      const sizes = entrySizes(declared, this.#bundle.deltas);
      return part.carries.reduce((sum, { digest, length }) => sum + (length ?? sizes.get(digest) ?? 0), 0);
    }
    const omitted = new Set(this.#packages.flatMap(({ status }) => status?.omitted ?? []));
    let sum = 0;
    for (const [digest, size] of declared) sum += omitted.has(digest) ? 0 : size;
    // A delta is received, and its layer is written.
    for (const { size } of declaredDeltas(this.#packages).values()) sum += size;
    return sum;
  }
}
