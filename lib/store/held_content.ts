import { toUtf8 } from "../oci/to_utf8.ts";
import type { Digest } from "../oci/digest.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { INVENTORY_LIMITS, parseInventory } from "./inventory.ts";
import { parsePrefixes, prefixOfDigest } from "./inventory_code.ts";

// A QR code has less than 3,000 bytes.
const MAX_CODE_BYTES = 4096;

/** The content that a site has: whole digests, and those of which only the start is known, from a QR code. */
export class HeldContent {
  readonly #digests = new Set<Digest>();
  readonly #prefixes = new Set<string>();
  #models: ReadonlySet<string> | undefined;

  /**
   * The compressor models that the site can rebuild layers with: those that all inventories name. `undefined` without an
   * inventory.
   */
  get models(): ReadonlySet<string> | undefined {
    return this.#models;
  }

  /** Adds digests. */
  add(digests: Iterable<Digest>): void {
    for (const digest of digests) this.#digests.add(digest);
  }

  /**
   * Adds an inventory, or the text of a site's QR code with the starts of its digests.
   *
   * @param what name of the document, for errors
   * @throws {CorruptError} as `parseInventory` does
   */
  addInventory(bytes: Uint8Array, what: string): void {
    bytes = toUtf8(bytes, what);
    const prefixes = bytes.length <= MAX_CODE_BYTES ? findPrefixes(bytes, what) : undefined;
    if (prefixes !== undefined) {
      for (const prefix of prefixes) this.#prefixes.add(prefix);
      this.#models = new Set();
      return;
    }
    const { digests, models = [] } = parseInventory(bytes, what);
    this.add(digests);
    this.#models = this.#models === undefined ? new Set(models) : this.#models.intersection(new Set(models));
  }

  /** Reports whether the site has a blob or manifest. */
  has(digest: Digest): boolean {
    if (this.#digests.has(digest)) return true;
    const prefix = prefixOfDigest(digest);
    return prefix !== undefined && this.#prefixes.has(prefix);
  }
}

function findPrefixes(bytes: Uint8Array, what: string): Set<string> | undefined {
  if (!new TextDecoder().decode(bytes).trimStart().startsWith("{")) return undefined;
  const document = parseJson(bytes, what, INVENTORY_LIMITS);
  if (!isJsonObject(document) || typeof document.prefixes !== "string" || document.digests !== undefined) {
    return undefined;
  }
  return parsePrefixes(document.prefixes, what);
}
