import type { Digest } from "../oci/digest.ts";
import { formatReference, parseReference, type Reference, withTagOrDigest } from "../oci/reference.ts";
import { type FieldError, fieldError } from "./field_path.ts";
import type { KubePkg } from "./kubepkg.ts";

/** An image of a KubePkg, with its name parsed. */
export interface PackageImage {
  /** The name as spelled in the package. */
  readonly name: string;
  /** The reference without its digest if it has a tag; `latest` if it has neither tag nor digest. */
  readonly reference: Reference;
  /** The digest given by the name or the value. `undefined` if the tag has to be resolved. */
  readonly digest?: Digest;
}

/**
 * Returns the images of a package, sorted by reference, without duplicates.
 *
 * @throws {CorruptError} when a name is invalid, or two names of one image have different digests
 */
export function imagesOf(kubepkg: KubePkg): PackageImage[] {
  return checkImages(kubepkg, "the KubePkg");
}

/** Returns the package with the digest of each image filled in, under the names that the package uses. */
export function withImageDigests(kubepkg: KubePkg, digestOf: (image: PackageImage) => Digest): KubePkg {
  const digests = new Map(imagesOf(kubepkg).map((image) => [formatReference(image.reference), digestOf(image)]));
  const images = Object.fromEntries(
    Object.keys(kubepkg.spec.images).map((name) => {
      return [name, digests.get(formatReference(withTagOrDigest(parseReference(name)))) ?? ("" as const)];
    }),
  );
  return { ...kubepkg, spec: { ...kubepkg.spec, images } };
}

/** Like `imagesOf`; `what` names the document in the error. @throws {CorruptError} as `imagesOf` */
export function checkImages(kubepkg: KubePkg, what: string): PackageImage[] {
  return readImages(kubepkg.spec.images, what, (error) => {
    throw error;
  });
}

/** Finds every image whose name or digest is wrong. @param what names the document in the errors */
export function findWrongImages(images: KubePkg["spec"]["images"], what: string): FieldError[] {
  const errors: FieldError[] = [];
  readImages(images, what, (error) => errors.push(error));
  return errors;
}

function readImages(
  images: KubePkg["spec"]["images"],
  what: string,
  onError: (error: FieldError) => void,
): PackageImage[] {
  const found = new Map<string, PackageImage>();
  for (const [name, value] of Object.entries(images)) {
    const field = { what, path: ["spec", "images", name] };
    const image = readImage(name, value, (reason, cause) => onError(fieldError(field, reason, cause)));
    if (image === undefined) continue;
    const key = formatReference(image.reference);
    const other = found.get(key);
    if (other?.digest !== undefined && image.digest !== undefined && other.digest !== image.digest) {
      onError(fieldError(field, `is the same image as ${JSON.stringify(other.name)}, with a different digest`));
    }
    if (other === undefined || other.digest === undefined) found.set(key, image);
  }
  return [...found].sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0).map(([, image]) => image);
}

function readImage(
  name: string,
  value: Digest | "",
  fail: (reason: string, cause?: unknown) => void,
): PackageImage | undefined {
  let parsed: Reference;
  try {
    parsed = parseReference(name);
  } catch (cause) {
    fail(cause instanceof Error ? cause.message : String(cause), cause);
    return undefined;
  }
  if (parsed.digest !== undefined && value !== "" && parsed.digest !== value) {
    fail(`the name has digest ${parsed.digest}, the value is ${value}`);
    return undefined;
  }
  const digest = parsed.digest ?? (value === "" ? undefined : value);
  return { name, reference: withTagOrDigest(parsed), digest };
}
