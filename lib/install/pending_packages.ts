import { removeIfPresent, writeFileDurably } from "../files/durable.ts";
import { listFolder } from "../files/read_if_present.ts";
import { compareVersions } from "../kubepkg/compare_versions.ts";
import type { KubePkg, PackagePart } from "../kubepkg/kubepkg.ts";
import { parseKubePkg } from "../kubepkg/parse_kubepkg.ts";
import { formatCanonicalJson, identityOf } from "../kubepkg/version.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { CorruptError, RefusedError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { sweepPieces } from "../store/data_folder.ts";
import { INGEST } from "../store/layout.ts";

const LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 128 };

/**
 * The records of pending packages, at most one release of each name, in `<data>/kubepkg/<name>/pending.json`. Garbage
 * collection and eviction keep the content that they name, although nothing else refers to it yet.
 */
export class PendingPackages {
  readonly #data: string;
  readonly #root: string;
  readonly #ingest: string;
  readonly #randomName: () => string;

  /** @param data the data folder */
  constructor(data: string, randomName: () => string = () => crypto.randomUUID()) {
    this.#data = data;
    this.#root = `${data}/kubepkg`;
    this.#ingest = `${data}/${INGEST}`;
    this.#randomName = randomName;
  }

  /** Reads the record of a pending package. @throws {CorruptError} when the record is not valid */
  async read(name: string): Promise<PendingPackage | undefined> {
    const path = this.#path(name);
    try {
      return parsePending(await Deno.readFile(path), path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /** Lists all pending packages, sorted by name. @throws {CorruptError} when a record is not valid */
  async list(): Promise<PendingPackage[]> {
    const found: PendingPackage[] = [];
    const folders = (await listFolder(this.#root) ?? []).filter(({ isDirectory }) => isDirectory);
    for (const { name } of folders.sort((a, b) => a.name < b.name ? -1 : 1)) {
      const pending = await this.read(name);
      if (pending !== undefined) found.push(pending);
    }
    return found;
  }

  /** Writes the record of a pending package durably. It replaces an earlier record of the same name. */
  async write(pending: PendingPackage): Promise<void> {
    const bytes = new TextEncoder().encode(`${JSON.stringify(pending, undefined, 2)}\n`);
    const path = this.#path(pending.kubepkg.metadata.name);
    await writeFileDurably(path, bytes, { temporary: `${this.#ingest}/${this.#randomName()}.tmp` });
  }

  /** Removes the record of a package, and the pieces of blobs that no other pending package needs. */
  async remove(name: string): Promise<void> {
    const pending = await this.read(name).catch(undefinedIfCorrupt);
    await removeIfPresent(this.#path(name));
    if (pending === undefined) return;
    const digests = digestsOf(pending);
    const others = await this.list().catch(undefinedIfCorrupt);
    // A record is not readable, so the pieces that it needs are not known. They are left to garbage collection.
    if (others === undefined) return;
    const wanted = new Set(others.flatMap((other) => [...digestsOf(other)]));
    await sweepPieces(this.#data, (digest) => wanted.has(digest) || !digests.has(digest));
  }

  /** Removes the record of a package as `remove` does, unless another release of it is pending. */
  async removeRelease(kubepkg: KubePkg): Promise<void> {
    const { name } = kubepkg.metadata;
    const pending = await this.read(name).catch(undefinedIfCorrupt);
    if (pending !== undefined && identityOf(pending.kubepkg) === identityOf(kubepkg)) await this.remove(name);
  }

  #path(name: string): string {
    return `${this.#root}/${name}/pending.json`;
  }
}

function digestsOf({ kubepkg }: PendingPackage): Set<Digest> {
  return new Set((kubepkg.status?.digests ?? []).map(({ digest }) => digest));
}

function undefinedIfCorrupt(error: unknown): undefined {
  if (!(error instanceof CorruptError)) throw error;
}

function parsePending(bytes: Uint8Array, path: string): PendingPackage {
  const json = parseJson(bytes, path, LIMITS);
  const { kubepkg, part } = isJsonObject(json) ? json : {};
  const parsed = { kubepkg: parseKubePkg(kubepkg, path) };
  if (part === undefined) return parsed;
  const { id, count, came, received = came } = isJsonObject(part) ? part : {}; // crpe 0.1.0 wrote `came`
  const isNumber = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;
  if (!isDigest(id) || !isNumber(count) || !Array.isArray(received) || !received.every(isNumber)) {
    throw new CorruptError(`Cannot use ${path}: the field part is not valid; remove the file to start over`);
  }
  return { ...parsed, part: { id, count, received } };
}

/** A package whose content is incomplete: only some parts of its bundle were imported, or a push is in progress. */
export interface PendingPackage {
  /** Without `status.part`. */
  readonly kubepkg: KubePkg;
  /** Set if the bundle is split into parts. */
  readonly part?: PendingParts;
}

/** Which parts of a bundle were received. */
export interface PendingParts {
  /** The same for all parts of one pack. */
  readonly id: Digest;
  /** The number of parts. */
  readonly count: number;
  /** The numbers, from 1, of the parts that were read to the end; sorted. */
  readonly received: readonly number[];
}

/** Returns the document of the whole package, which is the same for all of its parts. */
export function withoutPart(kubepkg: KubePkg): KubePkg {
  if (kubepkg.status?.part === undefined) return kubepkg;
  const { part: _, ...status } = kubepkg.status;
  return { ...kubepkg, status };
}

/** Returns the numbers of the parts that were not received. */
export function missingParts({ count, received }: Pick<PendingParts, "count" | "received">): number[] {
  return Array.from({ length: count }, (_, i) => i + 1).filter((number) => !received.includes(number));
}

/**
 * Checks that a part belongs to the same pack as the parts that were received before.
 *
 * @param kubepkg the release of the part, without `status.part`
 * @param what names the part's file in errors
 * @returns the numbers of the parts of the same pack that were received
 * @throws {RefusedError} when parts of another pack or of a higher version were received, unless `force` is set
 */
export function checkPart(
  kubepkg: KubePkg,
  part: PackagePart,
  { pending, force, what }: { pending: PendingPackage | undefined; force?: boolean | undefined; what: string },
): readonly number[] {
  // A pending push has no parts that could conflict.
  if (pending?.part === undefined) return [];
  const { name } = kubepkg.metadata;
  const [version, other] = [kubepkg.spec.version, pending.kubepkg.spec.version];
  const { id, received } = pending.part;
  const isSame = id === part.id && part.count === pending.part.count &&
    formatCanonicalJson(kubepkg) === formatCanonicalJson(pending.kubepkg);
  if (isSame) return received;
  const order = compareVersions(version, other);
  if (force || order > 0 || received.length === 0) return [];
  const packed = order === 0 ? `, packed as ${id},` : "";
  const verb = received.length === 1 ? "was" : "were";
  const earlier = `${formatParts(received)} of ${name}@${other}${packed} ${verb} imported before`;
  throw new RefusedError(
    order < 0
      ? `Cannot import ${name}@${version}: ${earlier}, which is higher; --force discards the earlier parts`
      : `Cannot import ${what}: it is part ${part.number} of ${part.count} of another pack of ${name}@${version} ` +
        `(${part.id}); ${earlier}; import the parts of one pack, or discard the earlier parts with --force`,
  );
}

/** Formats part numbers as `part 1`, `parts 1, 2 and 4` or `none of the parts`. */
export function formatParts(numbers: readonly number[]): string {
  const [last, ...before] = [...numbers].reverse();
  if (last === undefined) return "none of the parts";
  return before.length === 0 ? `part ${last}` : `parts ${before.reverse().join(", ")} and ${last}`;
}
