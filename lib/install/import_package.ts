import { type ImageGraph, rootDigest } from "../bundle/image_graph.ts";
import { describeBundle } from "../bundle/inspect_bundle.ts";
import { imagesOf, withImageDigests } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { packageIdOf } from "../kubepkg/package_id.ts";
import { referrersOf } from "../kubepkg/referrers_of.ts";
import { compareRelease, type ReleaseComparison } from "../kubepkg/version.ts";
import type { Digest } from "../oci/digest.ts";
import { type CrpeError, RefusedError } from "../oci/error.ts";
import { formatReference } from "../oci/reference.ts";
import type { SignedDocument } from "../signature/trust_policy.ts";
import type { BlobCounts } from "./blob_importer.ts";
import { describeDiscardedParts } from "./discarded_parts.ts";
import { holdsAll } from "./holds_all.ts";
import type { PartImport } from "./import_part.ts";
import { type ImportPlan, refuseSpace, refuseVersion } from "./import_plan.ts";
import type { Installation, InstallOptions } from "./installation.ts";
import type { ImportedImage, InstallResult } from "./install_result.ts";
import { writeImages } from "./package_images.ts";
import { withoutPart } from "./pending_packages.ts";
import { missingError, planBlobs, type PlannedBlobs } from "./plan_blobs.ts";
import { listOtherPackages } from "./read_other_packages.ts";
import { absentIfBroken } from "./records/record_file.ts";
import { repositoryFinder } from "./repository_finder.ts";
import { describeMovedTags, giveBackTags } from "./shared_tags.ts";

/** The content that earlier packages of the same bundle bring. */
export interface PlannedContent {
  readonly digests: Set<Digest>;
  /** Their total size in bytes, as far as it has to be written. */
  bytes: number;
}

/** What the import of a package works with. */
interface PackageImportContext {
  readonly options: InstallOptions;
  readonly installation: Installation;
  /** The document of the bundle, which lists the package. */
  readonly document: SignedDocument;
  /** Names the bundle in errors. */
  readonly what: string;
  /** Set if the bundle is one part of several. */
  readonly part?: PartImport | undefined;
}

const NO_COUNTS: BlobCounts = { written: 0, skipped: 0, bytesWritten: 0 };

/**
 * Returns the release of a bundle as it is installed: without `status.part`, and with the digests of its images filled in,
 * which earlier tools wrote only into the status.
 */
export function installableRelease(kubepkg: KubePkg, what: string): KubePkg {
  const whole = withoutPart(kubepkg);
  return withImageDigests(whole, (image) => rootDigest(whole, image, what));
}

/** The import of one package of a bundle: its plan, and its installation once the content is in the store. */
export class PackageImport {
  /** The release, as `installableRelease` returns it. */
  readonly kubepkg: KubePkg;
  readonly #context: PackageImportContext;
  readonly #repositoryOf: (digest: Digest) => string;

  /** @param kubepkg the release, as `installableRelease` returns it */
  constructor(kubepkg: KubePkg, context: PackageImportContext) {
    this.kubepkg = kubepkg;
    this.#context = context;
    this.#repositoryOf = repositoryFinder([kubepkg], context.what);
  }

