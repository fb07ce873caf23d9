import { SingleFlight } from "../content/single_flight.ts";
import { writeFileDurably } from "../files/durable.ts";
import { ifPresentSync } from "../files/if_present.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { temporaryPath } from "./layout.ts";
import type { WriteHealth } from "./write_health.ts";

/** Options of `Links`. */
interface LinksOptions {
  /** The data folder. */
  readonly root: string;
  /** Called with a message for each link that cannot be used. */
  readonly warn: (message: string) => void;
  /** Records which writes fail. */
  readonly health: WriteHealth;
  /** Size of the cache of manifests, in bytes; that of links is proportional. */
  readonly cacheBytes: number;
  /** Wall clock that file times are compared with, in milliseconds. */
  readonly now?: () => number;
}

const encoder = new TextEncoder();

const MAX_REMEMBERED = 10_000;
const BYTES_PER_LINK = 1600;
// A file may be replaced within the resolution of its time stamp. A link that was modified this shortly before it was
// read is therefore not cached.
const RACY_MILLISECONDS = 1000;

/** A cached link, with the file attributes that show whether it is still current. */
interface ReadLink {
  readonly inode: number | null;
  /** Modification time in milliseconds. */
  readonly written: number;
  readonly digest: Digest;
}

/** Reads and writes links: small files that contain a digest. Their paths are relative to the data folder. */
export class Links {
  readonly #options: LinksOptions;
  // Checking whether a file has changed costs a fifth of reading it.
  readonly #remembered = new Map<string, ReadLink>();
  readonly #writes = new SingleFlight<void>();

  constructor(options: LinksOptions) {
    this.#options = options;
  }

  /** Reads the digest in a link; `undefined` if the link is missing, or (with a warning) torn or not a regular file. */
  read(path: string): Digest | undefined {
    const full = `${this.#options.root}/${path}`;
    const known = this.#remembered.get(path);
    const there = statLink(full);
    if (there === undefined) {
      if (known !== undefined) this.#remembered.delete(path);
      return undefined;
    }
    if (!there.isFile) {
      this.#options.warn(`Cannot use the link ${path}: it is not a regular file; treating it as missing`);
      return undefined;
    }
    const written = there.mtime?.getTime() ?? 0;
    if (known !== undefined && known.inode === there.ino && known.written === written) return known.digest;
    const now = this.#now();
    const text = readLinkText(full);
    if (text === undefined) return undefined;
    if (!isDigest(text)) {
      this.#options.warn(`Cannot use the link ${path}: it does not contain a digest; treating it as missing`);
      return undefined;
    }
    if (written < now - RACY_MILLISECONDS) this.#remember(path, { inode: there.ino, written, digest: text });
    return text;
  }

  /** Returns when a link was written; `undefined` if it is missing. */
  dateOf(path: string): Date | undefined {
    return statLink(`${this.#options.root}/${path}`)?.mtime ?? undefined;
  }

  #remember(path: string, link: ReadLink): void {
    const most = Math.min(MAX_REMEMBERED, this.#options.cacheBytes / BYTES_PER_LINK);
    if (this.#remembered.size >= most) this.#remembered.clear();
    this.#remembered.set(path, link);
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  /** Writes a link, unless it already has this content. */
  async write(path: string, digest: Digest): Promise<void> {
    // One after the other, because a link that a concurrent call has renamed into place is durable only when that call
    // ends.
    let isDone = false;
    while (!isDone) {
      const written = this.#writes.run(path, async () => {
        isDone = true;
        await this.#writeOnce(path, digest);
      });
      await written.catch((error) => {
        if (isDone) throw error;
      });
    }
  }

  async #writeOnce(path: string, digest: Digest): Promise<void> {
    if (this.read(path) === digest) return;
    const { root, health } = this.#options;
    const full = `${root}/${path}`;
    await health.run(full, () => writeFileDurably(full, encoder.encode(digest), { temporary: temporaryPath(root) }));
  }
}

function statLink(path: string): Deno.FileInfo | undefined {
  return ifPresentSync(() => Deno.lstatSync(path));
}

/**
 * Reads the text of a link, which is a digest unless the link is torn; `undefined` if the link is missing. Synchronous:
 * a link has 71 bytes, and an asynchronous read, through another thread, costs ten times as much.
 */
export function readLinkText(path: string): string | undefined {
  return ifPresentSync(() => Deno.readTextFileSync(path).trim());
}
