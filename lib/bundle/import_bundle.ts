import { DigestMismatchError } from "../content/verify.ts";
import { imagesOf, type KubePkg, withImageDigests } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { MAX_MANIFEST_BYTES } from "../oci/manifest.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import { BundleManifests } from "./bundle_manifests.ts";
import type { BundleSource } from "./byte_reader.ts";
import { isContentInPlace } from "./content_in_place.ts";
import { type ImageGraph, readImageGraphs, rootDigest } from "./image_graph.ts";
import { describeBundle } from "./inspect_bundle.ts";
import type { BundleProgress } from "./pack_bundle.ts";
import {
  checkSpace,
  type ImportPlan,
  judgeImport,
  missingError,
  planImport,
  type PlanImportOptions,
} from "./plan_import.ts";
import { type BundleBlob, type BundleReader, readBundle } from "./read_bundle.ts";
import { readSmallBlob } from "./read_small_blob.ts";
import { type ImportStore, writeBundleBlob } from "./write_bundle_blob.ts";

/** What an installation is besides the content of the store. */
export interface Installation {
  /** What is installed under a name. It is asked twice: at first, and by whom has the lock. */
  findInstalled?(name: string): Promise<KubePkg | undefined>;
  /** Sees to it, before anything is written, that `finish` will be able to do its work. */
  prepare?(): Promise<void>;
  /** Keeps others who install out, from the first manifest until `finish` is done. */
  lock?(): Promise<Disposable>;
  /** Whether what `finish` does is done for a package that is installed. */
  isFinished?(kubepkg: KubePkg): Promise<boolean>;
  /** Hands the package over and records it. */
  finish?(kubepkg: KubePkg, plan: ImportPlan): Promise<void>;
}

/** How a bundle is imported. */
export interface ImportOptions extends Omit<PlanImportOptions, "statBlob" | "isInPlace"> {
  /** Names the file in errors. */
  readonly what?: string | undefined;
  readonly installation?: Installation;
  /** Only says what would happen; reads the first entry alone. */
  readonly dryRun?: boolean;
  readonly onPlan?: (plan: ImportPlan) => void;
  /** Called when all of the bundle was read, before anything of it can be seen; what it throws refuses the bundle. */
  readonly onRead?: (() => Promise<void>) | undefined;
  readonly onProgress?: (progress: BundleProgress) => void;
}

/** An image of a bundle. */
export interface ImportedImage {
  readonly reference: string;
  readonly digest: Digest;
  readonly platforms: readonly string[];
}

/** What an import did. */
export interface ImportResult {
  readonly plan: ImportPlan;
  /** False: it was a dry run, or there was nothing to do. */
  readonly isImported: boolean;
  readonly images: readonly ImportedImage[];
  /** Blobs and manifests; those that the store held already are skipped. */
  readonly blobs: { readonly written: number; readonly skipped: number; readonly bytesWritten: number };
  /** The package as the bundle has it, the digests of its images filled in: what is handed over and recorded. */
  readonly kubepkg: KubePkg;
}

const ANY_TYPE = "application/octet-stream";

/**
 * Brings a bundle's content into a store: blobs as they come, then, when all that the package needs is in place, the
 * manifests, the tags, and last what the installation does. Whatever goes wrong before that changes nothing that can be
 * seen, and doing it again skips the blobs that are in place. Of what is installed already only what is gone is brought.
 *
 * @throws {CorruptError} when the bundle is broken or content is not what its name says
 * @throws {RefusedError} when the version rule forbids it
 * @throws {IncompleteError} when content is missing
 * @throws {NoSpaceError} when it does not fit
 */
export async function importBundle(
  source: BundleSource,
  store: ImportStore,
  options: ImportOptions = {},
): Promise<ImportResult> {
  const { what } = options;
  const bundle = await readBundle(source, { what });
  try {
    return await new BundleImport(bundle, store, options).run();
  } catch (error) {
    if (!(error instanceof DigestMismatchError)) throw error;
    const { metadata: { name }, spec: { version } } = bundle.kubepkg;
    const from = what === undefined ? "" : ` from ${what}`;
    throw new CorruptError(`Cannot import ${name}@${version}${from}: ${error.message}`, { cause: error });
  } finally {
    await bundle.cancel();
  }
}

