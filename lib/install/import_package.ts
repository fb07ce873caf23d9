import { type ImageGraph, rootDigest } from "../bundle/image_graph.ts";
import { describeBundle } from "../bundle/inspect_bundle.ts";
import type { BundleProgress } from "../bundle/pack_bundle.ts";
import type { BundleReader } from "../bundle/read_bundle.ts";
import { withImageDigests } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { type PackageId, packageIdOf } from "../kubepkg/package_id.ts";
import type { Digest } from "../oci/digest.ts";
import { RefusedError } from "../oci/error.ts";
import type { SignedDocument, TrustVerdict } from "../signature/trust_policy.ts";
import { formatReference } from "../oci/reference.ts";
import { type BlobCounts, BlobImporter } from "./blob_importer.ts";
import { holdsAll } from "./holds_all.ts";
import { PartImport, type PartState, type PendingStore } from "./import_part.ts";
import { writeImages } from "./package_images.ts";
import { withoutPart } from "./pending_packages.ts";
import { decideTrust, type SiteTrust, type TrustDecision } from "./trust.ts";
import {
  checkRelease,
  type ImportPlan,
  planImport,
  type PlanImportOptions,
  planManifests,
  type ReleaseComparison,
} from "./plan_import.ts";
import type { ImportStore } from "./write_bundle_blob.ts";

/** The document of a bundle with its signatures, as it is recorded. */
export interface SignedRelease extends SignedDocument {
  readonly firstKeys?: TrustDecision["firstKeys"];
}

/** The steps of an installation other than writing content into the store. */
export interface Installation {
  /** Returns the installed release of a package. Called for the plan, and again while the lock is held. */
  findInstalled?(id: PackageId): Promise<KubePkg | undefined>;
  /** Checks, before anything is written, that `finish` can succeed. */
  prepare?(): Promise<void>;
  /** Takes the installation lock, which is held from the first manifest until `finish` returns. */
  lock?(): Promise<AsyncDisposable>;
  /** Lists the other installed packages; see `writeImages`. */
  listOthers?(kubepkg: KubePkg): Promise<readonly KubePkg[]>;
  /** Reports whether `finish` is complete for an installed release. */
  isFinished?(kubepkg: KubePkg): Promise<boolean>;
  /**
   * Records the evidence of a trusted release, before anything of it is installed.
   *
   * @throws {UntrustedError} when something else than the signatures is against it
   */
  admit?(kubepkg: KubePkg, verdict: TrustVerdict, signed: SignedRelease): Promise<void>;
  /** Called before anything of the package is visible. If it throws, the package is not installed. */
  begin?(kubepkg: KubePkg, plan: ImportPlan): Promise<void>;
  /** Hands the package over, and records it. */
  finish?(kubepkg: KubePkg, plan: ImportPlan): Promise<void>;
}

/** Options of `importBundle` and `importPackages`. */
export interface ImportOptions extends Omit<PlanImportOptions, "statBlob" | "countBytes" | "isInPlace"> {
  /** Names the file in errors. */
  readonly what?: string | undefined;
  readonly installation?: Installation;
  /** The trusted keys of the site; without them signatures are not required. */
  readonly trust?: SiteTrust | undefined;
  /** The records of pending packages; without them parts are refused. */
  readonly pending?: PendingStore;
  /** Plans the import only; reads nothing but the first entry of the bundle. */
  readonly dryRun?: boolean;
  readonly onPlan?: (plan: ImportPlan) => void;
  /**
   * Called with the bytes of `kubepkg.json`, before anything is planned. If it throws, the bundle is refused.
   */
  readonly checkDocument?: ((document: Uint8Array) => Promise<void>) | undefined;
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
  readonly blobs: BlobCounts;
  /** Set if the file is one part of several. */
  readonly part?: PartState;
  /** The release of the bundle with the digests of its images filled in, as it is handed over and recorded. */
  readonly kubepkg: KubePkg;
}

/** The content that earlier packages of the same bundle bring. */
export interface PlannedContent {
  readonly digests: Set<Digest>;
  /** Their total size in bytes, as far as it has to be written. */
  bytes: number;
}

/** What the import of a package works with. */
export interface PackageImportContext {
  readonly bundle: BundleReader;
  readonly store: ImportStore;
  readonly options: ImportOptions;
  /** The document of the bundle, which lists the package. */
  readonly document: SignedDocument;
}

/** The import of one package of a bundle: its plan, and its installation once the content is in the store. */
export class PackageImport {
  /** The release, with the digests of its images filled in, and without `status.part`. */
  readonly kubepkg: KubePkg;
  /** Set if the bundle is one part of several. */
  readonly part: PartImport | undefined;
  readonly #bundle: BundleReader;
  readonly #store: ImportStore;
  readonly #options: ImportOptions;
  readonly #content: BlobImporter;
  readonly #document: SignedDocument;

  constructor(kubepkg: KubePkg, { bundle, store, options, document }: PackageImportContext) {
    this.#bundle = bundle;
    this.#store = store;
    this.#options = options;
    this.#document = document;
    // Earlier tools wrote the images' digests only into the status. Here they are filled in, as in an installed
    // release.
    const whole = withoutPart(kubepkg);
    this.kubepkg = withImageDigests(whole, (image) => rootDigest(whole, image, bundle.what));
    this.part = this.#createPart();
    this.#content = new BlobImporter(bundle, [this.kubepkg], { ...options, store, part: undefined });
  }

