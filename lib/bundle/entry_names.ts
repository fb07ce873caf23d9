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

/** A piece of a blob, in one part of several of a bundle. */
export interface BlobPiece {
  readonly digest: Digest;
  /** Position of its first byte in the blob. */
  readonly start: number;
}

/** `pieces/<alg>/<hash>/<start>`: the name of a piece of a blob that is cut over several parts. */
export function pieceEntryName({ digest, start }: BlobPiece): string {
  const { algorithm, hex } = splitDigest(digest);
  return `pieces/${algorithm}/${hex}/${start}`;
}

/** The piece that an entry's name stands for, `undefined` where it is no piece's. */
export function parsePieceEntryName(name: string): BlobPiece | undefined {
  const [folder, algorithm, hex, start, ...more] = name.split("/");
  const digest = `${algorithm}:${hex}`;
  if (folder !== "pieces" || more.length > 0 || !isDigest(digest)) return undefined;
  if (start === undefined || !/^(?:0|[1-9][0-9]{0,15})$/.test(start)) return undefined;
  return Number.isSafeInteger(Number(start)) ? { digest, start: Number(start) } : undefined;
}