class BundleImport {
  readonly #bundle: BundleReader;
  readonly #kubepkg: KubePkg;
  readonly #store: ImportStore;
  readonly #options: ImportOptions;
  readonly #repositories: ReadonlyMap<Digest, string>;
  readonly #manifests: BundleManifests;
  readonly #inPlace = new Map<Digest, number>();
  readonly #counts = { written: 0, skipped: 0, bytesWritten: 0 };
  #done = 0;
  #total: number | undefined;

  constructor(bundle: BundleReader, store: ImportStore, options: ImportOptions) {
    this.#bundle = bundle;
    this.#store = store;
    this.#options = options;
    // Earlier tools left the images' digests to the status; what is installed and compared has them in their place.
    this.#kubepkg = withImageDigests(bundle.kubepkg, (image) => rootDigest(bundle.kubepkg, image, bundle.what));
    this.#manifests = new BundleManifests(this.#kubepkg, bundle);
    const images = imagesOf(this.#kubepkg);
    const lines = this.#kubepkg.status?.digests ?? [];
    const ours = new Set(images.map(({ reference }) => repositoryOf(reference)));
    this.#repositories = new Map(lines.filter(({ name }) => ours.has(name)).map(({ digest, name }) => [digest, name]));
  }

  async run(): Promise<ImportResult> {
    const { force, dryRun, onPlan, installation } = this.#options;
    const plan = await planImport(this.#kubepkg, {
      ...this.#options,
      ...await this.#findInstalled(),
      statBlob: (digest) => this.#statHeld(digest),
      isInPlace: () => this.#isInPlace(),
    });
    onPlan?.(plan);
    if (dryRun || (plan.verdict === "same" && !plan.isRepair && !force)) return this.#result(plan);

    await installation?.prepare?.();
    this.#total = this.#bytesInFile();
    for (let blob = await this.#bundle.next(); blob !== undefined; blob = await this.#bundle.next()) {
      await this.#take(blob);
    }
    await this.#options.onRead?.();
    const graphs = await this.#checkComplete();
    await this.#writeLeftOver(graphs);
    using _lock = await installation?.lock?.();
    return await this.#install(plan, graphs);
  }

