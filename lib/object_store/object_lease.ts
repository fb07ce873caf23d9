import { isJsonObject, parseJson } from "../oci/json.ts";
import type { S3Client } from "./s3_client.ts";

/** Options of `takeLease`. */
export interface LeaseOptions {
  readonly client: S3Client;
  readonly key: string;
  /** How long the lease counts after each renewal, in milliseconds, by the clock of the storage. */
  readonly ttl: number;
  /** Returns a name that no other process has. */
  readonly owner: string;
}

interface LeaseRecord {
  readonly owner: string;
  /** In milliseconds since 1970. */
  readonly until: number;
}

/**
 * Takes a lease: an object with the name of its holder and the time until which it counts. It is written only where there
 * is none, or instead of the expired one that was read, so that two processes never hold it at the same time, as long as
 * the storage obeys the conditions of writes. The lease is renewed until it is disposed of.
 *
 * @returns `undefined` when another process holds it
 */
export async function takeLease(options: LeaseOptions): Promise<ObjectLease | undefined> {
  const { client, key, owner } = options;
  const record = () => encodeRecord({ owner, until: client.serverTime + options.ttl });
  const etag = await client.write(key, record(), { isNew: true });
  if (etag !== undefined) return new ObjectLease(options, etag);
  const current = await client.read(key);
  // It was released in the meantime. The caller tries again.
  if (current === undefined) return undefined;
  const held = parseRecord(current.bytes);
  // A retry of the request above finds its own lease when only the response was lost.
  if (held?.owner === owner) return new ObjectLease(options, current.etag);
  if (held !== undefined && client.serverTime < held.until) return undefined;
  const taken = await client.write(key, record(), { etag: current.etag });
  return taken === undefined ? undefined : new ObjectLease(options, taken);
}

/** A lease that this process holds. */
export class ObjectLease implements AsyncDisposable {
  readonly #options: LeaseOptions;
  readonly #timer: ReturnType<typeof setInterval>;
  #etag: string;
  #until: number;
  #isLost = false;
  #renewing: Promise<void> = Promise.resolve();

  /** @param etag of the object that was written */
  constructor(options: LeaseOptions, etag: string) {
    this.#options = options;
    this.#etag = etag;
    this.#until = options.client.serverTime + options.ttl;
    this.#timer = setInterval(() => this.#renewing = this.#renewing.then(() => this.#renew()), options.ttl / 3);
    Deno.unrefTimer(this.#timer);
  }

  /** Whether the lease counts. What it protects must not be done otherwise. */
  get isHeld(): boolean {
    return !this.#isLost && this.#options.client.serverTime < this.#until;
  }

  /** Renews the lease. @throws {S3Error} when the storage cannot be reached */
  async renew(): Promise<void> {
    const { client, key, owner, ttl } = this.#options;
    const until = client.serverTime + ttl;
    const etag = await client.write(key, encodeRecord({ owner, until }), { etag: this.#etag });
    if (etag === undefined) {
      this.#isLost = true;
      return;
    }
    this.#etag = etag;
    this.#until = until;
  }

  /** Gives the lease up. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewing;
    // One that was lost is another process's. One that cannot be removed expires.
    if (this.isHeld) await this.#options.client.remove(this.#options.key).catch(() => {});
    this.#isLost = true;
  }

  async #renew(): Promise<void> {
    // The next renewal may succeed; until then the lease counts for the rest of its time.
    if (!this.#isLost) await this.renew().catch(() => {});
  }
}

function encodeRecord(record: LeaseRecord): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(record));
}

function parseRecord(bytes: Uint8Array): LeaseRecord | undefined {
  try {
    const record = parseJson(bytes, "the lease");
    if (!isJsonObject(record)) return undefined;
    const { owner, until } = record;
    return typeof owner === "string" && typeof until === "number" ? { owner, until } : undefined;
  } catch {
    // Not a lease: it is replaced.
    return undefined;
  }
}
