import { type GzipHead, sizeOfRest } from "../archive/gzip_writer.ts";
import { BLOCK_BYTES } from "../archive/tar_header.ts";
import type { PackagePart, PartContent } from "../kubepkg/kubepkg.ts";
import { computeDigest } from "../oci/digest.ts";
import {
  type BundleFile,
  createEntry,
  createPieceEntry,
  END_BYTES,
  type FileEntry,
  formatKubePkg,
  formatPartHead,
  layOutFile,
  sizeOfEntry,
} from "./bundle_layout.ts";
import type { PlanEntry } from "./bundle_plan.ts";
import type { PreparedPack } from "./prepare_pack.ts";

/** Least content of a part: one that has next to nothing but its head is of no use. In bytes. */
const MIN_CONTENT_BYTES = 64 * 1024;
/** So many parts, about, are enough for anybody; each has all of `kubepkg.json`. */
const MANY_PARTS = 800;
/** A blob is not cut for less than this. */
const MIN_PIECE_BYTES = 32 * 1024;
/** What a head grows by when it names what the part carries, at the least. */
const HEAD_MARGIN = 1024;
/** By so much heads may differ that say another number of parts; tried anew with more where it is not enough. */
const COUNT_MARGIN = 32;
const KIB = 1024;

/** A size is too small for the parts of a package. */
export class SplitTooSmallError extends Error {
  /** The smallest size that works, in bytes. */
  readonly smallest: number;

  constructor(maxBytes: number, smallest: number) {
    super(`Cannot split into parts of ${maxBytes} bytes: the smallest size that works here is ${smallest / KIB}KiB`);
    this.smallest = smallest;
  }
}

/**
 * Divides a package over several files, each filled up before the next: a blob that does not fit into the rest of one is
 * cut, a manifest never. The same package and size give the same parts.
 *
 * @param maxBytes the most that a file may have
 * @throws {SplitTooSmallError}
 */
export function layOutParts(
  pack: Pick<PreparedPack, "kubepkg" | "plan">,
  maxBytes: number,
): BundleFile[] {
  const heads = new PartHeads(pack);
  const smallest = smallestPart(pack, heads);
  if (maxBytes < smallest) throw new SplitTooSmallError(maxBytes, smallest);
  // How many there will be is in every head, and known only when all of them are filled.
  for (let margin = COUNT_MARGIN;; margin *= 2) {
    const contents = divide(pack.plan.entries, heads, maxBytes - margin);
    const files = contents.map((entries, i) => {
      return layOutFile(heads.format({ number: i + 1, count: contents.length, entries }), entries);
    });
    if (files.every(({ size }) => size <= maxBytes)) return files;
  }
}

/** Makes the heads of the parts of one package. */
class PartHeads {
  readonly #kubepkg: PreparedPack["kubepkg"];
  readonly #id: PackagePart["id"];

  constructor({ kubepkg }: Pick<PreparedPack, "kubepkg">) {
    this.#kubepkg = kubepkg;
    this.#id = computeDigest(formatKubePkg(kubepkg));
  }

  format({ number, count, entries }: { number: number; count: number; entries: readonly FileEntry[] }): GzipHead {
    const part: PackagePart = { id: this.#id, number, count, carries: entries.map(describeContent) };
    return formatPartHead({ ...this.#kubepkg, status: { ...this.#kubepkg.status, part } });
  }

  size(number: number, entries: readonly FileEntry[]): number {
    return this.format({ number, count: MANY_PARTS, entries }).bytes.length;
  }
}

function describeContent({ descriptor: { digest, size }, start, length }: FileEntry): PartContent {
  return length === size ? { digest } : { digest, start, length };
}

function smallestPart({ plan: { entries } }: Pick<PreparedPack, "plan">, heads: PartHeads): number {
  const sizes = entries.map((entry) => ({ type: entry.type, size: sizeOfEntry(createEntry(entry)) }));
  const manifests = sizes.filter(({ type }) => type === "manifest").map(({ size }) => size);
  const total = sizes.reduce((sum, { size }) => sum + size, 0);
  const content = manifests.reduce(
    (a, b) => Math.max(a, b),
    Math.max(MIN_CONTENT_BYTES, Math.ceil(total / MANY_PARTS)),
  );
  const size = heads.size(MANY_PARTS, []) + HEAD_MARGIN + sizeOfRest(content + END_BYTES);
  return Math.ceil(size / KIB) * KIB;
}

/** What was not put into a part yet. */
interface Place {
  readonly index: number;
  /** Bytes of the entry that are in the parts before. */
  readonly start: number;
}

function divide(entries: readonly PlanEntry[], heads: PartHeads, maxBytes: number): FileEntry[][] {
  const parts: FileEntry[][] = [];
  let place: Place = { index: 0, start: 0 };
  do {
    const number = parts.length + 1;
    // The more a part carries, the larger is the head that names it.
    let headSize = heads.size(number, []);
    for (;;) {
      const filled = fill(entries, place, contentRoom(maxBytes - headSize));
      const needed = heads.size(number, filled.entries);
      if (needed <= headSize) {
        parts.push(filled.entries);
        place = filled.place;
        break;
      }
      headSize = needed;
    }
  } while (place.index < entries.length);
  return parts;
}

function fill(all: readonly PlanEntry[], from: Place, room: number): { entries: FileEntry[]; place: Place } {
  const entries: FileEntry[] = [];
  let { index, start } = from;
  for (let left = room; index < all.length; index++, start = 0) {
    const entry = all[index]!;
    const rest = entry.descriptor.size - start;
    const whole = start === 0 ? createEntry(entry) : createPieceEntry(entry, start, rest);
    if (sizeOfEntry(whole) <= left) {
      entries.push(whole);
      left -= sizeOfEntry(whole);
      continue;
    }
    const header = createPieceEntry(entry, start, rest).header.length;
    const length = Math.min(Math.floor((left - header) / BLOCK_BYTES) * BLOCK_BYTES, rest - 1);
    if (entry.type === "manifest" || length < MIN_PIECE_BYTES) break;
    entries.push(createPieceEntry(entry, start, length));
    return { entries, place: { index, start: start + length } };
  }
  return { entries, place: { index, start } };
}

// How many bytes of a tar's entries fit into so many bytes of a file behind its head.
function contentRoom(bytes: number): number {
  let body = bytes - (sizeOfRest(bytes) - bytes);
  while (sizeOfRest(body + 1) <= bytes) body++;
  return body - END_BYTES;
}
