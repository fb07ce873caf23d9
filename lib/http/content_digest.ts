import { Buffer } from "node:buffer";
import { createHash, type Hash } from "node:crypto";
import { type Digest, isDigest, splitDigest } from "../oci/digest.ts";
import { CorruptError, RegistryError } from "../oci/error.ts";

const NAMES: Readonly<Record<string, string>> = { "sha-256": "sha256", "sha-512": "sha512" };
// RFC 8941, 3.1.2 and 3.3.5: `key=:base64:`, and parameters that mean nothing here.
const MEMBER = /^(?<name>[a-z*][a-z0-9_.*-]*)=:(?<value>[A-Za-z0-9+/]*={0,2}):(?:;.*)?$/;

/**
 * Reads `Content-Digest` (RFC 9530, 2): `sha-256=:…:`, `sha-512=:…:`, or a bare `sha256:<hex>`. Digests by other
 * algorithms beside one of these are passed over.
 *
 * @throws {RegistryError} `DIGEST_INVALID` when it cannot be read, or none of its algorithms is known: a check that was
 *   asked for is not left out without a word
 */
export function parseContentDigest(text: string): Digest[] {
  if (isDigest(text.trim())) return [text.trim() as Digest];
  const found: Digest[] = [];
  for (const member of text.split(",")) {
    const { name = "", value = "" } = MEMBER.exec(member.trim())?.groups ?? {};
    if (name === "") throw invalid("it is neither sha-256=:BASE64:, sha-512=:BASE64: nor sha256:HEX");
    const algorithm = NAMES[name];
    if (algorithm === undefined) continue;
    const digest = `${algorithm}:${Buffer.from(value, "base64").toString("hex")}`;
    if (!isDigest(digest)) throw invalid(`its ${name} has the wrong length`);
    found.push(digest);
  }
  if (found.length === 0) throw invalid("it names no algorithm that is known: sha-256, sha-512");
  return found;
}

/** Hashes the content of a request as it passes. */
export class ContentDigest {
  readonly #hashes: readonly { readonly digest: Digest; readonly hash: Hash; actual?: string }[];

  /** @param digests what it should have, all of them; none: nothing is hashed */
  constructor(digests: readonly Digest[]) {
    this.#hashes = digests.map((digest) => ({ digest, hash: createHash(splitDigest(digest).algorithm) }));
  }

  /** Whether there is anything to be checked. */
  get isWanted(): boolean {
    return this.#hashes.length > 0;
  }

  update(bytes: Uint8Array): void {
    for (const { hash } of this.#hashes) hash.update(bytes);
  }

  /** To be called at the end, as often as one likes. @throws {CorruptError} when it was other content */
  finish(): void {
    for (const each of this.#hashes) {
      const { digest, hash } = each;
      const { algorithm, hex } = splitDigest(digest);
      const actual = each.actual ??= hash.digest("hex");
      if (actual === hex) continue;
      throw new CorruptError(
        `Cannot accept the content: Content-Digest says ${digest}, what came has ${algorithm}:${actual}`,
      );
    }
  }
}

function invalid(reason: string): RegistryError {
  return new RegistryError("DIGEST_INVALID", `Cannot use Content-Digest: ${reason}`);
}