  // What is installed now need not be what was when the blobs began to come.
  async #install(planned: ImportPlan, graphs: readonly ImageGraph[]): Promise<ImportResult> {
    const { force, installation } = this.#options;
    const judged = judgeImport(this.#kubepkg, { ...this.#options, ...await this.#findInstalled() });
    const isSame = judged.verdict === "same" && !force;
    const plan = { ...planned, ...judged, isRepair: isSame && (planned.isRepair || !await this.#isInPlace()) };
    if (isSame && !plan.isRepair) return this.#result(plan);
    for (const { repository, manifests } of graphs) {
      for (const { descriptor, bytes } of manifests) await this.#store.writeManifest(repository, descriptor, bytes);
    }
    for (const { reference, repository, digest } of graphs) {
      if (reference.tag !== undefined) await this.#store.tag(repository, reference.tag, digest);
    }
    await installation?.finish?.(this.#kubepkg, plan);
    return this.#result(plan, graphs);
  }

  async #findInstalled(): Promise<{ installed?: KubePkg }> {
    const installed = await this.#options.installation?.findInstalled?.(this.#kubepkg.metadata.name);
    return installed === undefined ? {} : { installed };
  }

  async #isInPlace(): Promise<boolean> {
    return await isContentInPlace(this.#bundle, this.#store, (digest) => this.#statHeld(digest)) &&
      (await this.#options.installation?.isFinished?.(this.#kubepkg) ?? true);
  }

  #result(plan: ImportPlan, graphs?: readonly ImageGraph[]): ImportResult {
    return {
      plan,
      isImported: graphs !== undefined,
      images: graphs?.map(describeImage) ?? this.#describeImages(),
      blobs: { ...this.#counts },
      kubepkg: this.#kubepkg,
    };
  }

  #describeImages(): ImportedImage[] {
    return describeBundle(this.#kubepkg).images.map(({ reference, digest, platforms }) => {
      return { reference, digest: digest as Digest, platforms };
    });
  }

  async #take(blob: BundleBlob): Promise<void> {
    const { digest, size } = blob;
    const report = (bytes: number) => {
      this.#done += bytes;
      this.#options.onProgress?.({
        bytes: this.#done,
        ...(this.#total === undefined ? {} : { total: this.#total }),
        entry: blob.name,
      });
    };
    const isHeld = await this.#statHeld(digest) === size;
    // What may be a manifest is kept even if the store has it: it is needed to know what the image consists of.
    const bytes = this.#manifests.mayBeManifest(blob) ? await this.#manifests.take(blob) : undefined;
    this.#inPlace.set(digest, size);
    if (isHeld) this.#counts.skipped++;
    else {
      if (this.#bundle.declared === undefined) await checkSpace(this.#kubepkg, size, this.#options);
      this.#counts.written++;
      this.#counts.bytesWritten += size;
      // A manifest is written when all it names is in place; until then nothing has to hold it.
      if (bytes === undefined) {
        await writeBundleBlob(this.#store, blob, { repository: this.#repositoryOf(digest), onBytes: report });
      } else if (this.#manifests.get(digest) === undefined) await this.#writeBytes(digest, bytes);
    }
    if (isHeld || bytes !== undefined) report(size);
  }

  async #writeBytes(digest: Digest, bytes: Uint8Array): Promise<void> {
    const descriptor = { mediaType: ANY_TYPE, digest, size: bytes.length };
    await this.#store.writeBlob(this.#repositoryOf(digest), descriptor, new Blob([bytes.slice()]).stream());
  }

  async #checkComplete(): Promise<ImageGraph[]> {
    const [kubepkg, { declared }] = [this.#kubepkg, this.#bundle];
    const lacking: Digest[] = [];
    for (const [digest, size] of declared ?? []) {
      if (!this.#inPlace.has(digest) && await this.#statHeld(digest) !== size) lacking.push(digest);
    }
    if (lacking.length > 0) throw missingError(kubepkg, lacking);
    const { graphs, missing } = await readImageGraphs(kubepkg, {
      what: this.#bundle.what,
      readManifest: (repository, digest) => this.#readManifest(repository, digest),
      statBlob: async (digest) => this.#inPlace.get(digest) ?? await this.#statHeld(digest),
    });
    if (missing.length > 0) throw missingError(kubepkg, missing);
    return graphs;
  }

  // What looked like a manifest, or was said to be one, but is a layer of an image.
  async #writeLeftOver(graphs: readonly ImageGraph[]): Promise<void> {
    const used = new Set(graphs.flatMap(({ manifests }) => manifests.map(({ descriptor }) => descriptor.digest)));
    for (const [digest, bytes] of this.#manifests.list()) {
      if (!used.has(digest)) await this.#writeBytes(digest, bytes);
    }
  }

  // Only what the package names is taken from the store: it may have a part of an index's other platforms.
  async #readManifest(repository: string, digest: Digest): Promise<Uint8Array | undefined> {
    const bytes = this.#manifests.get(digest);
    if (bytes !== undefined) return bytes;
    if (!this.#manifests.isManifest(digest) && !this.#inPlace.has(digest)) return undefined;
    return await this.#store.readManifest(repository, digest) ??
      await readSmallBlob(this.#store, repository, { digest, limit: MAX_MANIFEST_BYTES });
  }

  async #statHeld(digest: Digest): Promise<number | undefined> {
    return await this.#store.statBlob(this.#repositoryOf(digest), digest);
  }

  #repositoryOf(digest: Digest): string {
    const repository = this.#repositories.get(digest);
    if (repository !== undefined) return repository;
    const [image] = imagesOf(this.#kubepkg);
    if (image === undefined) throw new CorruptError(`Cannot use ${this.#bundle.what}: it has ${digest}, but no images`);
    return repositoryOf(image.reference);
  }

  #bytesInFile(): number | undefined {
    if (this.#bundle.declared === undefined) return undefined;
    const omitted = new Set(this.#kubepkg.status?.omitted ?? []);
    let sum = 0;
    for (const [digest, size] of this.#bundle.declared) sum += omitted.has(digest) ? 0 : size;
    return sum;
  }
}

function describeImage({ reference, digest, platforms }: ImageGraph): ImportedImage {
  return { reference: formatReference(reference), digest, platforms };
}
