import { computeDigest, type Digest, splitDigest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";

/** What a site says of itself in a QR code. */
interface InventorySummary {
  /** The name of the node. */
  readonly node: string;
  /** When the inventory was taken, in milliseconds since 1970. */
  readonly time: number;
  /** The installed packages, as `line4@1.0.0`. */
  readonly packages: readonly string[];
  /** All content of the store, sorted. */
  readonly digests: readonly Digest[];
}

// ISO/IEC 18004, table 7: version 35 with the error correction L has room for 2,303 bytes. Phones still read it.
const MAX_CODE_BYTES = 2300;
// The packages leave some room for the digests.
const MAX_HEAD_BYTES = 1100;
// 48 bits: among a million digests at the site and a thousand in a bundle, two begin alike once in 280,000 bundles. The
// import of such a bundle reports the content that is missing.
const PREFIX_BYTES = 6;
const PREFIX_DIGITS = 2 * PREFIX_BYTES;

/** Returns the digest of a list of digests: that of the sorted list, each digest followed by a line feed. */
export function digestOfList(digests: readonly Digest[]): Digest {
  return computeDigest([...digests].sort().map((digest) => `${digest}\n`).join(""));
}

/**
 * Formats the text of a QR code about a store: a JSON document with the node, the time, the packages, the number of digests
 * and the digest of their list. A small store also has `prefixes`: the first six bytes of each SHA-256 digest, in base64url.
 * Packages for which there is no room are counted in `more`.
 */
export function formatInventoryCode({ node, time, packages, digests }: InventorySummary): string {
  const about = {
    node,
    // The milliseconds say nothing.
    time: new Date(time).toISOString().replace(/\.\d+Z$/, "Z"),
    count: digests.length,
    list: digestOfList(digests),
  };
  let shown = packages.length;
  const formatHead = () => ({
    ...about,
    packages: packages.slice(0, shown),
    more: shown === packages.length ? undefined : packages.length - shown,
  });
  const sizeOf = (document: object) => new TextEncoder().encode(JSON.stringify(document)).length;
  while (shown > 0 && sizeOf(formatHead()) > MAX_HEAD_BYTES) shown--;
  const head = formatHead();
  // A large store has far more digests than there is room for.
  if (digests.length * PREFIX_BYTES > MAX_CODE_BYTES) return JSON.stringify(head);
  const whole = { ...head, prefixes: encodePrefixes(digests) };
  return JSON.stringify(sizeOf(whole) <= MAX_CODE_BYTES ? whole : head);
}

function encodePrefixes(digests: readonly Digest[]): string {
  const hex = digests.map(splitDigest).filter(({ algorithm }) => algorithm === "sha256").map(({ hex }) => hex);
  const prefixes = hex.map((text) => text.slice(0, PREFIX_DIGITS)).join("");
  return Uint8Array.fromHex(prefixes).toBase64({ alphabet: "base64url" });
}

/**
 * Parses the `prefixes` of a QR code.
 *
 * @returns the first twelve hexadecimal digits of each digest
 * @throws {CorruptError} when the text is not valid; `what` names the document
 */
export function parsePrefixes(text: string, what: string): Set<string> {
  const invalid = () => new CorruptError(cannot(`use ${what}`, 'its "prefixes" are not valid', "was it copied whole?"));
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % (PREFIX_BYTES / 3 * 4) !== 0) throw invalid();
  const hex = Uint8Array.fromBase64(text, { alphabet: "base64url" }).toHex();
  return new Set(hex.match(new RegExp(`.{${PREFIX_DIGITS}}`, "g")) ?? []);
}

/** Returns the part of a digest that `parsePrefixes` gives; `undefined` for one that is never in a code. */
export function prefixOfDigest(digest: Digest): string | undefined {
  const { algorithm, hex } = splitDigest(digest);
  return algorithm === "sha256" ? hex.slice(0, PREFIX_DIGITS) : undefined;
}
