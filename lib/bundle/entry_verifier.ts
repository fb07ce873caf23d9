import { Verifier } from "../content/verifier.ts";
import type { FileEntry } from "./bundle_layout.ts";

/**
 * Verifies content while its bytes pass, entry by entry. What is cut over several files is verified over all of them: its
 * pieces have to pass in their order.
 */
export class EntryVerifier {
  #verifier: Verifier | undefined;

  /** Another one that has seen the same. */
  fork(): EntryVerifier {
    const fork = new EntryVerifier();
    fork.#verifier = this.#verifier?.fork();
    return fork;
  }

  /** The bytes of an entry follow. */
  begin({ descriptor: { digest, size }, start }: FileEntry): void {
    if (start === 0) this.#verifier = new Verifier(digest, size);
    if (this.#verifier?.seen !== start) throw new Error(`Cannot verify ${digest}: what is before ${start} is missing`);
  }

  /** @throws {DigestMismatchError} when there are more bytes than the content may have */
  update(bytes: Uint8Array): void {
    this.#verifier!.update(bytes);
  }

  /** An entry has passed. @throws {DigestMismatchError} when it was the end of its content, and that is not right */
  end({ descriptor: { size }, start, length }: FileEntry): void {
    if (start + length !== size) return;
    this.#verifier!.finish();
    this.#verifier = undefined;
  }
}
