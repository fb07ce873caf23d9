import { pause } from "../bytes/pause.ts";
import { type Digest, splitDigest } from "../oci/digest.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import { blobPath } from "../store/layout.ts";
import type { S3Client } from "./s3_client.ts";

/** What garbage collection and writers agree on about a blob that seemed unreferenced. */
type Verdict = "condemned" | "kept" | "removing";

const FOLDER = "crpe/condemned";
const WAIT_MILLISECONDS = 200;
// A collection that was killed while it removed a blob leaves its verdict.
const REMOVAL_MILLISECONDS = 600_000;
// No request for the removal is sent later. It takes effect in the rest of the time, or not at all.
const SENDING_MILLISECONDS = 300_000;
const MAX_ATTEMPTS = 1000;

/**
 * The verdicts on blobs that a garbage collection is about to remove: one object for each. A writer that counts on a blob
 * of the store, instead of writing it, first writes its link and then keeps the blob here; the collection condemns a blob
 * first, and looks for links afterwards. Of the two, one sees what the other one wrote, and both change a verdict only
 * where it is the one that they have read.
 */
export class CondemnedBlobs {
  readonly #client: S3Client;
  readonly #delay: (milliseconds: number) => Promise<void>;

  constructor(client: S3Client, delay = pause) {
    this.#client = client;
    this.#delay = delay;
  }

  /** Condemns a blob. @returns what `confirm` and `release` need; `undefined` when a writer was faster */
  async condemn(digest: Digest): Promise<string | undefined> {
    const key = keyOf(digest);
    const etag = await this.#client.write(key, this.#encode("condemned"), { isNew: true });
    if (etag !== undefined) return etag;
    // Left by a collection that was killed, or has lost its lease.
    const before = await this.#client.read(key);
    if (before === undefined) return undefined;
    // Its request to remove the blob may still take effect, which must not hit what a writer keeps because of a new verdict.
    if (this.#isRemoving(parseVerdict(before.bytes))) return undefined;
    return await this.#client.write(key, this.#encode("condemned"), { etag: before.etag });
  }

  /**
   * Confirms that a condemned blob may be removed: no writer has kept it. `release` must follow the removal.
   *
   * @returns until when, in milliseconds by the clock of the storage; `undefined` if it may not
   */
  async confirm(digest: Digest, etag: string): Promise<number | undefined> {
    const until = this.#client.serverTime + SENDING_MILLISECONDS;
    const isConfirmed = await this.#client.write(keyOf(digest), this.#encode("removing"), { etag }) !== undefined;
    return isConfirmed ? until : undefined;
  }

  /** Forgets the verdict on a blob. */
  async release(digest: Digest): Promise<void> {
    await this.#client.remove(keyOf(digest));
  }

  /**
   * Keeps a blob from being removed by the collection in progress. The link to it must be written before.
   *
   * @returns `false` when the collection has removed it
   */
  async keep(digest: Digest): Promise<boolean> {
    const key = keyOf(digest);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const object = await this.#client.read(key);
      // Nearly always there is no verdict. The collection may have forgotten it after it removed the blob.
      if (object === undefined) return await this.#exists(digest);
      const found = parseVerdict(object.bytes);
      if (found.verdict === "kept") return await this.#exists(digest);
      if (this.#isRemoving(found)) {
        await this.#delay(WAIT_MILLISECONDS);
      } else if (await this.#client.write(key, this.#encode("kept"), { etag: object.etag }) !== undefined) {
        return await this.#exists(digest);
      }
    }
    throw new RegistryError("UNAVAILABLE", cannot(`use ${digest}`, "a garbage collection does not finish"));
  }

  #isRemoving({ verdict, time }: { verdict: string; time: number }): boolean {
    return verdict === "removing" && this.#client.serverTime < time + REMOVAL_MILLISECONDS;
  }

  async #exists(digest: Digest): Promise<boolean> {
    return await this.#client.size(blobPath(digest)) !== undefined;
  }

  #encode(verdict: Verdict): Uint8Array<ArrayBuffer> {
    // The random part makes the etag one of this write.
    return new TextEncoder().encode(`${verdict} ${this.#client.latestServerTime} ${crypto.randomUUID()}\n`);
  }
}

function keyOf(digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  return `${FOLDER}/${algorithm}-${hex}`;
}

function parseVerdict(bytes: Uint8Array): { verdict: string; time: number } {
  const [verdict = "", time] = new TextDecoder().decode(bytes).split(" ");
  return { verdict, time: Number(time) || 0 };
}
