import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { ENTRY_NAME } from "./entry_names.ts";

/**
 * Returns the digests that a package declares in `status.digests`, with their sizes in bytes; `undefined` when it declares
 * none.
 *
 * @param what name of the bundle in errors
 * @throws {CorruptError} when a digest is declared with two sizes
 */
export function declaredSizes(kubepkg: KubePkg, what = "the bundle"): Map<Digest, number> | undefined {
  const digests = kubepkg.status?.digests;
  if (digests === undefined || digests.length === 0) return undefined;
  const sizes = new Map<Digest, number>();
  for (const { digest, size } of digests) addSize(sizes, digest, { size, what });
  return sizes;
}

/**
 * As `declaredSizes`, for all packages of a bundle together. `undefined` also when only some of the packages that have
 * images declare their digests: the others may bring any blob.
 */
export function declaredSizesOfAll(packages: readonly KubePkg[], what: string): Map<Digest, number> | undefined {
  const [first, ...others] = packages;
  if (others.length === 0) return first && declaredSizes(first, what);
  const sizes = new Map<Digest, number>();
  for (const kubepkg of packages) {
    const own = declaredSizes(kubepkg, what);
    if (own === undefined && imagesOf(kubepkg).length > 0) return undefined;
    for (const [digest, size] of own ?? []) addSize(sizes, digest, { size, what });
  }
  return sizes.size === 0 ? undefined : sizes;
}

function addSize(sizes: Map<Digest, number>, digest: Digest, { size, what }: { size: number; what: string }): void {
  if ((sizes.get(digest) ?? size) !== size) {
    throw new CorruptError(
      cannot(`use ${ENTRY_NAME.kubepkg} of ${what}`, `status.digests has two sizes for ${digest}`),
    );
  }
  sizes.set(digest, size);
}
