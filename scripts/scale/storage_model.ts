import { PART_BYTES } from "../../lib/object_store/upload_object.ts";

/** Requests to an object storage, by what they are charged as. */
export interface StorageRequests {
  /** PUT, POST and lists. */
  readonly writes: number;
  /** GET and HEAD. */
  readonly reads: number;
}

/**
 * Returns what one registry sends to the bucket for an image of one platform that it stores: of each blob whether it is
 * there, before and after, whether it is about to be removed, the content, and the link of the repository; of the manifest
 * its content, the links of its blobs and its own, whether it is about to be removed, and what is beside the link, before and
 * after; of the tag two links, and the same for its manifest again.
 *
 * @param blobs sizes of the configuration and the layers, in bytes
 */
export function requestsToStore(blobs: readonly number[]): StorageRequests {
  const content = blobs.reduce((sum, size) => sum + (size > PART_BYTES ? Math.ceil(size / PART_BYTES) + 2 : 1), 0);
  const blobLinks = blobs.length;
  const manifest = blobs.length + 4;
  const tag = 5;
  return { writes: content + blobLinks + manifest + tag, reads: 3 * blobs.length + 4 };
}

/**
 * Returns what one registry sends to the bucket when it serves such an image for the first time since its start: of each
 * blob the size and the content, of which it keeps a copy.
 */
export function requestsToServe(blobs: readonly number[]): StorageRequests {
  return { writes: 1, reads: 1 + 2 * blobs.length };
}
