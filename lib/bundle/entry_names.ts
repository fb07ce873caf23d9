import { type Digest, isDigest, splitDigest } from "../oci/digest.ts";

/**
 * Names of the documents of a bundle. `kubepkg.json` is the first entry of the file, and its signatures, if it is signed,
 * are the second one; `manifest.json` is for docker.
 */
export const ENTRY_NAME = {
  kubepkg: "kubepkg.json",
  signatures: "kubepkg.json.sig",
  layout: "oci-layout",
  index: "index.json",
  docker: "manifest.json",
} as const;

/** One of `ENTRY_NAME`. */
export type BundleEntryNames = typeof ENTRY_NAME[keyof typeof ENTRY_NAME];

/** Returns the entry name of a blob, `blobs/<alg>/<hash>` (OCI image specification, "Image Layout", "Blobs"). */
export function blobEntryName(digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  return `blobs/${algorithm}/${hex}`;
}

/** Parses the entry name of a blob. @returns `undefined` for any other name */
export function parseBlobEntryName(name: string): Digest | undefined {
  const [folder, algorithm, hex, ...more] = name.split("/");
  const digest = `${algorithm}:${hex}`;
  return folder === "blobs" && more.length === 0 && isDigest(digest) ? digest : undefined;
}

/** Returns the entry name of the delta that makes a layer, `deltas/<alg>/<hash of the layer>`. */
export function deltaEntryName(layer: Digest): string {
  return `deltas${blobEntryName(layer).slice("blobs".length)}`;
}

/** Parses the entry name of a delta. @returns the digest of the layer; `undefined` for any other name */
export function parseDeltaEntryName(name: string): Digest | undefined {
  return name.startsWith("deltas/") ? parseBlobEntryName(`blobs${name.slice("deltas".length)}`) : undefined;
}

/** A piece of a blob, carried by one part of a split bundle. */
interface BlobPiece {
  readonly digest: Digest;
  /** Position in the blob of the piece's first byte. */
  readonly start: number;
}

/** Returns the entry name of a piece, `pieces/<alg>/<hash>/<start>`. */
export function pieceEntryName({ digest, start }: BlobPiece): string {
  const { algorithm, hex } = splitDigest(digest);
  return `pieces/${algorithm}/${hex}/${start}`;
}

/** Parses the entry name of a piece. @returns `undefined` for any other name */
export function parsePieceEntryName(name: string): BlobPiece | undefined {
  const [folder, algorithm, hex, start, ...more] = name.split("/");
  const digest = `${algorithm}:${hex}`;
  if (folder !== "pieces" || more.length > 0 || !isDigest(digest)) return undefined;
  if (start === undefined || !/^(?:0|[1-9][0-9]{0,15})$/.test(start)) return undefined;
  return Number.isSafeInteger(Number(start)) ? { digest, start: Number(start) } : undefined;
}

/**
 * Resolves the target of a link, or a name as `manifest.json` has it.
 *
 * @param from the name of the link; `""` for a name
 * @returns for `a/layer.tar` with the target `../b/layer.tar`: `b/layer.tar`
 */
export function resolveEntryName(from: string, target: string): string {
  const parts = from.split("/").slice(0, -1);
  for (const part of target.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(part);
  }
  return parts.join("/");
}

/** Reports whether an entry lists the images of an archive. */
export function listsImages(name: string): boolean {
  return name === ENTRY_NAME.index || name === ENTRY_NAME.docker;
}
