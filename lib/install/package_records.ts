import { createFolder, removeIfPresent, syncFolder } from "../files/durable.ts";
import { ifPresent, listFolder } from "../files/if_present.ts";
import { holdLock } from "../files/locked_file.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { isPackageId, isSamePackage, type PackageId, packageIdOf } from "../kubepkg/package_id.ts";
import { parseKubePkg } from "../kubepkg/parse_kubepkg.ts";
import { INGEST, temporaryPath } from "../store/layout.ts";
import { HandoverRecords } from "./handover/handover_records.ts";
import { ImageFileRecords } from "./image_file_records.ts";
import { PendingPackages } from "./pending_packages.ts";
import { Receipts } from "./receipts.ts";
import { FirstUseKeys } from "./records/first_use_keys.ts";
import { NodeKey } from "./records/node_key.ts";
import { RECORD } from "./records/package_folders.ts";
import type { SharedRecords } from "./records/shared_records.ts";
import { TrustRecords } from "./records/trust_records.ts";
import { formatRecord, readRecordFile, RecordError, setRecordAside } from "./records/record_file.ts";
import { RecordWriter } from "./records/record_writer.ts";

/** A package whose record cannot be read. */
interface RecordProblem {
  readonly id: PackageId;
  readonly error: RecordError;
}

/** What a scan of the records has found. */
export interface PackageScan {
  /** The installed packages whose record can be read, sorted by name and namespace. */
  readonly packages: readonly KubePkg[];
  readonly problems: readonly RecordProblem[];
}

/** The history of a package. */
interface HistoryScan extends PackageScan {
  /** When each release was installed, as far as the file system knows it. */
  readonly dates: ReadonlyMap<KubePkg, Date>;
}

const LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 128 };
const INDENT = 2;

/** The records of installed packages and of their earlier releases, one folder for each package in `<data>/kubepkg`. */
export class PackageRecords {
  /** The records of hand-overs. */
  readonly handovers: HandoverRecords;
  /** The records of pending packages. */
  readonly pending: PendingPackages;
  /** The records of archives with the images of packages. */
  readonly images: ImageFileRecords;
  /** The receipts of imports. */
  readonly receipts: Receipts;
  /** The key that signs the receipts. */
  readonly nodeKey: NodeKey;
  /** The evidence of signed releases. */
  readonly trust: TrustRecords;
  /** The keys that signed the first release of each package. */
  readonly firstUse: FirstUseKeys;
  /** The folder that has the records, as the folder `kubepkg`. */
  readonly folder: string;
  readonly #shared: SharedRecords | undefined;
  readonly #writer: RecordWriter;
  readonly #ingest: string;

  /**
   * @param data the data folder
   * @param shared the records that machines share, if the store is theirs, too. What is of this machine alone stays in the
   *   data folder: the key of the node, and archives of images.
   */
  constructor(data: string, shared?: SharedRecords) {
    const folder = this.folder = shared?.folder ?? data;
    const writer = new RecordWriter(folder, shared);
    this.#shared = shared;
    this.#writer = writer;
    this.#ingest = `${folder}/${INGEST}`;
    this.handovers = new HandoverRecords(writer);
    this.pending = new PendingPackages(writer, data);
    this.images = new ImageFileRecords(data);
    this.receipts = new Receipts(writer);
    this.nodeKey = new NodeKey(data);
    this.trust = new TrustRecords(writer);
    this.firstUse = new FirstUseKeys(writer);
  }

  /** Reads what other machines have changed, where the records are shared. */
  async refresh(options?: { readonly waits?: boolean }): Promise<void> {
    await this.#shared?.refresh(options);
  }

  /** Returns the installed release of a package. @throws {RecordError} when its record cannot be read */
  async read(id: PackageId): Promise<KubePkg | undefined> {
    for (const folder of await this.#writer.folders.placesOf(id)) {
      const found = await readRelease(`${folder}/${RECORD.current}`);
      if (found !== undefined && isSamePackage(packageIdOf(found), id)) return found;
    }
    return undefined;
  }

