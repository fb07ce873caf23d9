import { createHash, type Hash } from "node:crypto";
import { type Digest, splitDigest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";

/** Bytes that are not the ones which a digest and a size promised. HTTP 502: whoever sent them is at fault. */
export class DigestMismatchError extends RegistryError {
  constructor(message: string) {
    super("BAD_GATEWAY", message);
  }
}

/** Hashes bytes as they pass and tells in the end, or as soon as there are too many, whether they are the right ones. */
export class Verifier {
  #hash: Hash;
  readonly #digest: Digest;
  #size: number | undefined;
  #seen = 0;

  /** @param size the expected number of bytes, or `undefined` where only the digest is known */
  constructor(digest: Digest, size: number | undefined) {
    this.#digest = digest;
    this.#size = size;
    this.#hash = createHash(splitDigest(digest).algorithm);
  }

  /** Another one that has seen the same bytes. */
  fork(): Verifier {
    const fork = new Verifier(this.#digest, this.#size);
    fork.#hash = this.#hash.copy();
    fork.#seen = this.#seen;
    return fork;
  }

  /** How many bytes have passed. */
  get seen(): number {
    return this.#seen;
  }

  /** Says how many bytes there have to be, where it was not known from the start. */
  expectSize(size: number): void {
    this.#size = size;
  }

  /** @throws {DigestMismatchError} when there are more bytes than expected */
  update(chunk: Uint8Array): void {
    this.#seen += chunk.length;
    if (this.#size !== undefined && this.#seen > this.#size) {
      throw new DigestMismatchError(`Cannot accept ${this.#digest}: more than the ${this.#size} bytes expected`);
    }
    this.#hash.update(chunk);
  }

  /** To be called once, after the last byte. @throws {DigestMismatchError} */
  finish(): void {
    if (this.#size !== undefined && this.#seen !== this.#size) {
      throw new DigestMismatchError(`Cannot accept ${this.#digest}: ${this.#seen} of ${this.#size} bytes came`);
    }
    const { algorithm, hex } = splitDigest(this.#digest);
    const actual = this.#hash.digest("hex");
    if (actual !== hex) {
      throw new DigestMismatchError(`Cannot accept ${this.#digest}: the content has digest ${algorithm}:${actual}`);
    }
  }
}

/** Checks bytes that are in memory. @throws {DigestMismatchError} */
export function verifyBytes(bytes: Uint8Array, digest: Digest, size?: number): void {
  const verifier = new Verifier(digest, size);
  verifier.update(bytes);
  verifier.finish();
}
