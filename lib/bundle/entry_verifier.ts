import { Verifier } from "../content/verifier.ts";
import type { FileEntry } from "./bundle_layout.ts";
import { cannot, CrpeError } from "../oci/error.ts";

/**
 * Verifies content entry by entry, while it is written or compared. A blob that is split over several files is verified
 * across them: its pieces have to follow in order.
 */
export class EntryVerifier {
  #verifier: Verifier | undefined;

  /** Returns a copy with the same state. */
  fork(): EntryVerifier {
    const fork = new EntryVerifier();
    fork.#verifier = this.#verifier?.fork();
    return fork;
  }

  /** Begins an entry. @throws {Error} when the preceding piece of the blob was not verified */
  begin({ descriptor: { digest, size }, start }: FileEntry): void {
    if (start === 0) this.#verifier = new Verifier(digest, size);
    if (this.#verifier?.seen !== start) {
      throw new CrpeError(cannot(`verify ${digest}`, `the bytes before ${start} are missing`));
    }
  }

  /** Adds bytes of the entry. @throws {DigestMismatchError} when the content is longer than its size */
  update(bytes: Uint8Array): void {
    this.#verifier!.update(bytes);
  }

  /** Ends an entry. @throws {DigestMismatchError} when the content is complete and does not match its digest */
  end({ descriptor: { size }, start, length }: FileEntry): void {
    if (start + length !== size) return;
    this.#verifier!.finish();
    this.#verifier = undefined;
  }
}
