/** Progress of packing, verifying or importing a bundle. */
export interface BundleProgress {
  /** Bytes processed so far. */
  readonly bytes: number;
  /** Bytes in total, where known. */
  readonly total?: number;
  /** Name of the current entry: `blobs/sha256/…`. */
  readonly entry: string;
}
