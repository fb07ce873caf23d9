import { createHash, type Hash } from "node:crypto";
import { type Digest, splitDigest } from "../oci/digest.ts";
import { cannot, type Failure, RegistryError } from "../oci/error.ts";

/** Thrown when content does not have the expected digest or size. Maps to HTTP 502, because the sender is at fault. */
export class DigestMismatchError extends RegistryError {
  constructor(failure: Failure | string) {
    super("BAD_GATEWAY", failure, { exit: 4 });
  }
}

/** Verifies the size and digest of content incrementally. Excess bytes fail at once; all else is checked at the end. */
export class Verifier {
  #hash: Hash;
  readonly #digest: Digest;
  #size: number | undefined;
  #seen = 0;

  /** @param size the expected number of bytes, or `undefined` if only the digest is known */
  constructor(digest: Digest, size: number | undefined) {
    this.#digest = digest;
    this.#size = size;
    this.#hash = createHash(splitDigest(digest).algorithm);
  }

  /** Returns an independent copy with the same state. */
  fork(): Verifier {
    const fork = new Verifier(this.#digest, this.#size);
    fork.#hash = this.#hash.copy();
    fork.#seen = this.#seen;
    return fork;
  }

  /** Number of bytes hashed so far. */
  get seen(): number {
    return this.#seen;
  }

  /** Sets the expected number of bytes, if it was not known at construction, or `undefined` if it is not known. */
  expectSize(size: number | undefined): void {
    this.#size = size;
  }

  /**
   * Hashes the next chunk.
   *
   * @throws {DigestMismatchError} when there are more bytes than expected
   */
  update(chunk: Uint8Array): void {
    this.#seen += chunk.length;
    if (this.#size !== undefined && this.#seen > this.#size) {
      throw new DigestMismatchError(cannot(`accept ${this.#digest}`, `more than the ${this.#size} bytes expected`));
    }
    this.#hash.update(chunk);
  }

  /**
   * Checks size and digest. Must be called once, after the last chunk.
   *
   * @throws {DigestMismatchError} when bytes are missing, or the digest differs
   */
  finish(): void {
    if (this.#size !== undefined && this.#seen !== this.#size) {
      throw new DigestMismatchError(cannot(`accept ${this.#digest}`, `received ${this.#seen} of ${this.#size} bytes`));
    }
    const { algorithm, hex } = splitDigest(this.#digest);
    const actual = this.#hash.digest("hex");
    if (actual !== hex) {
      throw new DigestMismatchError(cannot(`accept ${this.#digest}`, `the content has digest ${algorithm}:${actual}`));
    }
  }
}

/**
 * Verifies content that is in memory.
 *
 * @throws {DigestMismatchError} when the bytes do not have the digest, or not the given size
 */
export function verifyBytes(bytes: Uint8Array, digest: Digest, size?: number): void {
  const verifier = new Verifier(digest, size);
  verifier.update(bytes);
  verifier.finish();
}
