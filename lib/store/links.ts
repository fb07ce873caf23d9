import { writeFileDurably } from "../files/durable.ts";
import { absentIfNotFound } from "../files/read_if_present.ts";
import { type Digest, isDigest } from "../oci/digest.ts";

/** What links are read and written with. */
export interface LinksOptions {
  /** The data folder. */
  readonly root: string;
  readonly warn: (message: string) => void;
  /** The path of a new temporary file. */
  readonly temporaryPath: () => string;
  /** The clock that files are dated by, in milliseconds. */
  readonly now?: () => number;
}

const encoder = new TextEncoder();

const MAX_REMEMBERED = 10_000;
// A file that was written this short a time before it was read may be replaced without looking any different.
const RACY_MILLISECONDS = 1000;

/** A link as it was read. */
interface ReadLink {
  readonly inode: number | null;
  /** In milliseconds. */
  readonly written: number;
  readonly digest: Digest;
}

/** The small files of the data folder that name a digest. Their paths are below the data folder. */
export class Links {
  readonly #options: LinksOptions;
  // Looking whether a file is still the same costs a fifth of reading it.
  readonly #remembered = new Map<string, ReadLink>();

  constructor(options: LinksOptions) {
    this.#options = options;
  }

  /** The digest; `undefined` where there is no such link, or, with a warning, a torn one. */
  read(path: string): Digest | undefined {
    const full = `${this.#options.root}/${path}`;
    const known = this.#remembered.get(path);
    const there = statLink(full);
    if (there === undefined) {
      if (known !== undefined) this.#remembered.delete(path);
      return undefined;
    }
    if (!there.isFile) {
      this.#options.warn(`Cannot use the link ${path}: it is not a file; it is treated as absent`);
      return undefined;
    }
    const written = there.mtime?.getTime() ?? 0;
    if (known !== undefined && known.inode === there.ino && known.written === written) return known.digest;
    const now = this.#now();
    const text = readLinkText(full);
    if (text === undefined) return undefined;
    if (!isDigest(text)) {
      this.#options.warn(`Cannot use the link ${path}: it holds no digest; it is treated as absent`);
      return undefined;
    }
    if (written < now - RACY_MILLISECONDS) this.#remember(path, { inode: there.ino, written, digest: text });
    return text;
  }

  #remember(path: string, link: ReadLink): void {
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered.clear();
    this.#remembered.set(path, link);
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  /** Writes a link, if it is not there already. */
  async write(path: string, digest: Digest): Promise<void> {
    if (this.read(path) === digest) return;
    const { root, temporaryPath } = this.#options;
    await writeFileDurably(temporaryPath(), `${root}/${path}`, encoder.encode(digest));
  }
}

function statLink(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    return absentIfNotFound(error);
  }
}

/**
 * The text of a link, which is a digest if it is sound; `undefined` where there is none. Synchronous: it is 71 bytes, and the
 * detour through a thread would cost ten times the read.
 */
export function readLinkText(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path).trim();
  } catch (error) {
    return absentIfNotFound(error);
  }
}
