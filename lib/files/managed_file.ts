import { computeDigest, type Digest } from "../oci/digest.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { commitFile, type Ownership, parentOf, removeIfPresent, syncFolder, writeFileDurably } from "./durable.ts";

/** What became of a file. */
export interface FileChange {
  readonly path: string;
  readonly action: "written" | "unchanged" | "restored" | "removed";
  /** Where what was there before crpe is kept. */
  readonly backup?: string;
  /** Where what others had written after crpe is kept. */
  readonly kept?: string;
}

/** What is remembered beside a file that crpe has written. */
interface FileRecord {
  /** Whether there was a file before. */
  readonly hadFile: boolean;
  /** Of what crpe wrote. */
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
 * A file of another program's configuration that crpe changes and can put back. What was there before the first change
 * is kept beside it, however often it is changed again; what somebody else writes into it later is not lost either.
 */
export class ManagedFile {
  readonly path: string;
  readonly #token: () => string;

  private constructor(path: string, token: () => string) {
    this.path = path;
    this.#token = token;
  }

  /**
   * @param root a folder that the file must not lead out of by a link
   * @param token gives something random for the names of temporary files
   */
  static async open(path: string, root: string, token: () => string = () => crypto.randomUUID()): Promise<ManagedFile> {
    const real = await realPathOf(path);
    const realRoot = (await Deno.realPath(root)).replace(/\/+$/, "");
    if (real !== realRoot && !real.startsWith(`${realRoot}/`)) {
      throw new Error(`Cannot change ${path}: it is a link to ${real}, which is outside of ${root}`);
    }
    // In place of the file that a link leads to, not in place of the link.
    return new ManagedFile(await isLink(path) ? real : path, token);
  }

  /** What is there now. */
  async read(): Promise<string | undefined> {
    return (await readCurrent(this.path))?.text;
  }

  /**
   * What a new text has to be made of: what was there before crpe, if nobody has changed the file since, else what is
   * there now.
   */
  async readBase(): Promise<string | undefined> {
    const current = await readCurrent(this.path);
    const record = await this.#readRecord();
    if (record === undefined || current === undefined || digestOf(current.text) !== record.written) {
      return current?.text;
    }
    return record.hadFile ? (await readCurrent(this.path + BACKUP))?.text ?? current.text : undefined;
  }

  /** Writes a text; what was there before the first time is kept. */
  async write(text: string): Promise<FileChange> {
    const { path } = this;
    const current = await readCurrent(path);
    const record = await this.#readRecord();
    const hadFile = record?.hadFile ?? current !== undefined;
    const backup = hadFile ? { backup: path + BACKUP } : {};
    if (current?.text === text) return { path, action: "unchanged", ...record === undefined ? {} : backup };
    // In this order: whenever the power goes, what was there first can be told from what crpe wrote.
    if (record === undefined && current !== undefined) {
      await this.#write(path + BACKUP, current.text, current.ownership);
    }
    await this.#write(path + RECORD, JSON.stringify({ hadFile, written: digestOf(text) } satisfies FileRecord));
    await this.#write(path, text, current?.ownership);
    return { path, action: "written", ...backup };
  }

  /** Puts back what was there before crpe. @returns `undefined` where crpe has written nothing */
  async restore(): Promise<FileChange | undefined> {
    const { path } = this;
    const record = await this.#readRecord();
    if (record === undefined) return undefined;
    const current = await readCurrent(path);
    const isPutBack = record.hadFile && await readCurrent(path + BACKUP) === undefined;
    const isForeign = !isPutBack && current !== undefined && digestOf(current.text) !== record.written;
    const kept = isForeign ? { kept: path + KEPT } : {};
    if (isForeign) await this.#write(path + KEPT, current.text, current.ownership);
    // An earlier try may have been cut off behind this.
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
    throw new Error(`Cannot use ${this.path + RECORD}: it is not what crpe writes there`);
  }

  #write(path: string, text: string, ownership?: Ownership): Promise<void> {
    return writeFileDurably(`${path}.${this.#token()}.tmp`, path, new TextEncoder().encode(text), ownership);
  }
}

/** Tells whether crpe has written a file, and not put back what was there before. */
export async function isManaged(path: string): Promise<boolean> {
  return await readCurrent(path + RECORD) !== undefined;
}

function digestOf(text: string): Digest {
  return computeDigest(text);
}

/** Where a path leads to, or as much of it as there is. */
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
  try {
    return (await Deno.lstat(path)).isSymlink && await Deno.stat(path).then(() => true);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
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

// What cannot be written back byte for byte must not be changed, nor taken for a backup.
function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new Error(`Cannot change ${path}: it is not UTF-8; convert it, or change it by hand`, { cause });
  }
}
