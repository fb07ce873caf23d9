import { type GzipHead, sizeOfRest } from "../archive/gzip_writer.ts";
import { BLOCK_BYTES } from "../archive/tar_header.ts";
import { formatSize } from "../bytes/format_size.ts";
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
import { cannot, UsageError } from "../oci/error.ts";

/** Least content of a part in bytes. With less, a part would consist of little more than its head. */
const MIN_CONTENT_BYTES = 64 * 1024;
/** Approximate limit for the number of parts. Each part repeats all of `kubepkg.json`. */
const MAX_PARTS = 800;
/** Smallest piece that a blob is cut for, in bytes. */
const MIN_PIECE_BYTES = 32 * 1024;
/** Least growth of a head, in bytes, when it lists what its part carries. */
const HEAD_MARGIN = 1024;
/** Margin in bytes for heads that differ in the number of parts. It is doubled until the parts fit. */
const COUNT_MARGIN = 32;
const KIB = 1024;

/**
 * Divides a package into several files, each filled before the next. A blob that does not fit into the rest of a file is
 * cut into pieces; a manifest never is. A delta is a blob here, by its own digest. The same package and size give the same
 * parts.
 *
 * @param maxBytes largest size of a file, in bytes
 * @throws {UsageError} when `maxBytes` is too small for the package
 */
export function layOutParts(
  pack: Pick<PreparedPack, "kubepkg" | "plan" | "sign">,
  maxBytes: number,
): BundleFile[] {
  const heads = new PartHeads(pack);
  const planned = pack.plan.entries.map(({ layer: _, ...entry }): PlanEntry => entry);
  const smallest = smallestPart(planned, heads);
  if (maxBytes < smallest) {
    const reason = `the smallest size that works here is ${smallest / KIB}KiB`;
    throw new UsageError(cannot(`split into parts of ${formatSize(maxBytes)}`, reason));
  }
  // Every head contains the number of parts, which is known only after all parts are filled.
  for (let margin = COUNT_MARGIN;; margin *= 2) {
    const contents = divide(planned, heads, maxBytes - margin);
    const files = contents.map((entries, i) => {
      return layOutFile(heads.format({ number: i + 1, count: contents.length, entries }), entries);
    });
    if (files.every(({ size }) => size <= maxBytes)) return files;
  }
}

/** Formats the heads of the parts of a package. */
class PartHeads {
  readonly #kubepkg: PreparedPack["kubepkg"];
  readonly #sign: PreparedPack["sign"];
  readonly #id: PackagePart["id"];

  constructor({ kubepkg, sign }: Pick<PreparedPack, "kubepkg" | "sign">) {
    this.#kubepkg = kubepkg;
    this.#sign = sign;
    this.#id = computeDigest(formatKubePkg(kubepkg));
  }

  format({ number, count, entries }: { number: number; count: number; entries: readonly FileEntry[] }): GzipHead {
    const part: PackagePart = { id: this.#id, number, count, carries: entries.map(describeContent) };
    return formatPartHead({ ...this.#kubepkg, status: { ...this.#kubepkg.status, part } }, this.#sign);
  }

  size(number: number, entries: readonly FileEntry[]): number {
    return this.format({ number, count: MAX_PARTS, entries }).bytes.length;
  }
}

function describeContent({ descriptor: { digest, size }, start, length }: FileEntry): PartContent {
  return length === size ? { digest } : { digest, start, length };
}

function smallestPart(entries: readonly PlanEntry[], heads: PartHeads): number {
  const sizes = entries.map((entry) => ({ type: entry.type, size: sizeOfEntry(createEntry(entry)) }));
  const manifests = sizes.filter(({ type }) => type === "manifest").map(({ size }) => size);
  const total = sizes.reduce((sum, { size }) => sum + size, 0);
  const content = manifests.reduce(
    (a, b) => Math.max(a, b),
    Math.max(MIN_CONTENT_BYTES, Math.ceil(total / MAX_PARTS)),
  );
  const size = heads.size(MAX_PARTS, []) + HEAD_MARGIN + sizeOfRest(content + END_BYTES);
  return Math.ceil(size / KIB) * KIB;
}

/** Position in the plan: everything before it is already in a part. */
interface PlanPosition {
  readonly index: number;
  /** Bytes of the entry that earlier parts carry. */
  readonly start: number;
}

function divide(entries: readonly PlanEntry[], heads: PartHeads, maxBytes: number): FileEntry[][] {
  const parts: FileEntry[][] = [];
  let position: PlanPosition = { index: 0, start: 0 };
  do {
    const number = parts.length + 1;
    // The head lists what the part carries, so it grows with the content.
    let headSize = heads.size(number, []);
    for (;;) {
      const filled = fill(entries, position, contentRoom(maxBytes - headSize));
      const needed = heads.size(number, filled.entries);
      if (needed <= headSize) {
        parts.push(filled.entries);
        position = filled.position;
        break;
      }
      headSize = needed;
    }
  } while (position.index < entries.length);
  return parts;
}

function fill(
  all: readonly PlanEntry[],
  from: PlanPosition,
  room: number,
): { entries: FileEntry[]; position: PlanPosition } {
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
    return { entries, position: { index, start: start + length } };
  }
  return { entries, position: { index, start } };
}

// Returns how many bytes of tar entries fit into `bytes` of a file after its head.
function contentRoom(bytes: number): number {
  let body = bytes - (sizeOfRest(bytes) - bytes);
  while (sizeOfRest(body + 1) <= bytes) body++;
  return body - END_BYTES;
}
