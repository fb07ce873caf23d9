import { commitFile, removeIfPresent, syncFolder } from "../../files/durable.ts";
import { ifPresent, isAbsent, listFolder } from "../../files/if_present.ts";
import { isPackageName } from "../../kubepkg/kubepkg.ts";
import {
  comparePackageIds,
  DEFAULT_NAMESPACE,
  formatFullPackageId,
  isNamespace,
  isPackageId,
  type PackageId,
} from "../../kubepkg/package_id.ts";
import { cannot, RefusedError } from "../../oci/error.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";
import { hasChecksum } from "./record_file.ts";

/** The files in the folder of a package. */
export const RECORD = {
  current: "current.json",
  handover: "handover.json",
  pending: "pending.json",
  receipt: "receipt.json",
  history: "history",
} as const;

const LIMITS = { maxBytes: 128 * 1024 * 1024, maxDepth: 128 };
// Longest file name of Linux's file systems, in bytes.
const MAX_FILE_NAME = 255;
const HISTORY_FILE = /^[0-9]{6,}\.json$/;

/**
 * The folders of packages: `<data>/kubepkg/<name>` in the namespace `default`, `<data>/kubepkg/<name>@<namespace>` in any
 * other. Neither a name nor a namespace has an `@`.
 *
 * crpe 0.1.0 kept a package in `<name>` whatever its namespace is, which only the documents tell. Such a folder is found as
 * what it is, and counts before `<name>@<namespace>`, because it is the newer one. The next write moves it (`settle`).
 */
export class PackageFolders {
  /** The folder of all packages. */
  readonly root: string;

  /** @param data the data folder */
  constructor(data: string) {
    this.root = `${data}/kubepkg`;
  }

  /**
   * Returns the folder that a package is written into.
   *
   * @throws {RefusedError} when the name and the namespace are too long for a file name
   */
  pathOf({ namespace, name }: PackageId): string {
    const folder = namespace === DEFAULT_NAMESPACE ? name : `${name}@${namespace}`;
    if (folder.length <= MAX_FILE_NAME) return `${this.root}/${folder}`;
    throw new RefusedError(
      cannot(
        `use the package ${namespace}/${name}`,
        `its name and its namespace have more than ${MAX_FILE_NAME - 1} characters together`,
      ),
    );
  }

