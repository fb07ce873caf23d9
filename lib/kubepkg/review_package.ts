import { checkObjects } from "./check_objects.ts";
import { compareImages, formatImageMismatch, type ImageMismatch } from "./compare_images.ts";
import { findImages } from "./find_images.ts";
import type { KubePkg } from "./kubepkg.ts";
import { formatObjectFinding } from "./object_finding.ts";
import { packageObjects } from "./package_objects.ts";
import { stripPackage } from "./strip_live_fields.ts";

/** What there is to say about a package before it is packed. */
export interface PackageReview {
  /** The package, without the fields that only a live cluster sets. */
  readonly kubepkg: KubePkg;
  /** Images that objects use and `spec.images` does not provide; `addMissingImages` adds them. */
  readonly mismatches: readonly ImageMismatch[];
  /** One sentence for each thing that a cluster will not take or that will be missing at the site, images included. */
  readonly warnings: readonly string[];
}

/**
 * Reviews a package: strips fields of a live cluster, and finds what no cluster takes and what will not run at the site.
 *
 * @throws {CorruptError} as `packageObjects`
 */
export function reviewPackage(given: KubePkg): PackageReview {
  const { kubepkg, stripped } = stripPackage(given);
  const objects = packageObjects(kubepkg);
  const mismatches = compareImages(kubepkg, objects.flatMap(({ object }) => findImages(object)));
  const isEmpty = objects.length === 0 && Object.keys(kubepkg.spec.images).length === 0;
  return {
    kubepkg,
    mismatches,
    warnings: [
      ...(isEmpty ? ["the package is empty: it has no manifests and no images"] : []),
      ...stripped.map(({ object, fields }) => `${object}: removed what only a live cluster sets: ${fields.join(", ")}`),
      ...checkObjects(objects).map(formatObjectFinding),
      ...mismatches.map(formatImageMismatch),
    ],
  };
}
