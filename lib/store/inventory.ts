import { computeDigest, type Digest, isDigest, splitDigest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { isJsonObject, type JsonLimits, parseJson } from "../oci/json.ts";
import { listBlobSizes } from "./store_scan.ts";

/** Largest inventory that is read: some 800,000 digests. */
export const INVENTORY_LIMITS: JsonLimits = { maxBytes: 64 * 1024 * 1024, maxDepth: 16 };

/** What a store holds: the digests of all blobs and manifests that are there whole, sorted. @param root the data folder */
export async function listInventory(root: string): Promise<Digest[]> {
  const sizes = await listBlobSizes(root);
  // A file that was cut to nothing by a crash is no blob.
  return [...sizes].filter(([digest, size]) => size > 0 || isOfNothing(digest)).map(([digest]) => digest).sort();
}

/** The JSON document of an inventory, one digest a line. */
export function formatInventory(digests: readonly Digest[]): string {
  return `${JSON.stringify({ digests }, undefined, 2)}\n`;
}

/**
 * Reads an inventory: the JSON of `formatInventory`, or text with a digest at the beginning of each line, where what follows
 * the digest is ignored.
 *
 * @param what names the document in errors
 * @throws {CorruptError}
 */
export function parseInventory(bytes: Uint8Array, what: string): Set<Digest> {
  const begin = Math.max(0, bytes.findIndex((byte) => !isBlank(byte)));
  const isDocument = bytes[begin] === 0x7b || bytes[begin] === 0x5b;
  return new Set(isDocument ? parseDocument(bytes.subarray(begin), what) : parseLines(bytes, what));
}

function parseDocument(bytes: Uint8Array, what: string): Digest[] {
  const document = parseJson(bytes, what, INVENTORY_LIMITS);
  if (!isJsonObject(document) || !Array.isArray(document.digests)) {
    throw new CorruptError(`Cannot use ${what}: it has no list "digests", as crpe inventory prints it`);
  }
  return document.digests.map((digest, i) => {
    if (isDigest(digest)) return digest;
    throw new CorruptError(`Cannot use ${what}: digests[${i}]: must be sha256:<64 hex> or sha512:<128 hex>`);
  });
}

function parseLines(bytes: Uint8Array, what: string): Digest[] {
  const found: Digest[] = [];
  for (const [i, line] of new TextDecoder().decode(bytes).split("\n").entries()) {
    const [word = ""] = line.trim().split(/\s/, 1);
    if (isDigest(word)) found.push(word);
    else if (word !== "") {
      throw new CorruptError(
        `Cannot use ${what}: line ${i + 1} does not begin with sha256:<64 hex> or sha512:<128 hex>`,
      );
    }
  }
  // Whoever asked for it got nothing: a store that holds nothing has a document that says so.
  if (found.length === 0) throw new CorruptError(`Cannot use ${what}: it is empty`);
  return found;
}

// White space, and the mark that some editors put before UTF-8.
function isBlank(byte: number): boolean {
  return [0x20, 0x09, 0x0a, 0x0d, 0xef, 0xbb, 0xbf].includes(byte);
}

function isOfNothing(digest: Digest): boolean {
  return digest === computeDigest("", splitDigest(digest).algorithm);
}
