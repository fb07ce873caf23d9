import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import type { BlobCounts } from "./blob_importer.ts";
import type { HandoverResult } from "./handover/handover.ts";
import type { ImageFileResult } from "./image_files.ts";
import type { ImportPlan } from "./import_plan.ts";
import type { PartState } from "./import_part.ts";

/** An image of a bundle. */
export interface ImportedImage {
  readonly reference: string;
  readonly digest: Digest;
  readonly platforms: readonly string[];
}

/** The result of an installation. */
export interface InstallResult {
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
  /** How the manifests were handed over. */
  readonly handedOver?: HandoverResult;
  /** The archive with the images of the package. */
  readonly imageFile?: ImageFileResult;
  /** Other namespaces in which a package of the same name is installed, which is another package; sorted. */
  readonly sameNameIn?: readonly string[];
  /** Records of the package that could not be read, and were renamed to these paths. */
  readonly setAside?: readonly string[];
}

/** How the installation of one package of a bundle ended: it has a result, or it failed. */
export type PackageOutcome =
  & { readonly name: string; readonly namespace: string; readonly version: string }
  & ({ readonly result: InstallResult; readonly error?: undefined } | {
    readonly result?: undefined;
    readonly error: unknown;
  });

/** Returns the JSON document that describes an installation. */
export function describeResult(result: InstallResult, dryRun: boolean): Record<string, unknown> {
  const { plan, images, blobs, isImported, handedOver, kubepkg: _, ...more } = result;
  const { blobs: planned, isRepair, refusal: _refusal, ...what } = plan;
  return {
    ...what,
    dryRun,
    imported: isImported,
    repaired: isImported && isRepair,
    images,
    blobs: { ...planned, ...(isImported || more.part !== undefined ? blobs : {}) },
    ...more,
    handover: handedOver?.where,
    confirmed: handedOver?.isConfirmed,
    remaining: handedOver?.remaining,
    handoverNote: handedOver?.note,
  };
}
