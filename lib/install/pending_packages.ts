import { removeIfPresent } from "../files/durable.ts";
import { ifPresent, listFolder } from "../files/if_present.ts";
import { parentOf } from "../files/parent_of.ts";
import { compareVersions } from "../kubepkg/compare_versions.ts";
import type { KubePkg, PackagePart, StatusDelta } from "../kubepkg/kubepkg.ts";
import {
  comparePackageIds,
  DEFAULT_NAMESPACE,
  formatRelease,
  isSamePackage,
  type PackageId,
  packageIdOf,
} from "../kubepkg/package_id.ts";
import { parseKubePkg } from "../kubepkg/parse_kubepkg.ts";
import { formatCanonicalJson, identityOf } from "../kubepkg/version.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { byForce, cannot, CorruptError, RefusedError } from "../oci/error.ts";
import { isJsonObject } from "../oci/json.ts";
import { sweepPartials, sweepPieces } from "../store/data_folder.ts";
import { partialPath, piecesPath } from "../store/layout.ts";
import { RECORD } from "./records/package_folders.ts";
import { absentIfBroken, formatRecord, readRecordFile, RecordError, setRecordAside } from "./records/record_file.ts";
import type { RecordWriter } from "./records/record_writer.ts";

const LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 128 };

/** How many packages can be pending at once. Each keeps content in the store, and is read for every blob of a push. */
export const MAX_PENDING = 100;

/** What a scan of the pending packages has found. */
interface PendingScan {
  /** Sorted by name and namespace. */
  readonly pending: readonly PendingPackage[];
  readonly problems: readonly RecordError[];
}

/**
 * The records of pending packages, at most one release of each, in the file `pending.json` of its folder. Garbage collection
 * and eviction keep the content that they name, although nothing else refers to it yet.
 */
export class PendingPackages {
  readonly #received: string;
  readonly #writer: RecordWriter;
  // The last write: the number of records is counted before each, one after the other.
  #writing: Promise<void> = Promise.resolve();

  /** @param received the data folder that has what was received of blobs */
  constructor(writer: RecordWriter, received: string) {
    this.#received = received;
    this.#writer = writer;
  }