  /** Returns the folders that may have files of a package; a file of an earlier folder counts before the same of a later one. */
  async placesOf(id: PackageId): Promise<string[]> {
    if (!isPackageId(id)) return [];
    const own = this.pathOf(id);
    const isOwner = (await this.#ownerOf(id.name) ?? DEFAULT_NAMESPACE) === id.namespace;
    if (id.namespace === DEFAULT_NAMESPACE) return isOwner ? [own] : [];
    return isOwner ? [this.#sharedFolder(id.name), own] : [own];
  }

  /** Lists the packages that have a folder, sorted by name and namespace. Some may have no record. */
  async list(): Promise<PackageId[]> {
    const found = new Map<string, PackageId>();
    for (const { name: folder, isDirectory } of await listFolder(this.root) ?? []) {
      const at = folder.indexOf("@");
      const name = at < 0 ? folder : folder.slice(0, at);
      if (!isDirectory || !isPackageName(name) || (at >= 0 && !isNamespace(folder.slice(at + 1)))) continue;
      const namespace = at < 0 ? await this.#ownerOf(name) ?? DEFAULT_NAMESPACE : folder.slice(at + 1);
      found.set(formatFullPackageId({ namespace, name }), { namespace, name });
    }
    return [...found.values()].sort(comparePackageIds);
  }

  /** Lists the files of the history in a folder, the oldest first. */
  async listHistoryFiles(folder: string): Promise<string[]> {
    const names = (await listFolder(`${folder}/${RECORD.history}`) ?? []).map(({ name }) => name);
    return names.filter((name) => HISTORY_FILE.test(name)).sort().map((name) => `${folder}/${RECORD.history}/${name}`);
  }

  /** Returns the path of the next file of the history in a folder. */
  async nextHistoryFile(folder: string): Promise<string> {
    const last = (await this.listHistoryFiles(folder)).at(-1);
    const number = last === undefined ? 1 : Number.parseInt(last.slice(last.lastIndexOf("/") + 1)) + 1;
    return `${folder}/${RECORD.history}/${String(number).padStart(6, "0")}.json`;
  }

  /**
   * Moves a package that crpe 0.1.0 kept in the folder `<name>` into the folder of its namespace. Its record is moved last:
   * until then every file is found in either folder. The caller holds the installation lock.
   */
  async settle(name: string): Promise<void> {
    const shared = this.#sharedFolder(name);
    await this.settlePending(name);
    const namespace = await this.#ownerOf(name) ?? DEFAULT_NAMESPACE;
    if (namespace === DEFAULT_NAMESPACE) return;
    const own = this.pathOf({ namespace, name });
    for (const path of await this.listHistoryFiles(shared)) await commitFile(path, await this.nextHistoryFile(own));
    await moveIfPresent(`${shared}/${RECORD.handover}`, `${own}/${RECORD.handover}`);
    await moveIfPresent(`${own}/${RECORD.current}`, await this.nextHistoryFile(own));
    await moveIfPresent(`${shared}/${RECORD.current}`, `${own}/${RECORD.current}`);
    await removeIfEmpty(`${shared}/${RECORD.history}`);
    await removeIfEmpty(shared);
    await syncFolder(this.root);
  }

  /** Moves the record of a pending release, which may be of another namespace than the installed one. */
  async settlePending(name: string): Promise<void> {
    const path = `${this.#sharedFolder(name)}/${RECORD.pending}`;
    const namespace = await namespaceOf(path, ({ kubepkg }) => [kubepkg]);
    if (typeof namespace !== "string" || namespace === DEFAULT_NAMESPACE) return;
    await commitFile(path, `${this.pathOf({ namespace, name })}/${RECORD.pending}`);
  }

  #sharedFolder(name: string): string {
    return `${this.root}/${name}`;
  }

  // The namespace of the package in the folder `<name>`; `undefined` if that folder has no package.
  async #ownerOf(name: string): Promise<string | undefined> {
    const folder = this.#sharedFolder(name);
    const current = await namespaceOf(`${folder}/${RECORD.current}`, (document) => [document]);
    if (typeof current === "string") return current;
    const handover = await namespaceOf(
      `${folder}/${RECORD.handover}`,
      ({ kubepkg, attempted }) => [kubepkg, attempted],
    );
    if (typeof handover === "string") return handover;
    return current === null || handover === null ? DEFAULT_NAMESPACE : undefined;
  }
}

// The namespace that the document in a file of crpe 0.1.0 names. A record with a checksum is in the folder of its own
// namespace. `null`: there is a file, but it cannot be read. `undefined`: there is none.
async function namespaceOf(
  path: string,
  documentsOf: (record: Record<string, unknown>) => readonly unknown[],
): Promise<string | null | undefined> {
  if (await hasChecksum(path)) return DEFAULT_NAMESPACE;
  try {
    const record = parseJson(await Deno.readFile(path), path, LIMITS);
    const document = (isJsonObject(record) ? documentsOf(record) : []).find(isJsonObject);
    if (document === undefined) return null;
    const namespace = isJsonObject(document.metadata) ? document.metadata.namespace : undefined;
    if (typeof namespace !== "string" || namespace === "") return DEFAULT_NAMESPACE;
    return isNamespace(namespace) ? namespace : null;
  } catch (error) {
    return isAbsent(error) ? undefined : null;
  }
}

async function moveIfPresent(from: string, to: string): Promise<void> {
  if (await ifPresent(Deno.lstat(from)) !== undefined) await commitFile(from, to);
}

// Files of other kinds may be in the folder, and then it stays.
async function removeIfEmpty(folder: string): Promise<void> {
  await removeIfPresent(folder).catch(() => {});
}
