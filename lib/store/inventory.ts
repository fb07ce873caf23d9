import { toUtf8 } from "../oci/to_utf8.ts";
import { computeDigest, type Digest, DIGEST_FORM, isDigest, splitDigest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { isJsonObject, type JsonLimits, parseJson } from "../oci/json.ts";
import { blobPath } from "./layout.ts";
import { listBlobs, sizeOfFile } from "./store_scan.ts";

/** Limits for reading an inventory: 64 MiB is about 800,000 digests. */
export const INVENTORY_LIMITS: JsonLimits = { maxBytes: 64 * 1024 * 1024, maxDepth: 16 };

/**
 * Lists the digests of all complete blobs and manifests in a store, sorted.
 *
 * @param root the data folder
 */
export async function listInventory(root: string): Promise<Digest[]> {
  return await Array.fromAsync(walkInventory(root));
}

/** Yields the digests of `listInventory`, one at a time. */
export async function* walkInventory(root: string): AsyncGenerator<Digest> {
  for await (const digest of listBlobs(root)) {
    const size = sizeOfFile(`${root}/${blobPath(digest)}`);
    // A crash can leave a file truncated to 0 bytes, which is not a blob.
    if (size !== undefined && (size > 0 || isEmptyDigest(digest))) yield digest;
  }
}

/** What a site holds, and what it can rebuild. */
export interface Inventory {
  readonly digests: Iterable<Digest>;
  /** The compressor models that it rebuilds layers with, such as `go6/1`; absent for a crpe without deltas. */
  readonly models?: readonly string[];
  /** The public key of the node in PEM, which verifies its receipts; absent for a crpe without signed receipts. */
  readonly publicKey?: string;
}

/** An inventory whose digests need not be in memory. */
export interface StreamedInventory extends Omit<Inventory, "digests"> {
  readonly digests: Iterable<Digest> | AsyncIterable<Digest>;
}

const MAX_PIECE = 64 * 1024;

/** Formats an inventory as a JSON document with one digest per line, in pieces of about 64 KiB. */
export async function* formatInventory({ digests, ...more }: StreamedInventory): AsyncGenerator<string> {
  // The document of an empty list ends with its list and the other fields; the digests go in between.
  const empty = JSON.stringify({ digests: [], ...more }, undefined, 2);
  const end = empty.indexOf("[]") + 1;
  let [piece, count] = [empty.slice(0, end), 0];
  for await (const digest of digests) {
    piece += `${count++ === 0 ? "" : ","}\n    "${digest}"`;
    if (piece.length < MAX_PIECE) continue;
    yield piece;
    piece = "";
  }
  yield `${piece}${count === 0 ? "" : "\n  "}${empty.slice(end)}\n`;
}

/**
 * Parses an inventory: the JSON of `formatInventory`, or text with a digest at the start of each line. The rest of a
 * line is ignored.
 *
 * @param what name of the document, for errors
 * @throws {CorruptError} when the document has another format, contains an invalid digest, or is empty
 */
export function parseInventory(bytes: Uint8Array, what: string): Inventory & { readonly digests: ReadonlySet<Digest> } {
  bytes = toUtf8(bytes, what);
  const begin = Math.max(0, bytes.findIndex((byte) => !isBlank(byte)));
  const isDocument = bytes[begin] === 0x7b || bytes[begin] === 0x5b;
  if (!isDocument) return { digests: new Set(parseLines(bytes, what)) };
  const { digests, ...more } = parseDocument(bytes.subarray(begin), what);
  return { digests: new Set(digests), ...more };
}

function parseDocument(bytes: Uint8Array, what: string): Inventory {
  const document = parseJson(bytes, what, INVENTORY_LIMITS);
  if (!isJsonObject(document) || !Array.isArray(document.digests)) {
    throw new CorruptError(cannot(`use ${what}`, 'it has no "digests" list, as printed by crpe inventory'));
  }
  const digests = document.digests.map((digest, i) => {
    if (isDigest(digest)) return digest;
    throw new CorruptError(cannot(`use ${what}`, `digests[${i}]: must be ${DIGEST_FORM}`));
  });
  const { models, publicKey } = document;
  const key = typeof publicKey === "string" ? { publicKey } : {};
  if (models === undefined) return { digests, ...key };
  if (!Array.isArray(models) || !models.every((name) => typeof name === "string")) {
    throw new CorruptError(cannot(`use ${what}`, '"models" must be a list of names'));
  }
  return { digests, models, ...key };
}

function parseLines(bytes: Uint8Array, what: string): Digest[] {
  const found: Digest[] = [];
  for (const [i, line] of new TextDecoder().decode(bytes).split("\n").entries()) {
    const [word = ""] = line.trim().split(/\s/, 1);
    if (isDigest(word)) found.push(word);
    else if (word !== "") {
      throw new CorruptError(
        cannot(`use ${what}`, `line ${i + 1} does not begin with ${DIGEST_FORM}`),
      );
    }
  }
  // An empty store has a JSON document with an empty list. Empty text is the output of a command that failed.
  if (found.length === 0) throw new CorruptError(cannot(`use ${what}`, "it is empty"));
  return found;
}

function isBlank(byte: number): boolean {
  return [0x20, 0x09, 0x0a, 0x0d].includes(byte);
}

function isEmptyDigest(digest: Digest): boolean {
  return digest === computeDigest("", splitDigest(digest).algorithm);
}
