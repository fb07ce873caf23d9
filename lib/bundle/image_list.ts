import { toUtf8 } from "../oci/to_utf8.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { formatReference, parseReference, withDefaultTag } from "../oci/reference.ts";

/** Largest size of a list, in bytes. */
export const MAX_IMAGE_LIST_BYTES = 1024 * 1024;

/** Largest number of images in a list. */
const MAX_IMAGES = 10_000;
const MAX_REASON = 500;

/**
 * Reads a list of images, one reference on a line, such as the `k3s-images.txt` of a k3s release. Empty lines, and what
 * follows a `#` at the beginning of a line or after a space, are ignored.
 *
 * @param what names the list in errors
 * @returns full references, without duplicates
 * @throws {CorruptError} that names the first line which is no reference, or when the list is no text, empty or too long
 */
export function parseImageList(bytes: Uint8Array, what: string): string[] {
  const found = new Set<string>();
  for (const [i, line] of decodeText(bytes, what).split(/\r?\n/).entries()) {
    const name = line.replace(/(?:^|\s)#.*$/, "").trim();
    if (name === "") continue;
    try {
      found.add(formatReference(withDefaultTag(parseReference(name))));
    } catch (cause) {
      const reason = (cause instanceof Error ? cause.message : String(cause)).slice(0, MAX_REASON);
      throw new CorruptError(cannot(`read ${what}, line ${i + 1}`, reason), { cause });
    }
    if (found.size > MAX_IMAGES) {
      throw new CorruptError(cannot(`read ${what}`, `it has more than ${MAX_IMAGES} images`));
    }
  }
  if (found.size === 0) throw new CorruptError(cannot(`read ${what}`, "it lists no image"));
  return [...found];
}

function decodeText(bytes: Uint8Array, what: string): string {
  const text = toUtf8(bytes, what);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(text);
  } catch (cause) {
    throw new CorruptError(cannot(`read ${what}`, "it is not text"), { cause });
  }
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