  /** Reads the record of a pending package. @throws {RecordError} when the record cannot be read */
  async read(id: PackageId): Promise<PendingPackage | undefined> {
    return (await this.#find(id))?.pending;
  }

  /** Lists the pending packages whose record can be read, and the records that cannot. */
  async scan(): Promise<PendingScan> {
    const pending: PendingPackage[] = [];
    const problems: RecordError[] = [];
    for (const path of await this.#listFiles()) {
      try {
        const found = await readPending(path);
        if (found !== undefined) pending.push(found);
      } catch (error) {
        if (!(error instanceof RecordError)) throw error;
        problems.push(error);
      }
    }
    const compare = (a: PendingPackage, b: PendingPackage) =>
      comparePackageIds(packageIdOf(a.kubepkg), packageIdOf(b.kubepkg));
    return { pending: pending.sort(compare), problems };
  }

  /**
   * Writes the record of a pending package durably. It replaces an earlier record of the same package; one that cannot be
   * read is kept as `pending.json.broken`.
   *
   * @throws {RefusedError} when `MAX_PENDING` other packages are pending
   */
  async write(pending: PendingPackage): Promise<void> {
    const writing = this.#writing.then(() => this.#write(pending));
    this.#writing = writing.catch(() => {});
    await writing;
  }

  async #write(pending: PendingPackage): Promise<void> {
    const id = packageIdOf(pending.kubepkg);
    const path = `${this.#writer.folders.pathOf(id)}/${RECORD.pending}`;
    await this.#writer.folders.settlePending(id.name);
    const others = (await this.#listFiles()).filter((other) => other !== path);
    if (others.length >= MAX_PENDING) {
      const advice = "end some with crpe packages remove NAME --pending (crpe packages --pending lists them)";
      const reason = `${others.length} packages are pending`;
      throw new RefusedError(cannot(`accept ${formatRelease(pending.kubepkg)}`, reason, advice));
    }
    await readPending(path).catch(async (error) => {
      absentIfBroken(error);
      if (!(error as RecordError).isDamaged) throw error;
      await setRecordAside(path);
    });
    await this.#writer.write(path, formatRecord(pending, 2));
  }

  /**
   * Returns when content of a pending package was received last: the time of its record, or of a blob or piece in
   * progress, in milliseconds. `undefined` if it is not pending any more.
   */
  async readActivity(pending: PendingPackage): Promise<number | undefined> {
    const found = await this.#find(packageIdOf(pending.kubepkg)).catch(absentIfBroken);
    if (found === undefined) return undefined;
    const files = [...digestsOf(found.pending)].flatMap((digest) => [partialPath(digest), piecesPath(digest)]);
    const paths = [found.path, ...files.map((file) => `${this.#received}/${file}`)];
    const times = await Promise.all(paths.map(async (path) => (await lstatIfPresent(path))?.mtime?.getTime() ?? 0));
    return Math.max(...times);
  }

  /** Notes that a pending package is in use now. */
  async touch(pending: PendingPackage, time: number): Promise<void> {
    const found = await this.#find(packageIdOf(pending.kubepkg));
    if (found !== undefined) await Deno.utime(found.path, new Date(time), new Date(time));
  }

  /**
   * Removes the record of a package, and the received parts of blobs that no other pending package needs. A transfer in
   * progress keeps its partial file.
   */
  async remove(id: PackageId): Promise<void> {
    const found = await this.#find(id).catch(absentIfBroken);
    const path = found?.path ?? `${this.#writer.folders.pathOf(id)}/${RECORD.pending}`;
    await this.#writer.change(path, () => removeIfPresent(path));
    // The folder stays if it has other files of the package.
    await removeIfPresent(parentOf(path)).catch(() => {});
    if (found === undefined) return;
    const digests = digestsOf(found.pending);
    const { pending: others, problems } = await this.scan();
    // A record is not readable, so the pieces that it needs are not known. They are left to garbage collection.
    if (problems.length > 0) return;
    const wanted = new Set(others.flatMap((other) => [...digestsOf(other)]));
    await sweepPieces(this.#received, (digest) => wanted.has(digest) || !digests.has(digest));
    await sweepPartials(this.#received, digests.difference(wanted));
  }

  /** Removes the record of a package as `remove` does, unless another release of it is pending. */
  async removeRelease(kubepkg: KubePkg): Promise<void> {
    const id = packageIdOf(kubepkg);
    const pending = await this.read(id).catch(absentIfBroken);
    if (pending !== undefined && identityOf(pending.kubepkg) === identityOf(kubepkg)) await this.remove(id);
  }

  async #listFiles(): Promise<string[]> {
    const { root } = this.#writer.folders;
    const folders = (await listFolder(root) ?? []).filter(({ isDirectory, name }) =>
      isDirectory && !name.startsWith(".")
    );
    const paths = folders.map(({ name }) => `${root}/${name}/${RECORD.pending}`);
    const files = await Promise.all(paths.map(lstatIfPresent));
    return paths.filter((_, i) => files[i] !== undefined);
  }

  // crpe 0.1.0 wrote the record of every namespace into the folder `<name>`, which is the one of the namespace `default`.
  async #find(id: PackageId): Promise<{ path: string; pending: PendingPackage } | undefined> {
    const own = `${this.#writer.folders.pathOf(id)}/${RECORD.pending}`;
    const shared = `${this.#writer.folders.pathOf({ ...id, namespace: DEFAULT_NAMESPACE })}/${RECORD.pending}`;
    if (own !== shared) {
      const pending = await readPending(shared).catch(absentIfBroken);
      if (pending !== undefined && isSamePackage(packageIdOf(pending.kubepkg), id)) return { path: shared, pending };
    }
    const pending = await readPending(own);
    if (pending === undefined || !isSamePackage(packageIdOf(pending.kubepkg), id)) return undefined;
    return { path: own, pending };
  }
}

async function readPending(path: string): Promise<PendingPackage | undefined> {
  return await readRecordFile(path, LIMITS, (document) => parsePending(document, path));
}

async function lstatIfPresent(path: string): Promise<Deno.FileInfo | undefined> {
  return await ifPresent(Deno.lstat(path));
}

function digestsOf({ kubepkg }: PendingPackage): Set<Digest> {
  const { digests = [], deltas = [] } = kubepkg.status ?? {};
  return new Set([...digests.map(({ digest }) => digest), ...deltas.map(({ delta }) => delta)]);
}

function parsePending(json: unknown, path: string): PendingPackage {
  const { kubepkg, part } = isJsonObject(json) ? json : {};
  const parsed = { kubepkg: parseKubePkg(kubepkg, path) };
  if (part === undefined) return parsed;
  const { id, count, came, received = came } = isJsonObject(part) ? part : {}; // crpe 0.1.0 wrote `came`
  const isNumber = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;
  if (!isDigest(id) || !isNumber(count) || !Array.isArray(received) || !received.every(isNumber)) {
    throw new CorruptError(cannot(`use ${path}`, "the field part is not valid"));
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
interface PendingParts {
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

/** Returns a pending package with more deltas: parts and a push may come in turns, with deltas against different layers. */
export function withDeltas({ kubepkg, ...more }: PendingPackage, added: readonly StatusDelta[] = []): PendingPackage {
  const all = new Map([...kubepkg.status?.deltas ?? [], ...added].map((it) => [it.delta, it]));
  const deltas = all.size === 0 ? {} : { deltas: [...all.values()] };
  return { ...more, kubepkg: { ...kubepkg, status: { ...kubepkg.status, ...deltas } } };
}

function withoutDeltas(kubepkg: KubePkg): KubePkg {
  const { deltas: _, ...status } = kubepkg.status ?? {};
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
  const [version, other] = [kubepkg.spec.version, pending.kubepkg.spec.version];
  const release = formatRelease(kubepkg);
  const { id, count, received } = pending.part;
  if (isSamePack(kubepkg, part, pending)) return received;
  const order = compareVersions(version, other);
  if (force || order > 0 || received.length === 0) return [];
  // The id is of the content: another --split has the same.
  const packed = order === 0 ? `, packed as ${id} in ${count} parts,` : "";
  const verb = received.length === 1 ? "was" : "were";
  const earlier = `${formatParts(received)} of ${formatRelease(pending.kubepkg)}${packed} ${verb} imported before`;
  throw new RefusedError(
    order < 0 ? cannot(`import ${release}`, `${earlier}, which is higher`) : cannot(
      `import ${what}`,
      `it is part ${part.number} of ${part.count} of another pack of ${release} ` +
        `(${part.id}); ${earlier}`,
      "import the parts of one pack",
    ),
    byForce("--force discards the earlier parts"),
  );
}

/** Reports whether a part is of the same pack as the parts that were received. */
export function isSamePack(kubepkg: KubePkg, { id, count }: PackagePart, pending: PendingPackage): boolean {
  return id === pending.part?.id && count === pending.part.count &&
    formatCanonicalJson(withoutDeltas(kubepkg)) === formatCanonicalJson(withoutDeltas(pending.kubepkg));
}

/** Formats part numbers as `part 1`, `parts 1, 2 and 4` or `none of the parts`. */
export function formatParts(numbers: readonly number[]): string {
  const [last, ...before] = [...numbers].reverse();
  if (last === undefined) return "none of the parts";
  return before.length === 0 ? `part ${last}` : `parts ${before.reverse().join(", ")} and ${last}`;
}
