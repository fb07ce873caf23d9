import { type ImageGraph, rootDigest } from "../bundle/image_graph.ts";
import { describeBundle } from "../bundle/inspect_bundle.ts";
import type { BundleProgress } from "../bundle/pack_bundle.ts";
import { type BundleReader, readBundle } from "../bundle/read_bundle.ts";
import type { BundleSource } from "../bytes/byte_reader.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import { withImageDigests } from "../kubepkg/images_of.ts";
import type { KubePkg, PackagePart } from "../kubepkg/kubepkg.ts";
import { formatRelease, type PackageId, packageIdOf } from "../kubepkg/package_id.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError, RefusedError } from "../oci/error.ts";
import { formatReference } from "../oci/reference.ts";
import { BlobImporter, holdsAll } from "./blob_importer.ts";
import { PartImport, type PartState, type PendingStore } from "./import_part.ts";
import { writeImages } from "./package_images.ts";
import { withoutPart } from "./pending_packages.ts";
import {
  checkRelease,
  type ImportPlan,
  planImport,
  type PlanImportOptions,
  planManifests,
  type ReleaseComparison,
} from "./plan_import.ts";
import type { ImportStore } from "./write_bundle_blob.ts";

/** The steps of an installation other than writing content into the store. */
export interface Installation {
  /** Returns the installed release of a package. Called for the plan, and again while the lock is held. */
  findInstalled?(id: PackageId): Promise<KubePkg | undefined>;
  /** Checks, before anything is written, that `finish` can succeed. */
  prepare?(): Promise<void>;
  /** Takes the installation lock, which is held from the first manifest until `finish` returns. */
  lock?(): Promise<Disposable>;
  /** Reports whether `finish` is complete for an installed release. */
  isFinished?(kubepkg: KubePkg): Promise<boolean>;
  /** Hands the package over, and records it. */
  finish?(kubepkg: KubePkg, plan: ImportPlan): Promise<void>;
}

/** Options of `importBundle`. */
export interface ImportOptions extends Omit<PlanImportOptions, "statBlob" | "countBytes" | "isInPlace"> {
  /** Names the file in errors. */
  readonly what?: string | undefined;
  readonly installation?: Installation;
  /** The records of pending packages; without them parts are refused. */
  readonly pending?: PendingStore;
  /** Plans the import only; reads nothing but the first entry of the bundle. */
  readonly dryRun?: boolean;
  readonly onPlan?: (plan: ImportPlan) => void;
  /**
   * Called after the bundle was read to its end, before anything of it is visible. If it throws, the bundle is refused.
   */
  readonly onRead?: (() => Promise<void>) | undefined;
  readonly onProgress?: (progress: BundleProgress) => void;
}

/** An image of a bundle. */
export interface ImportedImage {
  readonly reference: string;
  readonly digest: Digest;
  readonly platforms: readonly string[];
}

/** The result of an import. */
export interface ImportResult {
  readonly plan: ImportPlan;
  /** False if it was a dry run, if there was nothing to do, or if other parts are missing. */
  readonly isImported: boolean;
  readonly images: readonly ImportedImage[];
  /** Counts of blobs and manifests; those that the store already held are skipped. */
  readonly blobs: { readonly written: number; readonly skipped: number; readonly bytesWritten: number };
  /** Set if the file is one part of several. */
  readonly part?: PartState;
  /** The release of the bundle with the digests of its images filled in, as it is handed over and recorded. */
  readonly kubepkg: KubePkg;
}

/**
 * Imports a bundle's content into a store. Blobs are written in the order of the bundle. When all content that the
 * package needs is in the store, the manifests and the tags are written, and then the installation is finished. A
 * failure before that changes nothing visible, and a retry skips the content that was written.
 *
 * One part of several writes only its own content; the part that completes the content finishes the installation. If
 * the same release is already installed, only its missing content is restored.
 *
 * @throws {CorruptError} when the bundle is damaged, or content does not match its digest
 * @throws {RefusedError} when the version rule forbids the import
 * @throws {IncompleteError} when content is missing
 * @throws {NoSpaceError} when there is not enough space
 * @throws {StalePartialError} when a partial file of an earlier import was wrong; it is deleted, and a retry starts
 *   over
 */
export async function importBundle(
  source: BundleSource,
  store: ImportStore,
  options: ImportOptions = {},
): Promise<ImportResult> {
  const { what } = options;
  const bundle = await readBundle(source, { what });
  let work: BundleImport | undefined;
  try {
    work = new BundleImport(bundle, store, options);
    return await work.run();
  } catch (error) {
    if (!(error instanceof DigestMismatchError)) throw error;
    const from = what === undefined ? "" : ` from ${what}`;
    throw new CorruptError(`Cannot import ${formatRelease(bundle.kubepkg)}${from}: ${error.message}`, { cause: error });
  } finally {
    await work?.close();
    await bundle.cancel();
  }
}

class BundleImport {
  readonly #bundle: BundleReader;
  readonly #kubepkg: KubePkg;
  readonly #store: ImportStore;
  readonly #options: ImportOptions;
  readonly #part: PartImport | undefined;
  readonly #content: BlobImporter;

  constructor(bundle: BundleReader, store: ImportStore, options: ImportOptions) {
    this.#bundle = bundle;
    this.#store = store;
    this.#options = options;
    // Earlier tools wrote the images' digests only into the status. Here they are filled in, as in an installed
    // release.
    const whole = withoutPart(bundle.kubepkg);
    this.#kubepkg = withImageDigests(whole, (image) => rootDigest(whole, image, bundle.what));
    this.#part = this.#createPart();
    this.#content = new BlobImporter(bundle, this.#kubepkg, { ...options, store, part: this.#part });
  }

