import { type ByteRange, resolveRange } from "../bytes/byte_range.ts";
import { countBody } from "../bytes/counted_body.ts";
import type { OpenedBlob } from "../content/source.ts";
import { RegistryError } from "../oci/error.ts";
import type { CacheEvent } from "./cache_event.ts";
import { HELD_BACK_BYTES, type SharedDownload } from "./shared_download.ts";
import type { Upstream } from "./upstream.ts";

/** A byte range of a blob, and the state of the download that would have to reach it. */
interface RangeDistance {
  readonly start: number;
  readonly length: number;
  /** Size of the blob in bytes. */
  readonly size: number;
  /** Number of bytes that the download has received. */
  readonly received: number;
}

const MiB = 1024 * 1024;
const DISTANT_BYTES = 4 * MiB;
// The last bytes of a blob are held back until all of it is verified, so that its tail comes last of all.
const DISTANT_TAIL_BYTES = MiB / 4;
const MAX_TAIL_BYTES = MiB;
// A longer range is no lazy read, but a client that resumes its own download.
const MAX_RANGE_BYTES = 32 * MiB;
const MAX_REQUESTS = 16;

/**
 * Reports whether a range is so far ahead of the download of its blob that it is requested separately. Clients that
 * pull lazily (eStargz, SOCI, nydus) first read the tail of a layer, and then short ranges all over it.
 */
export function isDistant({ start, length, size, received }: RangeDistance): boolean {
  const distance = start - received;
  const isTail = start + length > size - HELD_BACK_BYTES && length <= MAX_TAIL_BYTES;
  return length <= MAX_RANGE_BYTES && distance > (isTail ? DISTANT_TAIL_BYTES : DISTANT_BYTES);
}

/**
 * Byte ranges that are requested separately, because the download of their blob would take too long to reach them. They
 * are not cached, and only the client can verify them.
 */
export class DistantRanges {
  readonly #upstream: Upstream;
  readonly #onEvent: (event: CacheEvent) => void;
  #requests = 0;

  constructor(upstream: Upstream, onEvent: (event: CacheEvent) => void) {
    this.#upstream = upstream;
    this.#onEvent = onEvent;
  }

  /**
   * Opens a range in the upstream.
   *
   * @returns `undefined` when the range is to be taken from the download: it is near, there are too many requests, or
   *   the upstream does not give it
   * @throws {RegistryError} `RANGE_INVALID` when the range lies outside the blob
   */
  async open(
    repo: string,
    { digest, size, received }: SharedDownload,
    range: ByteRange | undefined,
  ): Promise<OpenedBlob | undefined> {
    const { start, length } = resolveRange(size, range);
    if (this.#requests >= MAX_REQUESTS || !isDistant({ start, length, size, received })) return undefined;
    this.#requests++;
    const end = (bytes: number) => {
      this.#requests--;
      this.#onEvent({ type: "received", repo, bytes });
    };
    try {
      const opened = await this.#upstream.openBlobWith(repo, digest, {
        range: { start, end: start + length - 1 },
        size,
      });
      if (opened?.start === start && opened.length === length) {
        this.#onEvent({ type: "range", repo });
        return { size, start, length, body: countBody(opened.body, length, { onEnd: end }) };
      }
      await opened?.body.cancel();
    } catch (error) {
      if (!(error instanceof RegistryError)) {
        end(0);
        throw error;
      }
    }
    end(0);
    return undefined;
  }
}
