import { createFolder, removeIfPresent, syncFolder, writeFileDurably } from "../files/durable.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import { isPackageName, type KubePkg } from "../kubepkg/kubepkg.ts";
import { parseKubePkg } from "../kubepkg/parse_kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { parseJson } from "../oci/json.ts";
import { INGEST } from "../store/layout.ts";
import { HandoverRecords } from "./handover/handover_records.ts";
import { PendingPackages } from "./pending_packages.ts";

/** The packages that are installed, one folder each below `<data>/kubepkg`, with those that they replaced. */
export class PackageRecords {
  /** Where packages were handed over to. */
  readonly handovers: HandoverRecords;
  /** The packages that are on their way. */
  readonly pending: PendingPackages;
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
  }

  /** The installed version of a package. @throws {CorruptError} when its record cannot be read */
  async read(name: string): Promise<KubePkg | undefined> {
    return isPackageName(name) ? await readRecord(`${this.#root}/${name}/current.json`) : undefined;
  }

  /** All installed packages, sorted by name. */
  async list(): Promise<KubePkg[]> {
    const found: KubePkg[] = [];
    for (const name of (await namesIn(this.#root)).sort()) {
      const record = await this.read(name);
      if (record !== undefined) found.push(record);
    }
    return found;
  }

  /** The versions that came before the installed one, the oldest first. */
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
   * Records a package as installed; what was installed before goes into its history. What was on its way under the name,
   * this version or another, is so no more.
   */
  async write(kubepkg: KubePkg): Promise<void> {
    const { name } = kubepkg.metadata;
    const installed = await this.read(name);
    if (installed !== undefined) await this.#keep(installed);
    await this.#writeRecord(`${name}/current.json`, kubepkg);
    await this.pending.remove(name);
  }

  /**
   * Forgets a package and all that it replaced; the record of what is installed goes last, so that what was cut off can be
   * done again. What is on its way under the name stays.
   */
  async remove(name: string): Promise<void> {
    if (!isPackageName(name)) return;
    const folder = `${this.#root}/${name}`;
    for (const file of await namesIn(`${folder}/history`)) await removeIfPresent(`${folder}/history/${file}`);
    await removeIfPresent(`${folder}/history`);
    await this.handovers.remove(name);
    await removeIfPresent(`${folder}/current.json`);
    // Something else of the package may be in it, or come into it at this moment.
    await removeIfPresent(folder).catch(() => {});
    await syncFolder(this.#root);
  }

  /**
   * Waits until nobody else installs, and keeps others from it until the returned handle is disposed of. Where it cannot
   * be had, because the folder cannot be written or its file system knows no locks, it does without.
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

  /** Writes a file that goes again. @throws when that cannot be done */
  async checkWritable(): Promise<void> {
    const path = `${this.#ingest}/${this.#randomName()}.tmp`;
    await createFolder(this.#ingest);
    (await Deno.open(path, { write: true, createNew: true })).close();
    await removeIfPresent(path);
  }

  // Nothing where it was kept already, by one that was cut off before it could record what comes next.
  async #keep(installed: KubePkg): Promise<void> {
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
    await writeFileDurably(`${this.#ingest}/${this.#randomName()}.tmp`, `${this.#root}/${path}`, bytes);
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
 * All content that the installed packages need, and those that they replaced: a rollback needs these. Also that of
 * packages which are on their way: of these a part may be there, and is not to be brought again.
 *
 * @param except a package that does not count
 * @throws {CorruptError} when a record cannot be read: nobody knows then what is needed
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
