import { type Digest, isDigest } from "../oci/digest.ts";
import { ExpiringSet } from "./expiring_set.ts";
import type { S3Client } from "./s3_client.ts";

// How long a link counts as present after it was seen, in milliseconds. Of a link that another process removed, only
// access to a blob that is still stored is left for that time.
const LINK_MILLISECONDS = 30_000;
const MAX_LINKS = 50_000;
const encoder = new TextEncoder();

/** Reads and writes links: small objects that contain a digest. */
export class ObjectLinks {
  readonly #client: S3Client;
  readonly #warn: (message: string) => void;
  readonly #seen = new ExpiringSet({ ttl: LINK_MILLISECONDS, maxSize: MAX_LINKS });

  /** The reads in progress, once for all concurrent callers. */
  readonly #reading = new Map<string, Promise<Digest | undefined>>();

  constructor(client: S3Client, warn: (message: string) => void) {
    this.#client = client;
    this.#warn = warn;
  }

  /** Reads the digest in a link; `undefined` if the link is missing or, with a warning, has no digest. */
  async read(key: string): Promise<Digest | undefined> {
    const running = this.#reading.get(key);
    if (running !== undefined) return await running;
    const reading = this.#read(key).finally(() => {
      if (this.#reading.get(key) === reading) this.#reading.delete(key);
    });
    this.#reading.set(key, reading);
    return await reading;
  }

  async #read(key: string): Promise<Digest | undefined> {
    const object = await this.#client.read(key);
    if (object === undefined) return undefined;
    const text = new TextDecoder().decode(object.bytes).trim();
    if (isDigest(text)) return text;
    this.#warn(`Cannot use the link ${key}: it has no digest; treating it as missing`);
    return undefined;
  }

  /** Reports whether a link is present, or was lately. */
  async has(key: string): Promise<boolean> {
    if (this.#seen.has(key)) return true;
    const isPresent = await this.#client.size(key) !== undefined;
    if (isPresent) this.#seen.add(key);
    return isPresent;
  }

  /** Writes a link, even if it is present: its time shows garbage collection that its blob is in use. */
  async write(key: string, digest: Digest): Promise<void> {
    await this.#client.write(key, encoder.encode(digest));
    this.#seen.add(key);
    // A read in progress may have the digest before.
    this.#reading.delete(key);
  }
}
