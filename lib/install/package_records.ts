import { createFolder, removeIfPresent, syncFolder, writeFileDurably } from "../files/durable.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import { isPackageName, type KubePkg } from "../kubepkg/kubepkg.ts";
import { parseKubePkg } from "../kubepkg/parse_kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { parseJson } from "../oci/json.ts";
import { INGEST } from "../store/layout.ts";
import { HandoverRecords } from "./handover/handover_records.ts";
import { ImageFileRecords } from "./image_file_records.ts";
import { PendingPackages } from "./pending_packages.ts";

/** The records of installed packages and of their earlier releases, one folder for each package in `<data>/kubepkg`. */
export class PackageRecords {
  /** The records of hand-overs. */
  readonly handovers: HandoverRecords;
  /** The records of pending packages. */
  readonly pending: PendingPackages;
  /** The records of archives with the images of packages. */
  readonly images: ImageFileRecords;
  readonly #root: string;
  readonly #ingest: string;
  readonly #randomName: () => string;

  /** @param data the data folder */
  constructor(data: string, randomName: () => string = () => crypto.randomUUID()) {
    this.#root = `${data}/kubepkg`;
    this.#ingest = `${data}/${INGEST}`;
    this.#randomName = randomName;
    this.handovers = new HandoverRecords(data, randomName);
    this.pending = new PendingPackages(data, randomName);
    this.images = new ImageFileRecords(data, randomName);
  }

  /** Returns the installed release of a package. @throws {CorruptError} when its record is not valid */
  async read(name: string): Promise<KubePkg | undefined> {
    return isPackageName(name) ? await readRecord(`${this.#root}/${name}/current.json`) : undefined;
  }

  /** Lists all installed packages, sorted by name. @throws {CorruptError} when a record is not valid */
  async list(): Promise<KubePkg[]> {
    const found: KubePkg[] = [];
    for (const name of (await namesIn(this.#root)).sort()) {
      const record = await this.read(name);
      if (record !== undefined) found.push(record);
    }
    return found;
  }

  /** Lists the names of all packages that have a record of any kind, also those that are not installed; sorted. */
  async listNames(): Promise<string[]> {
    return (await namesIn(this.#root)).filter(isPackageName).sort();
  }

  /** Lists the releases that were installed before the current one, the oldest first. */
  async listHistory(name: string): Promise<KubePkg[]> {
    if (!isPackageName(name)) return [];
    const found: KubePkg[] = [];
    for (const file of await this.#historyFiles(name)) {
      const record = await readRecord(`${this.#root}/${name}/history/${file}`);
      if (record !== undefined) found.push(record);
    }
    return found;
  }

  /**
   * Records a package as installed. The release that was installed before goes into the history. Any release of the
   * package that was pending is pending no longer.
   */
  async write(kubepkg: KubePkg): Promise<void> {
    const { name } = kubepkg.metadata;
    const installed = await this.read(name);
    if (installed !== undefined) await this.#addToHistory(installed);
    await this.#writeRecord(`${name}/current.json`, kubepkg);
    await this.pending.remove(name);
  }

  /**
   * Removes the records of a package and of its history. The record of the installed release is removed last, so that
   * an interrupted removal can be repeated. A pending release stays pending.
   */
  async remove(name: string): Promise<void> {
    if (!isPackageName(name)) return;
    const folder = `${this.#root}/${name}`;
    for (const file of await namesIn(`${folder}/history`)) await removeIfPresent(`${folder}/history/${file}`);
    await removeIfPresent(`${folder}/history`);
    await this.handovers.remove(name);
    await removeIfPresent(`${folder}/current.json`);
    // The folder stays if it has other files of the package, or if one is written at this moment.
    await removeIfPresent(folder).catch(() => {});
    await syncFolder(this.#root);
  }

  /**
   * Waits for the installation lock and holds it until the returned handle is disposed of. If the folder is not
   * writable or its file system does not support locks, the installation proceeds without a lock.
   */
  async lock(): Promise<Disposable> {
    let file: Deno.FsFile | undefined;
    try {
      await createFolder(this.#ingest);
      file = await Deno.open(`${this.#ingest}/install.lock`, { write: true, create: true });
      await file.lock(true);
    } catch {
      file?.close();
      return { [Symbol.dispose]() {} };
    }
    return { [Symbol.dispose]: () => file.close() };
  }

  /** Checks that the data folder is writable, with a temporary file. @throws {Error} when it is not */
  async checkWritable(): Promise<void> {
    const path = `${this.#ingest}/${this.#randomName()}.tmp`;
    await createFolder(this.#ingest);
    (await Deno.open(path, { write: true, createNew: true })).close();
    await removeIfPresent(path);
  }

  // An interrupted installation may have added the release to the history already; it is not added twice.
  async #addToHistory(installed: KubePkg): Promise<void> {
    const { name } = installed.metadata;
    const last = (await this.#historyFiles(name)).at(-1);
    const record = formatRecord(installed);
    if (last !== undefined && await Deno.readTextFile(`${this.#root}/${name}/history/${last}`) === record) return;
    const number = last === undefined ? 1 : Number.parseInt(last) + 1;
    await this.#writeRecord(`${name}/history/${String(number).padStart(6, "0")}.json`, installed);
  }

  async #historyFiles(name: string): Promise<string[]> {
    return (await namesIn(`${this.#root}/${name}/history`)).filter((file) => /^[0-9]{6,}\.json$/.test(file)).sort();
  }

  async #writeRecord(path: string, kubepkg: KubePkg): Promise<void> {
    const bytes = new TextEncoder().encode(formatRecord(kubepkg));
    await writeFileDurably(`${this.#root}/${path}`, bytes, { temporary: `${this.#ingest}/${this.#randomName()}.tmp` });
  }
}

function formatRecord(kubepkg: KubePkg): string {
  return `${JSON.stringify(kubepkg, undefined, 2)}\n`;
}

const RECORD_LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 128 };

async function readRecord(path: string): Promise<KubePkg | undefined> {
  try {
    return parseKubePkg(parseJson(await Deno.readFile(path), path, RECORD_LIMITS), path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function namesIn(path: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name).filter((name) => !name.startsWith("."));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/**
 * Collects the digests of all content that packages need: the installed releases, their history (for a rollback), and
 * the pending releases (so that content which was received is not transferred again).
 *
 * @param except the name of an installed package to leave out
 * @throws {CorruptError} when a record is not valid, because the content that it needs is not known then
 */
export async function collectPackageDigests(records: PackageRecords, except?: string): Promise<Set<Digest>> {
  const found = new Set<Digest>();
  for (const installed of await records.list()) {
    if (installed.metadata.name === except) continue;
    for (const kubepkg of [installed, ...await records.listHistory(installed.metadata.name)]) {
      addDigests(kubepkg, found);
    }
  }
  for (const { kubepkg } of await records.pending.list()) addDigests(kubepkg, found);
  return found;
}

function addDigests(kubepkg: KubePkg, found: Set<Digest>): void {
  for (const { digest } of kubepkg.status?.digests ?? []) found.add(digest);
  for (const { digest } of imagesOf(kubepkg)) if (digest !== undefined) found.add(digest);
}
