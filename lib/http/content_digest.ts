import { Buffer } from "node:buffer";
import { createHash, type Hash } from "node:crypto";
import { type Digest, isDigest, splitDigest } from "../oci/digest.ts";
import { cannot, CorruptError, RegistryError } from "../oci/error.ts";

const NAMES: Readonly<Record<string, string>> = { "sha-256": "sha256", "sha-512": "sha512" };
// RFC 8941, 3.1.2 and 3.3.5: `key=:base64:`, followed by parameters, which are ignored.
const MEMBER = /^(?<name>[a-z*][a-z0-9_.*-]*)=:(?<value>[A-Za-z0-9+/]*={0,2}):(?:;.*)?$/;

/**
 * Parses `Content-Digest` (RFC 9530, 2): `sha-256=:…:`, `sha-512=:…:`, or a bare `sha256:<hex>`. Digests of other
 * algorithms are ignored when at least one of these is present.
 *
 * @throws {RegistryError} `DIGEST_INVALID` when the header cannot be parsed or has no supported algorithm: a check that
 *   the client requested must not be skipped silently
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
  if (found.length === 0) throw invalid("it has no supported algorithm", "use sha-256 or sha-512");
  return found;
}

/** Hashes the content of a request while it is read, and compares it with the `Content-Digest`. */
export class ContentDigest {
  readonly #hashes: readonly { readonly digest: Digest; readonly hash: Hash; actual?: string }[];

  /** @param digests the digests that the content must match, all of them; nothing is hashed when the list is empty */
  constructor(digests: readonly Digest[]) {
    this.#hashes = digests.map((digest) => ({ digest, hash: createHash(splitDigest(digest).algorithm) }));
  }

  /** Adds content to the hashes. */
  update(bytes: Uint8Array): void {
    for (const { hash } of this.#hashes) hash.update(bytes);
  }

  /**
   * Compares the digests after the last `update`. It may be called more than once.
   *
   * @throws {CorruptError} when a digest does not match the content
   */
  finish(): void {
    for (const each of this.#hashes) {
      const { digest, hash } = each;
      const { algorithm, hex } = splitDigest(digest);
      const actual = each.actual ??= hash.digest("hex");
      if (actual === hex) continue;
      throw new CorruptError(
        cannot("accept the content", `Content-Digest is ${digest}, the received content has ${algorithm}:${actual}`),
      );
    }
  }
}

function invalid(reason: string, advice?: string): RegistryError {
  return new RegistryError("DIGEST_INVALID", cannot("use Content-Digest", reason, advice));
}
