import type { Digest } from "../oci/digest.ts";

/** Keeps a store within a size limit. */
export interface SpaceManager {
  /**
   * Reserves space for a blob, and evicts images if necessary. The reservation must be disposed of when the blob is
   * committed, or its download has failed.
   *
   * @param bytes size of the blob
   * @param digest digest of the blob; its image is not evicted
   * @returns `undefined` when there is not enough space
   */
  reserve(bytes: number, digest?: Digest, options?: ReserveOptions): Promise<Disposable | undefined>;
  /**
   * Stores a manifest or its tag, and records that it was requested. Waits for an eviction in progress, which would
   * otherwise remove what `write` finds in the store.
   *
   * @param write must check for itself what the store has
   */
  store<T>(digest: Digest, write: () => Promise<T>): Promise<T>;
  /** Records that a manifest was requested. */
  touch(digest: Digest): void;
}

/** Options of `SpaceManager.reserve`. */
export interface ReserveOptions {
  /** Whether the image is of use without the blob, and is kept when there is not enough space for it. */
  readonly isOptional?: boolean;
}