  /** Plans the import. @param planned the content of earlier packages, which is not counted again */
  async plan(planned: PlannedContent): Promise<ImportPlan> {
    const { freeBytes } = this.#options;
    const { verdict, refusal } = await this.#decideTrust();
    const own = new Map<Digest, number>();
    const found = await planImport(this.kubepkg, {
      ...this.#options,
      ...await this.#findInstalled(),
      statBlob: (digest) => this.#content.statHeld(digest),
      countBytes: async (digest, size) => {
        if (planned.digests.has(digest)) return 0;
        const bytes = await this.#countBytes(digest, size);
        if (bytes !== undefined) own.set(digest, bytes);
        return bytes;
      },
      ...(freeBytes === undefined ? {} : {
        freeBytes: async () => {
          const free = await freeBytes();
          return free === undefined ? undefined : Math.max(0, free - planned.bytes);
        },
      }),
      isInPlace: () => this.#isInPlace(),
    });
    const plan: ImportPlan = { ...found, trust: verdict, ...(refusal === undefined ? {} : { refusal }) };
    if (plan.refusal === undefined) {
      for (const [digest, bytes] of own) {
        planned.digests.add(digest);
        planned.bytes += bytes;
      }
    }
    if (this.part === undefined || plan.refusal instanceof RefusedError) return plan;
    try {
      await this.part.check();
      return plan;
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      return { ...plan, refusal: error };
    }
  }

  /**
   * Writes the manifests and tags, and finishes the installation. The caller holds the installation lock. Another release
   * may have been installed since the plan was made, so the version rule is checked again.
   *
   * @throws {RefusedError} when the version rule forbids the import now
   */
  async install(planned: ImportPlan, graphs: readonly ImageGraph[], counts: BlobCounts): Promise<ImportResult> {
    const { force, installation } = this.#options;
    await this.admit();
    const facts = { ...this.#options, ...await this.#findInstalled() };
    const comparison = checkRelease(this.kubepkg, facts);
    const isSame = comparison.verdict === "same" && !force;
    const { manifests, refusal } = await planManifests(this.kubepkg, facts);
    const plan = {
      ...planned,
      ...comparison,
      manifests,
      isRepair: isSame && (planned.isRepair || !await this.#isInPlace()),
    };
    if (isSame && !plan.isRepair) return this.result(plan, counts);
    if (refusal !== undefined) throw refusal;
    await installation?.begin?.(this.kubepkg, plan);
    const listOthers = async () => await installation?.listOthers?.(this.kubepkg) ?? [];
    await writeImages(this.#store, graphs, listOthers);
    await installation?.finish?.(this.kubepkg, plan);
    return this.result(plan, counts, graphs);
  }

  /** Applies the version rule to what is installed now. @throws {RefusedError} when it forbids the import */
  async checkRelease(): Promise<ReleaseComparison> {
    return checkRelease(this.kubepkg, { ...this.#options, ...await this.#findInstalled() });
  }

  /** Describes the import. @param graphs the images, if they were imported */
  result(plan: ImportPlan, counts: BlobCounts, graphs?: readonly ImageGraph[]): ImportResult {
    // When the package is installed, no part is missing, even if another bundle brought its content.
    const isComplete = graphs !== undefined || (plan.verdict === "same" && !plan.isRepair && !this.#options.force);
    return {
      plan,
      isImported: graphs !== undefined,
      images: graphs?.filter(({ subject }) => subject === undefined).map(describeImage) ?? this.#describeImages(),
      blobs: { ...counts },
      ...(this.part === undefined ? {} : { part: isComplete ? { ...this.part.state, missing: [] } : this.part.state }),
      kubepkg: this.kubepkg,
    };
  }

  #createPart(): PartImport | undefined {
    const { part, what } = this.#bundle;
    const { pending, force, installation } = this.#options;
    if (part === undefined) return undefined;
    if (pending === undefined) throw new Error(`Cannot import ${what}: parts of a bundle are not supported here`);
    return new PartImport(this.#bundle, this.kubepkg, {
      part,
      store: this.#store,
      pending,
      force,
      lock: async () => await installation?.lock?.() ?? { [Symbol.asyncDispose]: () => Promise.resolve() },
    });
  }

  /**
   * Decides again whether the release is trusted, because another first import may have recorded its keys since the plan was
   * made, and records the evidence. The caller holds the installation lock.
   *
   * @throws {UntrustedError} when it is not trusted
   */
  async admit(): Promise<void> {
    const { verdict, refusal, firstKeys } = await this.#decideTrust();
    if (refusal !== undefined) throw refusal;
    await this.#options.installation?.admit?.(this.kubepkg, verdict, { ...this.#document, firstKeys });
  }

  async #decideTrust(): Promise<TrustDecision> {
    return await decideTrust(this.kubepkg, this.#document, { trust: this.#options.trust, action: "import" });
  }

  async #countBytes(digest: Digest, size: number): Promise<number | undefined> {
    const bytes = this.part === undefined ? size : await this.part.countBytes(digest, size);
    if (bytes !== size) return bytes;
    return Math.max(0, size - (await this.#store.statIngest?.(digest) ?? 0));
  }

  async #findInstalled(): Promise<{ installed?: KubePkg }> {
    const installed = await this.#options.installation?.findInstalled?.(packageIdOf(this.kubepkg));
    return installed === undefined ? {} : { installed };
  }

  async #isInPlace(): Promise<boolean> {
    const release = { kubepkg: this.kubepkg, what: this.#bundle.what };
    return await holdsAll(release, this.#store, (digest) => this.#content.statHeld(digest)) &&
      (await this.#options.installation?.isFinished?.(this.kubepkg) ?? true);
  }

  #describeImages(): ImportedImage[] {
    return describeBundle(this.kubepkg).images.map(({ reference, digest, platforms }) => {
      return { reference, digest: digest as Digest, platforms };
    });
  }
}

function describeImage({ reference, digest, platforms }: ImageGraph): ImportedImage {
  return { reference: formatReference(reference), digest, platforms };
}
