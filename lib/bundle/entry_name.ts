import { type Digest, isDigest, splitDigest } from "../oci/digest.ts";

/** The files of a bundle besides its blobs; the first is the first. */
export const ENTRY_NAME = { kubepkg: "kubepkg.json", layout: "oci-layout", index: "index.json" } as const;

/** One of `ENTRY_NAME`. */
export type BundleEntryNames = typeof ENTRY_NAME[keyof typeof ENTRY_NAME];

/** `blobs/<alg>/<hash>`: the image layout's name for a blob (image specification, "Image Layout", "Blobs"). */
export function blobEntryName(digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  return `blobs/${algorithm}/${hex}`;
}

/** The digest that an entry's name stands for, `undefined` where it is no blob's. */
export function parseBlobEntryName(name: string): Digest | undefined {
  const [folder, algorithm, hex, ...more] = name.split("/");
  const digest = `${algorithm}:${hex}`;
  return folder === "blobs" && more.length === 0 && isDigest(digest) ? digest : undefined;
}
