import type { Digest } from "../oci/digest.ts";
import { formatReference, type Reference, repositoryOf } from "../oci/reference.ts";
import type { ImageUse } from "./find_images.ts";
import { imagesOf, type PackageImage } from "./images_of.ts";
import type { KubePkg } from "./kubepkg.ts";

/** An image that objects use and `spec.images` does not provide in that way. */
export interface ImageMismatch {
  /** The full reference that the objects use. */
  readonly image: string;
  readonly reference: Reference;
  /** `unlisted`: not in `spec.images`; `otherDigest`: listed with a digest that differs from the one the objects use. */
  readonly problem: "unlisted" | "otherDigest";
  /** The digest that `spec.images` gives. */
  readonly listedDigest?: Digest;
  readonly uses: readonly ImageUse[];
}

/**
 * Compares the images that the objects of a package use with `spec.images`. An image whose digest is not known before it
 * is packed ("") counts as provided.
 */
export function compareImages(kubepkg: KubePkg, uses: Iterable<ImageUse>): ImageMismatch[] {
  const listed = imagesOf(kubepkg);
  const byName = new Map(listed.map((it) => [formatReference(it.reference), it]));
  const mismatches = new Map<string, ImageMismatch & { uses: ImageUse[] }>();
  for (const use of uses) {
    const known = mismatches.get(use.image);
    if (known !== undefined) {
      known.uses.push(use);
      continue;
    }
    const mismatch = compare(use.reference, byName, listed);
    if (mismatch !== undefined) {
      mismatches.set(use.image, { image: use.image, reference: use.reference, ...mismatch, uses: [use] });
    }
  }
  return [...mismatches.values()].sort((a, b) => a.image < b.image ? -1 : a.image > b.image ? 1 : 0);
}

/** One sentence about an image that `spec.images` does not provide. */
export function formatImageMismatch({ image, problem, listedDigest, uses, reference }: ImageMismatch): string {
  const [first] = uses;
  const others = uses.length > 1 ? ` and ${uses.length - 1} more` : "";
  const where = first === undefined ? "" : ` (used by ${first.object}, ${first.field}${others})`;
  if (problem === "unlisted") return `${image} is not in spec.images: the site will not have it${where}`;
  return `${image} is in spec.images with another digest: objects use ${reference.digest}, the bundle carries ` +
    `${listedDigest}${where}`;
}

/** A package with images added, and the names that `spec.images` has gained. */
interface AddedImages {
  readonly kubepkg: KubePkg;
  readonly added: readonly { readonly name: string; readonly mismatch: ImageMismatch }[];
}

/**
 * Adds the images that `spec.images` does not provide, pinned where the objects pin them. One tag has one digest in a
 * package: an image that objects pin to another one is added by its digest alone, by which clients ask for it.
 */
export function addMissingImages(kubepkg: KubePkg, mismatches: Iterable<ImageMismatch>): AddedImages {
  const images: Record<string, Digest | ""> = { ...kubepkg.spec.images };
  const tags = new Map(imagesOf(kubepkg).map(({ reference, digest }) => [formatReference(reference), digest]));
  const added: { name: string; mismatch: ImageMismatch }[] = [];
  for (const mismatch of mismatches) {
    const { tag, digest, ...repository } = mismatch.reference;
    let isTaken = mismatch.problem === "otherDigest";
    if (tag !== undefined && !isTaken) {
      const key = formatReference({ ...repository, tag });
      isTaken = tags.has(key);
      // Whether the tag has this digest is known when it is resolved.
      if (isTaken && tags.get(key) === undefined) continue;
      tags.set(key, digest);
    }
    const name = isTaken && digest !== undefined ? formatReference({ ...repository, digest }) : mismatch.image;
    if (Object.hasOwn(images, name)) continue;
    images[name] = digest ?? "";
    added.push({ name, mismatch });
  }
  return { kubepkg: { ...kubepkg, spec: { ...kubepkg.spec, images } }, added };
}

function compare(
  { tag, digest, ...repository }: Reference,
  byName: ReadonlyMap<string, PackageImage>,
  listed: readonly PackageImage[],
): Pick<ImageMismatch, "problem" | "listedDigest"> | undefined {
  if (tag !== undefined) {
    const image = byName.get(formatReference({ ...repository, tag }));
    if (image !== undefined) {
      const isOther = digest !== undefined && image.digest !== undefined && image.digest !== digest;
      return isOther ? { problem: "otherDigest", listedDigest: image.digest } : undefined;
    }
    // A client that has a digest asks for it alone.
    if (digest === undefined) return { problem: "unlisted" };
  }
  const name = repositoryOf(repository);
  const isThere = listed.some((it) => repositoryOf(it.reference) === name && (it.digest ?? digest) === digest);
  return isThere ? undefined : { problem: "unlisted" };
}
