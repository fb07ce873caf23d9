/** Temporary bytes that are appended once and read at any position; for data that is too large for memory. */
export interface Scratch extends Disposable {
  /** Number of bytes appended so far. */
  readonly size: number;
  /** Appends bytes. @throws {NoSpaceError} when the disk is full */
  append(bytes: Uint8Array): void;
  /** Fills `target` from a position, and returns the number of bytes read; fewer than asked for only at the end. */
  readAt(position: number, target: Uint8Array): number;
}

/** Opens empty scratch space. */
export type OpenScratch = () => Promise<Scratch>;