  /** Returns when the installed release of a package was recorded. */
  async readDate(id: PackageId): Promise<Date | undefined> {
    for (const folder of await this.#writer.folders.placesOf(id)) {
      const date = await dateOf(`${folder}/${RECORD.current}`);
      if (date !== undefined) return date;
    }
    return undefined;
  }

  /** Lists the packages that have a folder, sorted by name and namespace; not every one is installed. */
  async listIds(): Promise<PackageId[]> {
    return await this.#writer.folders.list();
  }

  /** Lists all installed packages whose record can be read, sorted by name and namespace. */
  async list(): Promise<readonly KubePkg[]> {
    return (await this.scan()).packages;
  }

  /** Lists all installed packages, and the records that cannot be read. */
  async scan(): Promise<PackageScan> {
    const packages: KubePkg[] = [];
    const problems: RecordProblem[] = [];
    for (const id of await this.listIds()) {
      try {
        const record = await this.read(id);
        if (record !== undefined) packages.push(record);
      } catch (error) {
        if (!(error instanceof RecordError)) throw error;
        problems.push({ id, error });
      }
    }
    return { packages, problems };
  }

  /** Lists the readable releases that were installed before the current one, the oldest first. */
  async listHistory(id: PackageId): Promise<readonly KubePkg[]> {
    return (await this.scanHistory(id)).packages.filter((kubepkg) => isSamePackage(packageIdOf(kubepkg), id));
  }

