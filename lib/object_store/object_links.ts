import { SingleFlight } from "../content/single_flight.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { ExpiringMap } from "./expiring_map.ts";
import type { S3Client } from "./s3_client.ts";

// How long a link counts as present after it was seen, in milliseconds. Of a link that another process removed, only
// access to a blob that is still stored is left for that time.
const LINK_MILLISECONDS = 30_000;
const MAX_LINKS = 50_000;
/** How long a tag is served as it was, though another process may have changed it. In milliseconds. */
const TAG_MILLISECONDS = 1000;
const MAX_TAGS = 10_000;
const encoder = new TextEncoder();

/** Reads and writes links: small objects that contain a digest. */
export class ObjectLinks {
  readonly #client: S3Client;
  readonly #warn: (message: string) => void;
  readonly #seen = new ExpiringMap<true>({ ttl: LINK_MILLISECONDS, maxSize: MAX_LINKS });

  readonly #tags = new ExpiringMap<Digest>({ ttl: TAG_MILLISECONDS, maxSize: MAX_TAGS });
  readonly #reads = new SingleFlight<Digest | undefined>();
  #tagWrites = 0;

  constructor(client: S3Client, warn: (message: string) => void) {
    this.#client = client;
    this.#warn = warn;
  }

  /** How often this process has written or removed a link of a tag. */
  get tagWrites(): number {
    return this.#tagWrites;
  }

  /** Reads the digest in a link; `undefined` if the link is missing or, with a warning, has no digest. */
  async read(key: string): Promise<Digest | undefined> {
    return (await this.#readObject(key))?.digest;
  }

  async #readObject(key: string): Promise<{ readonly digest: Digest; readonly etag: string } | undefined> {
    const object = await this.#client.read(key);
    if (object === undefined) return undefined;
    const digest = new TextDecoder().decode(object.bytes).trim();
    if (isDigest(digest)) return { digest, etag: object.etag };
    this.#warn(`Cannot use the link ${key}: it has no digest; treating it as missing`);
    return undefined;
  }

  /** Reads a link that other processes change: once a second, for any number of clients. */
  async readTag(key: string): Promise<Digest | undefined> {
    return this.#tags.get(key) ?? await this.#reads.run(key, async () => {
      const writes = this.#tagWrites;
      const digest = await this.read(key);
      // What was read while this process wrote may be the old digest.
      if (digest !== undefined && writes === this.#tagWrites) this.#tags.set(key, digest);
      return digest;
    });
  }

  /** Writes a link that `readTag` reads. */
  async writeTag(key: string, digest: Digest): Promise<void> {
    await this.write(key, digest);
    this.#tagWrites++;
    this.#tags.set(key, digest);
  }

  /** Removes a link that `readTag` reads, if it has a digest, and is not written meanwhile. @returns whether it was so */
  async removeTag(key: string, digest: Digest, { dryRun }: { readonly dryRun: boolean }): Promise<boolean> {
    const found = await this.#readObject(key);
    if (found?.digest !== digest) return false;
    if (dryRun) return true;
    const isRemoved = await this.#client.removeIf(key, found.etag);
    this.#tagWrites++;
    this.#tags.delete(key);
    return isRemoved;
  }

  /** Writes a link that `readTag` reads, unless it is present. */
  async restoreTag(key: string, digest: Digest): Promise<void> {
    await this.#client.write(key, encoder.encode(digest), { isNew: true });
    this.#tagWrites++;
    this.#tags.delete(key);
  }

  /** Reports whether a link is present, or was lately. */
  async has(key: string): Promise<boolean> {
    if (this.#seen.has(key)) return true;
    const isPresent = await this.#client.size(key) !== undefined;
    if (isPresent) this.#seen.set(key, true);
    return isPresent;
  }

  /** Writes a link, even if it is present: its time shows garbage collection that its blob is in use. */
  async write(key: string, digest: Digest): Promise<void> {
    await this.#client.write(key, encoder.encode(digest));
    this.#seen.set(key, true);
  }
}
