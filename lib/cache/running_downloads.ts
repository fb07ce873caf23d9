import type { Digest } from "../oci/digest.ts";
import { splitRepository } from "../oci/reference.ts";
import type { IngestStore } from "../store/blob_store.ts";
import type { SharedDownload } from "./shared_download.ts";
import { cannot, CrpeError } from "../oci/error.ts";

/** A download in progress. */
export interface RunningDownload {
  /** The repositories whose upstream gives the blob, or has confirmed that it has it. All are of the same registry. */
  readonly repos: Set<string>;
  readonly download: SharedDownload;
  readonly isBackground: boolean;
}

/** A blob whose download is wanted. */
export interface WantedDownload {
  readonly digest: Digest;
  /** The size that a manifest states, in bytes; `undefined` if it is not known. */
  readonly size: number | undefined;
}

/** The downloads in progress, and which repositories may follow them. */
export class RunningDownloads {
  readonly #store: IngestStore;
  readonly #running = new Set<RunningDownload>();

  constructor(store: IngestStore) {
    this.#store = store;
  }

  /** Lists the downloads in progress. */
  list(): RunningDownload[] {
    return [...this.#running];
  }

  /** Reports whether a download of a blob is in progress. */
  has(digest: Digest): boolean {
    for (const { download } of this.#running) if (download.digest === digest) return true;
    return false;
  }

  /** Reports whether clients download blobs, apart from one download. */
  isBusyExcept(except: SharedDownload | undefined): boolean {
    for (const { download, isBackground } of this.#running) {
      if (download !== except && (!isBackground || download.isFollowed)) return true;
    }
    return false;
  }

  /** Returns the download that a repository may follow. */
  find(repo: string, blob: WantedDownload): SharedDownload | undefined {
    return this.#find(blob, ({ repos }) => repos.has(repo))?.download;
  }

  /** Returns the download of another repository of the same registry, which a repository must not follow unasked. */
  findOfRegistry(repo: string, blob: WantedDownload): RunningDownload | undefined {
    const origin = originOf(repo);
    return this.#find(blob, ({ repos }) => [...repos].some((other) => originOf(other) === origin));
  }

  #find(
    { digest, size }: WantedDownload,
    isMeant: (running: RunningDownload) => boolean,
  ): RunningDownload | undefined {
    for (const running of this.#running) {
      const { download } = running;
      if (download.digest !== digest || download.hasFailed || !isMeant(running)) continue;
      if ((size ?? download.size) === download.size) return running;
    }
    return undefined;
  }

  /** Adds a download until it ends. When it is committed, it ends the other ones that the store makes superfluous. */
  add(running: RunningDownload): void {
    this.#running.add(running);
    const forget = () => this.#running.delete(running);
    running.download.done.then(forget, forget);
    running.download.done.then(() => this.#endOthers(running.download)).catch(() => {});
  }

  // A download whose repository has no right to the stored blob continues: its readers could not resume from the store.
  async #endOthers({ digest }: SharedDownload): Promise<void> {
    for (const { download, repos } of [...this.#running]) {
      if (download.digest !== digest) continue;
      const [repo] = repos;
      if (await this.#store.statBlob(repo!, digest) === undefined) continue;
      download.cancel(new CrpeError(cannot(`download ${digest}`, "it is stored by now")), true);
    }
  }

  /**
   * Ends the downloads that no client requested, whose partial files are kept. Resolves when the blobs that are complete
   * are committed: clients have received them.
   */
  async stop(): Promise<void> {
    const commits: Promise<void>[] = [];
    for (const { download, isBackground } of this.#running) {
      if (isBackground && !download.isFollowed) {
        download.cancel(new CrpeError(cannot("download", "crpe is stopping")), false);
      }
      if (download.isCommitting) commits.push(download.done);
    }
    await Promise.allSettled(commits);
  }
}

/** Returns the registry of a repository. */
export function originOf(repo: string): string {
  return splitRepository(repo).host;
}