  /**
   * Lists everything in the history of a package, the oldest first, and the records that cannot be read. crpe 0.1.0 also kept
   * releases of the same name and another namespace there.
   */
  async scanHistory(id: PackageId): Promise<HistoryScan> {
    const packages: KubePkg[] = [];
    const dates = new Map<KubePkg, Date>();
    const problems: RecordProblem[] = [];
    // A folder that counts first has the later releases.
    for (const folder of (await this.#writer.folders.placesOf(id)).reverse()) {
      for (const path of await this.#writer.folders.listHistoryFiles(folder)) {
        try {
          const record = await readRelease(path);
          if (record === undefined) continue;
          packages.push(record);
          const date = await dateOf(path);
          if (date !== undefined) dates.set(record, date);
        } catch (error) {
          if (!(error instanceof RecordError)) throw error;
          problems.push({ id, error });
        }
      }
    }
    return { packages, problems, dates };
  }

  /**
   * Records a package as installed. The release that was installed before goes into the history. Any release of the
   * package that was pending is pending no longer. The caller holds the installation lock.
   */
  async write(kubepkg: KubePkg): Promise<void> {
    const id = packageIdOf(kubepkg);
    const installed = await this.read(id);
    await this.#writer.folders.settle(id.name);
    if (installed !== undefined) await this.#addToHistory(installed);
    await this.#writer.write(`${this.#writer.folders.pathOf(id)}/${RECORD.current}`, formatRecord(kubepkg, INDENT));
    await this.pending.remove(id);
  }

  /** Records a package as installed whose record was lost. The caller holds the installation lock. */
  async restore(kubepkg: KubePkg): Promise<void> {
    const path = `${this.#writer.folders.pathOf(packageIdOf(kubepkg))}/${RECORD.current}`;
    await this.#writer.write(path, formatRecord(kubepkg, INDENT));
  }

  /**
   * Removes the records of a package and of its history, also those that cannot be read. The record of the installed
   * release is removed last, so that an interrupted removal can be repeated. A pending release stays pending.
   */
  async remove(id: PackageId): Promise<void> {
    // An invalid name must not become part of a path.
    if (!isPackageId(id)) return;
    await this.#writer.folders.settle(id.name);
    const folder = this.#writer.folders.pathOf(id);
    const last = [RECORD.receipt, RECORD.handover, RECORD.current].flatMap((file) => [`${file}.broken`, file]);
    for (const path of await this.#listHistoryFolder(folder)) await removeIfPresent(path);
    await removeIfPresent(`${folder}/${RECORD.history}`);
    await this.trust.remove(id);
    for (const file of last) await removeIfPresent(`${folder}/${file}`);
    // The folder stays if it has other files of the package, or if one is written at this moment.
    await removeIfPresent(folder).catch(() => {});
    await syncFolder(this.#writer.folders.root);
  }

  /** Lists every record of a package that cannot be read. */
  async listProblems(id: PackageId): Promise<readonly RecordError[]> {
    const found = await Promise.all([
      findProblem(() => this.read(id)),
      findProblem(() => this.handovers.read(id)),
      findProblem(() => this.pending.read(id)),
      findProblem(() => this.images.read(id)),
      findProblem(() => this.receipts.read(id)),
    ]);
    const { problems } = await this.scanHistory(id);
    return [...found.filter((error) => error !== undefined), ...problems.map(({ error }) => error)];
  }

  /**
   * Renames every record of a package that cannot be read to `<file>.broken`, so that the package can be installed again.
   * The caller holds the installation lock.
   *
   * @returns the new names
   */
  async setAsideBroken(id: PackageId): Promise<string[]> {
    const paths: string[] = [];
    for (const { path } of await this.listProblems(id)) paths.push(await setRecordAside(path));
    return paths;
  }

  /**
   * Waits for the installation lock and holds it until the returned handle is disposed of. On a file system without
   * locks, the installation proceeds without one.
   *
   * @throws {Error} when the folder is not writable, or the lock cannot be taken
   */
  async lock(): Promise<AsyncDisposable> {
    if (this.#shared !== undefined) return await this.#shared.lock();
    const lock = await holdLock(`${this.#ingest}/install.lock`);
    return { [Symbol.asyncDispose]: () => Promise.resolve(lock[Symbol.dispose]()) };
  }

  /** Checks that the data folder is writable, with a temporary file. @throws {Error} when it is not */
  async checkWritable(): Promise<void> {
    const path = temporaryPath(this.folder);
    await createFolder(this.#ingest);
    (await Deno.open(path, { write: true, createNew: true })).close();
    await removeIfPresent(path);
  }

  // An interrupted installation may have added the release to the history already; it is not added twice.
  async #addToHistory(installed: KubePkg): Promise<void> {
    const folder = this.#writer.folders.pathOf(packageIdOf(installed));
    const last = (await this.#writer.folders.listHistoryFiles(folder)).at(-1);
    const record = formatRecord(installed, INDENT);
    if (last !== undefined && await ifPresent(Deno.readTextFile(last)) === record) return;
    const path = await this.#writer.folders.nextHistoryFile(folder);
    const installedAt = await this.readDate(packageIdOf(installed));
    await this.#writer.write(path, record);
    // The file keeps the date of the installation. One of another user does not, which is no reason to fail.
    if (installedAt !== undefined) await Deno.utime(path, installedAt, installedAt).catch(() => {});
  }

  async #listHistoryFolder(folder: string): Promise<string[]> {
    const history = `${folder}/${RECORD.history}`;
    const entries = await listFolder(history) ?? [];
    return entries.map(({ name }) => `${history}/${name}`);
  }
}

async function readRelease(path: string): Promise<KubePkg | undefined> {
  return await readRecordFile(path, LIMITS, (document) => parseKubePkg(document, path));
}

async function dateOf(path: string): Promise<Date | undefined> {
  return (await ifPresent(Deno.stat(path)))?.mtime ?? undefined;
}

async function findProblem(read: () => Promise<unknown>): Promise<RecordError | undefined> {
  try {
    await read();
    return undefined;
  } catch (error) {
    if (error instanceof RecordError) return error;
    throw error;
  }
}
