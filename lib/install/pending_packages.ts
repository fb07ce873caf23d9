// @ts-types="../std/semver.d.ts"
import { compare, parse } from "@std/semver";
import { removeIfPresent, writeFileDurably } from "../files/durable.ts";
import { listFolder } from "../files/read_if_present.ts";
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
 * The packages that are on their way, at most one of a name, as `<data>/kubepkg/<name>/pending.json`. What they name is
 * kept by collectors although nothing else refers to it.
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

  /** What has come of a package. @throws {CorruptError} when it cannot be read */
  async read(name: string): Promise<PendingPackage | undefined> {
    const path = this.#path(name);
    try {
      return parsePending(await Deno.readFile(path), path);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /** All packages that are on their way, sorted by name. */
  async list(): Promise<PendingPackage[]> {
    const found: PendingPackage[] = [];
    const folders = (await listFolder(this.#root) ?? []).filter(({ isDirectory }) => isDirectory);
    for (const { name } of folders.sort((a, b) => a.name < b.name ? -1 : 1)) {
      const pending = await this.read(name);
      if (pending !== undefined) found.push(pending);
    }
    return found;
  }

  /** Says what has come of a package, durably, in the place of what was said before. */
  async write(pending: PendingPackage): Promise<void> {
    const bytes = new TextEncoder().encode(`${JSON.stringify(pending, undefined, 2)}\n`);
    const path = this.#path(pending.kubepkg.metadata.name);
    await writeFileDurably(`${this.#ingest}/${this.#randomName()}.tmp`, path, bytes);
  }

  /** Says that a package is on its way no more; pieces of blobs that only it waited for go. */
  async remove(name: string): Promise<void> {
    const pending = await this.read(name).catch(undefinedIfCorrupt);
    await removeIfPresent(this.#path(name));
    if (pending === undefined) return;
    const digests = digestsOf(pending);
    const others = await this.list().catch(undefinedIfCorrupt);
    // Nobody knows what that one waits for: a collection will see to it.
    if (others === undefined) return;
    const wanted = new Set(others.flatMap((other) => [...digestsOf(other)]));
    await sweepPieces(this.#data, (digest) => wanted.has(digest) || !digests.has(digest));
  }

  /** As `remove`, unless what is on its way is another release. */
  async settle(kubepkg: KubePkg): Promise<void> {
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
    throw new CorruptError(`Cannot use ${path}: part is not what it has to be; remove the file to begin anew`);
  }
  return { ...parsed, part: { id, count, received } };
}

/** A package of which something has come, and not yet all: parts of a bundle, or a push. */
export interface PendingPackage {
  /** Without `status.part`. */
  readonly kubepkg: KubePkg;
  /** Where it comes in parts. */
  readonly part?: PendingParts;
}

/** Which parts of a bundle have come. */
export interface PendingParts {
  /** The same for all parts of one pack. */
  readonly id: Digest;
  /** How many there are. */
  readonly count: number;
  /** The numbers, from 1, of those that were read to their end; sorted. */
  readonly received: readonly number[];
}

/** A package as all its parts together have it. */
export function withoutPart(kubepkg: KubePkg): KubePkg {
  if (kubepkg.status?.part === undefined) return kubepkg;
  const { part: _, ...status } = kubepkg.status;
  return { ...kubepkg, status };
}

/** The numbers of the parts that have not come. */
export function missingParts({ count, received }: Pick<PendingParts, "count" | "received">): number[] {
  return Array.from({ length: count }, (_, i) => i + 1).filter((number) => !received.includes(number));
}

/**
 * Decides whether a part may come to what is there of its package.
 *
 * @param kubepkg of the part, without `status.part`
 * @param what names the file of the part in errors
 * @returns the parts that have come of the same pack
 * @throws {RefusedError} when other parts, of another pack or a higher version, are there and it is not forced
 */
export function checkPart(
  kubepkg: KubePkg,
  part: PackagePart,
  { pending, force, what }: { pending: PendingPackage | undefined; force?: boolean | undefined; what: string },
): readonly number[] {
  // What a push has brought makes no difference to parts.
  if (pending?.part === undefined) return [];
  const { name } = kubepkg.metadata;
  const [version, other] = [kubepkg.spec.version, pending.kubepkg.spec.version];
  const { id, received } = pending.part;
  const isSame = id === part.id && part.count === pending.part.count &&
    formatCanonicalJson(kubepkg) === formatCanonicalJson(pending.kubepkg);
  if (isSame) return received;
  const order = compare(parse(version), parse(other));
  if (force || order > 0 || received.length === 0) return [];
  const packed = order === 0 ? `, packed as ${id},` : "";
  const there = `${formatParts(received)} of ${name}@${other}${packed} ${received.length === 1 ? "has" : "have"} come`;
  throw new RefusedError(
    order < 0
      ? `Cannot import ${name}@${version}: ${there}, which is higher; --force gives up what came`
      : `Cannot import ${what}: it is part ${part.number} of ${part.count} of another pack of ${name}@${version} ` +
        `(${part.id}); ${there}; bring the parts of one pack, or give up what came with --force`,
  );
}

/** `part 1`, `parts 1, 2 and 4`, `none of the parts`. */
export function formatParts(numbers: readonly number[]): string {
  const [last, ...before] = [...numbers].reverse();
  if (last === undefined) return "none of the parts";
  return before.length === 0 ? `part ${last}` : `parts ${before.reverse().join(", ")} and ${last}`;
}
