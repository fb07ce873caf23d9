import { pause } from "../bytes/pause.ts";
import type { Digest } from "../oci/digest.ts";
import type { IngestStore } from "../store/blob_store.ts";
import type { WantedBlob } from "./blob_downloads.ts";
import type { CacheEvent } from "./cache_event.ts";
import { blobsOf, hasBlob } from "./completeness.ts";

/** Options of an `ImageCompletion`. */
interface ImageCompletionOptions {
  readonly store: IngestStore;
  /** Downloads blobs. */
  readonly blobs: {
    /** Whether clients download blobs. */
    readonly isBusy: boolean;
    fetch(repo: string, blob: WantedBlob & { size: number }): Promise<void>;
  };
  /** Reports whether nothing may be received for a repository now: its images then wait. */
  readonly isClosed?: (repo: string) => Promise<boolean>;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
  readonly onEvent: (event: CacheEvent) => void;
}

/** An image to complete. */
interface QueuedImage {
  readonly repo: string;
  readonly digest: Digest;
  /** Earliest time, by the monotonic clock, in milliseconds. */
  readonly after: number;
}

const MAX_QUEUED = 1000;
const MAX_SEEN = 20_000;
// A client that has received a manifest requests the blobs that it needs in this time, in milliseconds.
const HEAD_START_MILLISECONDS = 1000;
const POLL_MILLISECONDS = 200;
// How often an image that may not be received now is looked at again.
const CLOSED_POLL_MILLISECONDS = 1000;
// How long an image is not checked again after it was completed, or after that has failed, in milliseconds.
const COMPLETED_MILLISECONDS = 10 * 60_000;
const FAILED_MILLISECONDS = 60_000;

/**
 * Downloads the blobs that clients do not request, because they have them already or do not need them. Without these an
 * image could not be pulled from the store alone. One blob is downloaded at a time, and only while no client downloads.
 *
 * It does not keep the process from ending. What is interrupted is resumed when the manifest is requested again.
 */
export class ImageCompletion {
  readonly #options: ImageCompletionOptions;
  readonly #queue = new Map<string, QueuedImage>();
  // Images that were added, with the time from which they are added again.
  readonly #seen = new Map<string, number>();
  #isRunning = false;
  #isStopped = false;

  constructor(options: ImageCompletionOptions) {
    this.#options = options;
  }

  /** Adds the image of a manifest that a client has requested. When the queue is full, its oldest image is dropped. */
  add(repo: string, digest: Digest): void {
    const key = `${repo}@${digest}`;
    const now = this.#options.now();
    if (this.#isStopped || now < (this.#seen.get(key) ?? -Infinity)) return;
    this.#markSeen(key, COMPLETED_MILLISECONDS);
    if (this.#queue.size >= MAX_QUEUED) this.#drop(this.#queue.keys().next().value!);
    this.#queue.set(key, { repo, digest, after: now + HEAD_START_MILLISECONDS });
    if (this.#isRunning) return;
    this.#run();
  }

  /** Ends the work, without waiting for a download in progress. */
  stop(): void {
    this.#isStopped = true;
    this.#queue.clear();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const [key, image] = next;
      this.#queue.delete(key);
      const isClosed = () => this.#options.isClosed?.(image.repo) ?? false;
      if (await isClosed()) {
        await pause(CLOSED_POLL_MILLISECONDS, { isUnref: true });
        if (!this.#isStopped) this.#queue.set(key, image);
        continue;
      }
      try {
        await this.#complete(image);
      } catch (error) {
        if (this.#isStopped) return;
        if (await isClosed()) {
          this.#queue.set(key, image);
          continue;
        }
        this.#markSeen(key, FAILED_MILLISECONDS);
        const { repo, digest } = image;
        this.#options.onEvent({ type: "uncompleted", repo, digest, error });
      }
    }
    // In the same turn as the check of the queue: an image that is added from now on starts the work again.
    this.#isRunning = false;
  }

  async #complete({ repo, digest, after }: QueuedImage): Promise<void> {
    const { store, blobs, onEvent } = this.#options;
    const manifest = await store.readManifest(repo, digest);
    if (manifest === undefined) return;
    const fetched = new Map<Digest, number>();
    for (const blob of blobsOf(manifest)) {
      if (await hasBlob(store, repo, blob)) continue;
      await this.#waitForClients(after);
      if (this.#isStopped) return;
      // A client may have requested it in the meantime.
      if (await hasBlob(store, repo, blob)) continue;
      await blobs.fetch(repo, { digest: blob.digest, size: blob.size, isBackground: true });
      fetched.set(blob.digest, blob.size);
    }
    if (fetched.size === 0) return;
    const bytes = [...fetched.values()].reduce((sum, size) => sum + size, 0);
    onEvent({ type: "completed", repo, digest, blobs: fetched.size, bytes });
  }

  async #waitForClients(after: number): Promise<void> {
    const { blobs, now } = this.#options;
    while (!this.#isStopped && (now() < after || blobs.isBusy)) {
      await pause(POLL_MILLISECONDS, { isUnref: true });
    }
  }

  #next(): [string, QueuedImage] | undefined {
    return this.#queue.entries().next().value;
  }

  #markSeen(key: string, milliseconds: number): void {
    if (this.#seen.size >= MAX_SEEN) this.#seen.clear();
    this.#seen.set(key, this.#options.now() + milliseconds);
  }

  #drop(key: string): void {
    this.#queue.delete(key);
    this.#seen.delete(key);
  }
}