  /**
   * Plans the import, before anything is written. If it is not possible, the plan has a `refusal`.
   *
   * @param planned the content of earlier packages, which is not counted again
   */
  async plan(planned: PlannedContent = { digests: new Set(), bytes: 0 }): Promise<ImportPlan> {
    const { kubepkg } = this;
    const { options, installation, document } = this.#context;
    const { force } = options;
    const { verdict: trust, refusal: refusedTrust } = await installation.admission.decide(kubepkg, document);
    const installed = await installation.findInstalled(kubepkg);
    const comparison = compareRelease(installed, kubepkg);
    const own = new Map<Digest, number>();
    const blobs = await planBlobs(kubepkg, {
      statBlob: (digest) => this.#statHeld(digest),
      countBytes: async (digest, size) => {
        if (planned.digests.has(digest)) return 0;
        const bytes = await this.#countBytes(digest, size);
        if (bytes !== undefined) own.set(digest, bytes);
        return bytes;
      },
    });
    const isSame = comparison.verdict === "same" && !force;
    const isRepair = isSame && !await this.#isInPlace();
    const isWritten = !isSame || isRepair;
    const freeBytes = await this.#freeBytes(planned);
    const { manifests, refusal: refusedHandover, warnings = [] } = await installation.planManifests(kubepkg, installed);
    const moved = !isWritten ? [] : await describeMovedTags(kubepkg, options);
    const refusal = refusedTrust ?? this.#refuseVersion(installed, comparison) ??
      (isWritten ? refusedHandover ?? await this.#refuseContent(blobs, freeBytes) : undefined);
    if (refusal === undefined) {
      for (const [digest, bytes] of own) {
        planned.digests.add(digest);
        planned.bytes += bytes;
      }
    }
    const refusedPart = refusal instanceof RefusedError ? undefined : await this.#refusePart();
    const discarded = isWritten && refusal === undefined && refusedPart === undefined
      ? await this.#describeDiscarded(isRepair)
      : [];
    const allWarnings = [...warnings, ...moved, ...discarded];
    const referrers = new Set(referrersOf(kubepkg).map(({ digest }) => digest)).size;
    return {
      name: kubepkg.metadata.name,
      namespace: kubepkg.metadata.namespace,
      version: kubepkg.spec.version,
      ...comparison,
      isRepair,
      images: imagesOf(kubepkg).map(({ reference }) => formatReference(reference)),
      referrers: referrers === 0 ? undefined : referrers,
      blobs,
      freeBytes,
      manifests,
      warnings: allWarnings.length === 0 ? undefined : allWarnings,
      refusal: refusedPart ?? refusal,
      trust,
    };
  }

  /**
   * Writes the manifests and tags, and finishes the installation. The caller holds the installation lock. Another release
   * may have been installed since the plan was made, so the version rule is checked again.
   *
   * @throws {RefusedError} when the version rule forbids the import now
   */
  async install(planned: ImportPlan, graphs: readonly ImageGraph[], counts: BlobCounts): Promise<InstallResult> {
    const { kubepkg } = this;
    const { options: { store, records, force, audit }, installation, document } = this.#context;
    await installation.admission.admit(kubepkg, document);
    const { installed, comparison } = await this.checkRelease();
    const isSame = comparison.verdict === "same" && !force;
    const { manifests, refusal } = await installation.planManifests(kubepkg, installed);
    const isRepair = isSame && (planned.isRepair || !await this.#isInPlace());
    const plan = { ...planned, ...comparison, manifests, isRepair };
    if (isSame && !isRepair) return await this.skip(plan, counts);
    if (refusal !== undefined) throw refusal;
    await audit?.begin(kubepkg, plan);
    const id = packageIdOf(kubepkg);
    await writeImages(store, graphs, () => listOtherPackages(records, id));
    if (installed !== undefined) {
      await giveBackTags(id, { releases: [installed], current: kubepkg }, { records, store });
    }
    await installation.finish(kubepkg, plan);
    return this.result(plan, counts, graphs);
  }

  /** Ends the import of a release that is already installed. */
  async skip(plan: ImportPlan, counts?: BlobCounts): Promise<InstallResult> {
    // An installation that was interrupted right before its end has left its pending record.
    await this.#context.options.records.pending.removeRelease(this.kubepkg);
    return this.result(plan, counts);
  }

  /** Applies the version rule to what is installed now. @throws {RefusedError} when it forbids the import */
  async checkRelease(): Promise<{ installed: KubePkg | undefined; comparison: ReleaseComparison }> {
    const installed = await this.#context.installation.findInstalled(this.kubepkg);
    const comparison = compareRelease(installed, this.kubepkg);
    const refusal = this.#refuseVersion(installed, comparison);
    if (refusal !== undefined) throw refusal;
    return { installed, comparison };
  }

  /** Describes the import. @param graphs the images, if they were imported */
  result(plan: ImportPlan, counts: BlobCounts = NO_COUNTS, graphs?: readonly ImageGraph[]): InstallResult {
    const { part, options: { force } } = this.#context;
    // When the package is installed, no part is missing, even if another bundle brought its content.
    const isComplete = graphs !== undefined || (plan.verdict === "same" && !plan.isRepair && !force);
    return {
      plan,
      isImported: graphs !== undefined,
      images: graphs?.filter(({ subject }) => subject === undefined).map(describeImage) ?? this.#describeImages(),
      blobs: { ...counts },
      part: part && isComplete ? { ...part.state, missing: [] } : part?.state,
      kubepkg: this.kubepkg,
    };
  }

  #refuseVersion(installed: KubePkg | undefined, comparison: ReleaseComparison): RefusedError | undefined {
    return this.#context.options.force ? undefined : refuseVersion(this.kubepkg, installed, comparison);
  }

  async #refuseContent(blobs: PlannedBlobs, freeBytes: number | undefined): Promise<CrpeError | undefined> {
    const { bytesToWrite, temporaryBytes = 0, missing } = blobs;
    return refuseSpace(this.kubepkg, bytesToWrite + temporaryBytes, freeBytes) ??
      await this.#context.installation.findRefusal(this.kubepkg, bytesToWrite) ??
      (missing.length === 0 ? undefined : missingError(this.kubepkg, missing.map(({ digest }) => digest)));
  }

  async #refusePart(): Promise<RefusedError | undefined> {
    try {
      await this.#context.part?.check();
    } catch (error) {
      if (error instanceof RefusedError) return error;
      throw error;
    }
  }

  async #describeDiscarded(isRepair: boolean): Promise<string[]> {
    const { part, options: { records } } = this.#context;
    // A repair by a whole bundle leaves another pending release.
    if (isRepair && part === undefined) return [];
    const pending = await records.pending.read(packageIdOf(this.kubepkg)).catch(absentIfBroken);
    return [describeDiscardedParts(this.kubepkg, part?.part, pending)].filter((it) => it !== undefined);
  }

  async #freeBytes(planned: PlannedContent): Promise<number | undefined> {
    const free = await this.#context.options.freeBytes?.();
    return free === undefined ? undefined : Math.max(0, free - planned.bytes);
  }

  async #countBytes(digest: Digest, size: number): Promise<number | undefined> {
    const { part, options: { store } } = this.#context;
    const bytes = part === undefined ? size : await part.countBytes(digest, size);
    return bytes === size ? Math.max(0, size - await store.statIngest(digest)) : bytes;
  }

  async #statHeld(digest: Digest): Promise<number | undefined> {
    return await this.#context.options.store.statBlob(this.#repositoryOf(digest), digest);
  }

  async #isInPlace(): Promise<boolean> {
    const { what, installation, options: { store } } = this.#context;
    const release = { kubepkg: this.kubepkg, what };
    return await holdsAll(release, store, (digest) => this.#statHeld(digest)) &&
      await installation.isFinished(this.kubepkg);
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
