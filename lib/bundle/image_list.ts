import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { formatReference, parseReference } from "../oci/reference.ts";

/** Largest number of images in a list. */
const MAX_IMAGES = 10_000;

/**
 * Reads a list of images, one reference on a line, such as the `k3s-images.txt` of a k3s release. Empty lines, and what
 * follows a `#` at the beginning of a line or after a space, are ignored.
 *
 * @param what names the list in errors
 * @returns full references, without duplicates
 * @throws {CorruptError} that names the first line which is no reference, or when the list is empty or too long
 */
export function parseImageList(text: string, what: string): string[] {
  const found = new Set<string>();
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const name = line.replace(/(?:^|\s)#.*$/, "").trim();
    if (name === "") continue;
    try {
      const { tag, digest, ...repository } = parseReference(name);
      const isBare = tag === undefined && digest === undefined;
      found.add(formatReference(isBare ? { ...repository, tag: "latest" } : parseReference(name)));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new CorruptError(`Cannot read ${what}, line ${i + 1}: ${reason}`, { cause });
    }
    if (found.size > MAX_IMAGES) throw new CorruptError(`Cannot read ${what}: it has more than ${MAX_IMAGES} images`);
  }
  if (found.size === 0) throw new CorruptError(`Cannot read ${what}: it lists no image`);
  return [...found];
}

/** Adds images to `spec.images` that it does not list under any spelling. */
export function addImages(kubepkg: KubePkg, names: Iterable<string>): { kubepkg: KubePkg; added: string[] } {
  const images: Record<string, Digest | ""> = { ...kubepkg.spec.images };
  const listed = new Set(imagesOf(kubepkg).map(({ reference }) => formatReference(reference)));
  const added: string[] = [];
  for (const name of names) {
    const { tag, digest, ...repository } = parseReference(name);
    const key = formatReference(tag === undefined ? parseReference(name) : { ...repository, tag });
    if (listed.has(key)) continue;
    listed.add(key);
    images[name] = digest ?? "";
    added.push(name);
  }
  return { kubepkg: { ...kubepkg, spec: { ...kubepkg.spec, images } }, added };
}
