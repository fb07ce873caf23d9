/** Bytes that are read at any position. */
export interface ReadableBytes {
  /** Number of bytes; of scratch space, those appended so far. */
  readonly size: number;
  /** Fills `target` from a position, and returns the number of bytes read; fewer than asked for only at the end. */
  readAt(position: number, target: Uint8Array): number;
}

/** Temporary bytes that are appended once and read at any position; for data that is too large for memory. */
export interface Scratch extends ReadableBytes, Disposable {
  /** Appends bytes. @throws {NoSpaceError} when the disk is full */
  append(bytes: Uint8Array): void;
}

/** Opens empty scratch space. */
export type OpenScratch = () => Promise<Scratch>;