  async run(): Promise<ImportResult> {
    const { force, dryRun, onPlan, installation } = this.#options;
    const plan = await this.#plan();
    onPlan?.(plan);
    if (dryRun) return this.#result(plan);
    if (plan.refusal !== undefined) throw plan.refusal;
    if (plan.verdict === "same" && !plan.isRepair && !force) return this.#result(plan);

    await installation?.prepare?.();
    const content = this.#content;
    const isHeld = async (digest: Digest) => await content.statHeld(digest) === this.#bundle.declared?.get(digest);
    await this.#part?.begin(isHeld);
    await content.importAll();
    await this.#options.onRead?.();
    using _lockOfPart = this.#part && await installation?.lock?.();
    // A higher version may have been installed meanwhile, so the version rule is checked before the part is recorded.
    if (this.#part !== undefined) await this.#checkRelease();
    await this.#part?.finish(isHeld, async (digest) => {
      await this.#store.linkBlob?.(content.repositoryOf(digest), digest);
    });
    if (this.#part !== undefined && this.#part.state.count > 1 && (await content.listMissing()).length > 0) {
      await this.#part.keepPending();
      return this.#result(plan);
    }
    const graphs = await content.checkComplete();
    await content.writeNonManifests(graphs);
    using _lock = this.#part === undefined ? await installation?.lock?.() : undefined;
    return await this.#install(plan, graphs);
  }

  /** Closes what the import has opened, after success and after failure. */
  async close(): Promise<void> {
    await this.#part?.close();
  }

  async #plan(): Promise<ImportPlan> {
    const plan = await planImport(this.#kubepkg, {
      ...this.#options,
      ...await this.#findInstalled(),
      statBlob: (digest) => this.#content.statHeld(digest),
      countBytes: (digest, size) => this.#countBytes(digest, size),
      isInPlace: () => this.#isInPlace(),
    });
    if (this.#part === undefined || plan.refusal instanceof RefusedError) return plan;
    try {
      await this.#part.check();
      return plan;
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      return { ...plan, refusal: error };
    }
  }

  #createPart(): PartImport | undefined {
    const { part, what } = this.#bundle;
    const { pending, force, installation } = this.#options;
    if (part === undefined) return undefined;
    if (pending === undefined) throw new Error(`Cannot import ${what}: parts of a bundle are not supported here`);
    return new PartImport(this.#bundle as BundleReader & { part: PackagePart }, this.#kubepkg, {
      store: this.#store,
      pending,
      force,
      lock: async () => await installation?.lock?.() ?? { [Symbol.dispose]() {} },
    });
  }

  async #countBytes(digest: Digest, size: number): Promise<number | undefined> {
    const bytes = this.#part === undefined ? size : await this.#part.countBytes(digest, size);
    if (bytes !== size) return bytes;
    return Math.max(0, size - (await this.#store.statIngest?.(digest) ?? 0));
  }

  // Another release may have been installed since the plan was made, so the version rule is checked again.
  async #install(planned: ImportPlan, graphs: readonly ImageGraph[]): Promise<ImportResult> {
    const { force, installation } = this.#options;
    const comparison = await this.#checkRelease();
    const isSame = comparison.verdict === "same" && !force;
    const { manifests } = await planManifests(this.#kubepkg, { ...this.#options, ...await this.#findInstalled() });
    const plan = {
      ...planned,
      ...comparison,
      manifests,
      isRepair: isSame && (planned.isRepair || !await this.#isInPlace()),
    };
    if (isSame && !plan.isRepair) return this.#result(plan);
    await writeImages(this.#store, graphs);
    await installation?.finish?.(this.#kubepkg, plan);
    return this.#result(plan, graphs);
  }

  async #checkRelease(): Promise<ReleaseComparison> {
    return checkRelease(this.#kubepkg, { ...this.#options, ...await this.#findInstalled() });
  }

  async #findInstalled(): Promise<{ installed?: KubePkg }> {
    const installed = await this.#options.installation?.findInstalled?.(packageIdOf(this.#kubepkg));
    return installed === undefined ? {} : { installed };
  }

  async #isInPlace(): Promise<boolean> {
    return await holdsAll(this.#bundle, this.#store, (digest) => this.#content.statHeld(digest)) &&
      (await this.#options.installation?.isFinished?.(this.#kubepkg) ?? true);
  }

  #result(plan: ImportPlan, graphs?: readonly ImageGraph[]): ImportResult {
    // When the package is installed, no part is missing, even if another bundle brought its content.
    const isComplete = graphs !== undefined || (plan.verdict === "same" && !plan.isRepair && !this.#options.force);
    return {
      plan,
      isImported: graphs !== undefined,
      images: graphs?.map(describeImage) ?? this.#describeImages(),
      blobs: { ...this.#content.counts },
      ...(this.#part === undefined
        ? {}
        : { part: isComplete ? { ...this.#part.state, missing: [] } : this.#part.state }),
      kubepkg: this.#kubepkg,
    };
  }

  #describeImages(): ImportedImage[] {
    return describeBundle(this.#kubepkg).images.map(({ reference, digest, platforms }) => {
      return { reference, digest: digest as Digest, platforms };
    });
  }
}

function describeImage({ reference, digest, platforms }: ImageGraph): ImportedImage {
  return { reference: formatReference(reference), digest, platforms };
}
