import type { Digest } from "../oci/digest.ts";
import type { CorruptError } from "../oci/error.ts";
import { formatReference, parseReference, type Reference } from "../oci/reference.ts";
import { fieldError } from "./field_path.ts";
import type { KubePkg } from "./kubepkg.ts";

/** An image of a KubePkg with its name read. */
export interface PackageImage {
  /** The name as the package spells it. */
  readonly name: string;
  /** Without its digest; `latest` is filled in where the name has neither tag nor digest. */
  readonly reference: Reference;
  /** The digest that the name or the value gives; `undefined`: the tag has to be resolved. */
  readonly digest?: Digest;
}

/**
 * The images of a package, sorted by reference, each once.
 *
 * @throws {CorruptError} for a name that is none, or two names of one image that disagree on its digest
 */
export function imagesOf(kubepkg: KubePkg): PackageImage[] {
  return checkImages(kubepkg, "the KubePkg");
}

/** Fills in the digests of images, by the names that the package has for them. */
export function withImageDigests(kubepkg: KubePkg, digestOf: (image: PackageImage) => Digest): KubePkg {
  const digests = new Map(imagesOf(kubepkg).map((image) => [formatReference(image.reference), digestOf(image)]));
  const images = Object.fromEntries(
    Object.keys(kubepkg.spec.images).map((name) => {
      return [name, digests.get(formatReference(referenceOf(name))) ?? ("" as const)];
    }),
  );
  return { ...kubepkg, spec: { ...kubepkg.spec, images } };
}

/** As `imagesOf`; `what` names the document in the error. */
export function checkImages(kubepkg: KubePkg, what: string): PackageImage[] {
  const found = new Map<string, PackageImage>();
  for (const [name, value] of Object.entries(kubepkg.spec.images)) {
    const field = { what, path: ["spec", "images", name] };
    const image = readImage(name, value, (reason, cause) => fieldError(field, reason, cause));
    const key = formatReference(image.reference);
    const other = found.get(key);
    if (other?.digest !== undefined && image.digest !== undefined && other.digest !== image.digest) {
      throw fieldError(field, `is the same image as ${JSON.stringify(other.name)}, with another digest`);
    }
    if (other === undefined || other.digest === undefined) found.set(key, image);
  }
  return [...found].sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0).map(([, image]) => image);
}

function readImage(
  name: string,
  value: Digest | "",
  fail: (reason: string, cause?: unknown) => CorruptError,
): PackageImage {
  let parsed: Reference;
  try {
    parsed = parseReference(name);
  } catch (cause) {
    throw fail(cause instanceof Error ? cause.message : String(cause), cause);
  }
  if (parsed.digest !== undefined && value !== "" && parsed.digest !== value) {
    throw fail(`the name has digest ${parsed.digest}, the value is ${value}`);
  }
  const digest = parsed.digest ?? (value === "" ? undefined : value);
  return { name, reference: referenceOf(name), ...(digest === undefined ? {} : { digest }) };
}

// What tells two images apart. A tag wins over a digest in the name; one by digest alone is known by its digest.
function referenceOf(name: string): Reference {
  const { host, path, tag, digest } = parseReference(name);
  if (tag !== undefined) return { host, path, tag };
  return digest === undefined ? { host, path, tag: "latest" } : { host, path, digest };
}
