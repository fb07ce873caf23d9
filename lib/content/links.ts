import { type Digest, isDigest } from "../oci/digest.ts";
import { writeFileDurably } from "./durable.ts";
import { absentIfNotFound } from "./list_folder.ts";

/** What links are read and written with. */
export interface LinksOptions {
  /** The data folder. */
  readonly root: string;
  readonly warn: (message: string) => void;
  /** The path of a new temporary file. */
  readonly temporaryPath: () => string;
}

const encoder = new TextEncoder();

/** The small files of the data folder that name a digest. Their paths are below the data folder. */
export class Links {
  readonly #options: LinksOptions;

  constructor(options: LinksOptions) {
    this.#options = options;
  }

  /** The digest; `undefined` where there is no such link, or, with a warning, a torn one. */
  read(path: string): Digest | undefined {
    const text = readLinkText(`${this.#options.root}/${path}`);
    if (text === undefined || isDigest(text)) return text;
    this.#options.warn(`Cannot use the link ${path}: it holds no digest; it is treated as absent`);
    return undefined;
  }

  /** Writes a link, if it is not there already. */
  async write(path: string, digest: Digest): Promise<void> {
    if (this.read(path) === digest) return;
    const { root, temporaryPath } = this.#options;
    await writeFileDurably(temporaryPath(), `${root}/${path}`, encoder.encode(digest));
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
