import { computeDigest, type Digest } from "../oci/digest.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { commitFile, type Ownership, removeIfPresent, syncFolder, writeFileDurably } from "./durable.ts";
import { ifPresent } from "./if_present.ts";
import { parentOf } from "./parent_of.ts";
import { cannot, CrpeError } from "../oci/error.ts";

/** What crpe did with a file. */
export interface FileChange {
  readonly path: string;
  readonly action: "written" | "unchanged" | "restored" | "removed";
  /** Path of the copy of the file as it was before crpe first changed it. */
  readonly backup?: string;
  /** Path of the copy of what others had written into the file after crpe. */
  readonly kept?: string;
}

/** Stored next to a file that crpe has written. */
interface FileRecord {
  /** Whether the file existed before crpe wrote it. */
  readonly hadFile: boolean;
  /** Digest of the text that crpe wrote. */
  readonly written: Digest;
}

interface Current {
  readonly text: string;
  readonly ownership: Ownership;
}

const BACKUP = ".before-crpe";
const KEPT = ".after-crpe";
const RECORD = ".crpe.json";

/**
 * A configuration file of another program that crpe changes and can restore. The original is kept next to it, however
 * often crpe changes the file again. Later changes by others are kept too when the file is restored.
 */
export class ManagedFile {
  readonly path: string;
  readonly #token: () => string;

  private constructor(path: string, token: () => string) {
    this.path = path;
    this.#token = token;
  }

  /**
   * @param root the folder that the file must be in, also after symbolic links are resolved
   * @param token makes random names for temporary files
   * @throws {Error} when the path leads out of `root`
   */
  static async open(path: string, root: string, token: () => string = () => crypto.randomUUID()): Promise<ManagedFile> {
    const real = await realPathOf(path);
    const realRoot = (await Deno.realPath(root)).replace(/\/+$/, "");
    if (real !== realRoot && !real.startsWith(`${realRoot}/`)) {
      throw new CrpeError(cannot(`change ${path}`, `it is a link to ${real}, which is outside of ${root}`));
    }
    // Replaces the target of a symbolic link, not the link.
    return new ManagedFile(await isLink(path) ? real : path, token);
  }

  /** Returns the current text; `undefined` when the file is missing. */
  async read(): Promise<string | undefined> {
    return (await readCurrent(this.path))?.text;
  }

  /**
   * Returns the text that a new version has to be based on: the original from before crpe, or the current text when the
   * file was changed after crpe's last write.
   */
  async readBase(): Promise<string | undefined> {
    const current = await readCurrent(this.path);
    const record = await this.#readRecord();
    if (record === undefined || current === undefined || digestOf(current.text) !== record.written) {
      return current?.text;
    }
    return record.hadFile ? (await readCurrent(this.path + BACKUP))?.text ?? current.text : undefined;
  }

  /** Writes a text. The first write keeps a backup of the original. */
  async write(text: string): Promise<FileChange> {
    const { path } = this;
    const current = await readCurrent(path);
    const record = await this.#readRecord();
    const hadFile = record?.hadFile ?? current !== undefined;
    const backup = hadFile ? { backup: path + BACKUP } : {};
    if (current?.text === text) return { path, action: "unchanged", ...record === undefined ? {} : backup };
    // Backup, record, file: in this order, the original and crpe's text can be told apart after a power loss at any point.
    if (record === undefined && current !== undefined) {
      await this.#write(path + BACKUP, current.text, current.ownership);
    }
    await this.#write(path + RECORD, JSON.stringify({ hadFile, written: digestOf(text) } satisfies FileRecord));
    await this.#write(path, text, current?.ownership);
    return { path, action: "written", ...backup };
  }

  /** Restores the original, or removes the file when there was none. @returns `undefined` when crpe wrote nothing */
  async restore(): Promise<FileChange | undefined> {
    const { path } = this;
    const record = await this.#readRecord();
    if (record === undefined) return undefined;
    const current = await readCurrent(path);
    const isPutBack = record.hadFile && await readCurrent(path + BACKUP) === undefined;
    const isForeign = !isPutBack && current !== undefined && digestOf(current.text) !== record.written;
    const kept = isForeign ? { kept: path + KEPT } : {};
    if (isForeign) await this.#write(path + KEPT, current.text, current.ownership);
    // An earlier restore may have been interrupted after this step.
    if (record.hadFile && !isPutBack) await commitFile(path + BACKUP, path);
    if (!record.hadFile) await removeIfPresent(path);
    await removeIfPresent(path + RECORD);
    await syncFolder(parentOf(path));
    return { path, action: record.hadFile ? "restored" : "removed", ...kept };
  }

  async #readRecord(): Promise<FileRecord | undefined> {
    const text = (await readCurrent(this.path + RECORD))?.text;
    if (text === undefined) return undefined;
    const record = parseJson(new TextEncoder().encode(text), this.path + RECORD);
    if (isJsonObject(record) && typeof record.hadFile === "boolean") return record as unknown as FileRecord;
    throw new CrpeError(cannot(`use ${this.path + RECORD}`, "it is not a record written by crpe"));
  }

  #write(path: string, text: string, ownership?: Ownership): Promise<void> {
    const temporary = `${path}.${this.#token()}.tmp`;
    return writeFileDurably(path, new TextEncoder().encode(text), { temporary, ownership });
  }
}

/** Tests whether crpe has written a file and not restored it since. */
export async function isManaged(path: string): Promise<boolean> {
  return await readCurrent(path + RECORD) !== undefined;
}

function digestOf(text: string): Digest {
  return computeDigest(text);
}

/** Resolves the links of a path, or of its nearest existing parent. */
async function realPathOf(path: string): Promise<string> {
  for (let at = path;; at = parentOf(at)) {
    try {
      return await Deno.realPath(at);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound) || at === parentOf(at)) throw error;
    }
  }
}

async function isLink(path: string): Promise<boolean> {
  const isSymlink = (await ifPresent(Deno.lstat(path)))?.isSymlink ?? false;
  return isSymlink && await ifPresent(Deno.stat(path)) !== undefined;
}

async function readCurrent(path: string): Promise<Current | undefined> {
  try {
    const { mode, uid, gid } = await Deno.stat(path);
    const ownership = { mode: (mode ?? 0o644) & 0o7777, uid: uid ?? 0, gid: gid ?? 0 };
    return { text: decode(await Deno.readFile(path), path), ownership };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

// A text that cannot be written back byte for byte must neither be changed nor backed up.
function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new CrpeError(cannot(`change ${path}`, "it is not UTF-8", "convert it, or change it by hand"), { cause });
  }
}
