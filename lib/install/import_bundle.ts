import { type ImageGraph, rootDigest } from "../bundle/image_graph.ts";
import { describeBundle } from "../bundle/inspect_bundle.ts";
import type { BundleProgress } from "../bundle/pack_bundle.ts";
import { type BundleReader, readBundle } from "../bundle/read_bundle.ts";
import type { BundleSource } from "../bytes/byte_reader.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import { withImageDigests } from "../kubepkg/images_of.ts";
import type { KubePkg, PackagePart } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError, RefusedError } from "../oci/error.ts";
import { formatReference } from "../oci/reference.ts";
import { BlobImporter, holdsAll } from "./blob_importer.ts";
import { PartImport, type PartState, type PendingNotes } from "./import_part.ts";
import { writeImages } from "./package_images.ts";
import { withoutPart } from "./pending_packages.ts";
import { type ImportPlan, judgeImport, planImport, type PlanImportOptions } from "./plan_import.ts";
import type { ImportStore } from "./write_bundle_blob.ts";

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
export interface ImportOptions extends Omit<PlanImportOptions, "statBlob" | "countBytes" | "isInPlace"> {
  /** Names the file in errors. */
  readonly what?: string | undefined;
  readonly installation?: Installation;
  /** Where it is noted what has come of a package; without it parts are refused. */
  readonly pending?: PendingNotes;
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
  /** False: it was a dry run, there was nothing to do, or other parts are missing. */
  readonly isImported: boolean;
  readonly images: readonly ImportedImage[];
  /** Blobs and manifests; those that the store held already are skipped. */
  readonly blobs: { readonly written: number; readonly skipped: number; readonly bytesWritten: number };
  /** Set where the file is one part of several. */
  readonly part?: PartState;
  /** The package as the bundle has it, the digests of its images filled in: what is handed over and recorded. */
  readonly kubepkg: KubePkg;
}

/**
 * Brings a bundle's content into a store: blobs as they come, then, when all that the package needs is in place, the
 * manifests, the tags, and last what the installation does. Whatever goes wrong before that changes nothing that can be
 * seen, and doing it again skips what is in place. A part of several brings its own, and the last one does the rest. Of what is installed already only what is gone is brought.
 *
 * @throws {CorruptError} when the bundle is broken or content is not what its name says
 * @throws {RefusedError} when the version rule forbids it
 * @throws {IncompleteError} when content is missing
 * @throws {NoSpaceError} when it does not fit
 * @throws {StalePartialError} when an earlier try had left something wrong, which is gone now: the same again begins anew
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
    const { metadata: { name }, spec: { version } } = bundle.kubepkg;
    const from = what === undefined ? "" : ` from ${what}`;
    throw new CorruptError(`Cannot import ${name}@${version}${from}: ${error.message}`, { cause: error });
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
    // Earlier tools left the images' digests to the status; what is installed and compared has them in their place.
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
    await content.takeAll();
    await this.#options.onRead?.();
    using _lockOfPart = this.#part && await installation?.lock?.();
    // Before it is noted that it came: a higher version may have been installed meanwhile.
    if (this.#part !== undefined) await this.#judge();
    await this.#part?.finish(isHeld, async (digest) => {
      await this.#store.linkBlob?.(content.repositoryOf(digest), digest);
    });
    if (this.#part !== undefined && this.#part.state.count > 1 && (await content.listLacking()).length > 0) {
      await this.#part.wait();
      return this.#result(plan);
    }
    const graphs = await content.checkComplete();
    await content.writeLeftOver(graphs);
    using _lock = this.#part === undefined ? await installation?.lock?.() : undefined;
    return await this.#install(plan, graphs);
  }

  /** Ends the work, however it went. */
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
      await this.#part.judge();
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
    if (pending === undefined) throw new Error(`Cannot import ${what}: parts cannot be imported here`);
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

  // What is installed now need not be what was when the blobs began to come.
  async #install(planned: ImportPlan, graphs: readonly ImageGraph[]): Promise<ImportResult> {
    const { force, installation } = this.#options;
    const judged = await this.#judge();
    const isSame = judged.verdict === "same" && !force;
    const plan = { ...planned, ...judged, isRepair: isSame && (planned.isRepair || !await this.#isInPlace()) };
    if (isSame && !plan.isRepair) return this.#result(plan);
    await writeImages(this.#store, graphs);
    await installation?.finish?.(this.#kubepkg, plan);
    return this.#result(plan, graphs);
  }

  async #judge(): Promise<ReturnType<typeof judgeImport>> {
    return judgeImport(this.#kubepkg, { ...this.#options, ...await this.#findInstalled() });
  }

  async #findInstalled(): Promise<{ installed?: KubePkg }> {
    const installed = await this.#options.installation?.findInstalled?.(this.#kubepkg.metadata.name);
    return installed === undefined ? {} : { installed };
  }

  async #isInPlace(): Promise<boolean> {
    return await holdsAll(this.#bundle, this.#store, (digest) => this.#content.statHeld(digest)) &&
      (await this.#options.installation?.isFinished?.(this.#kubepkg) ?? true);
  }

  #result(plan: ImportPlan, graphs?: readonly ImageGraph[]): ImportResult {
    // Nothing is waited for where all is there, whichever way it came.
    const isThere = graphs !== undefined || (plan.verdict === "same" && !plan.isRepair && !this.#options.force);
    return {
      plan,
      isImported: graphs !== undefined,
      images: graphs?.map(describeImage) ?? this.#describeImages(),
      blobs: { ...this.#content.counts },
      ...(this.#part === undefined ? {} : { part: isThere ? { ...this.#part.state, missing: [] } : this.#part.state }),
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
