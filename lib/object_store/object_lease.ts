import { pause } from "../bytes/pause.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import type { S3Client, SmallObject } from "./s3_client.ts";

const DELAY_MILLISECONDS = 20;
const MENDING_ATTEMPT = 5;
const MAX_ATTEMPTS = 7;

/** Options of `takeLease`. */
interface LeaseOptions {
  readonly client: S3Client;
  readonly key: string;
  /** How long the lease counts after each renewal, in milliseconds. */
  readonly ttl: number;
  /** Returns a name that no other process has. */
  readonly owner: string;
  /**
   * Whether the object stays when the lease is given up, as an expired one. Its removal knows no condition, so that a request
   * that is delayed could remove the lease of the next process.
   */
  readonly isKept?: boolean;
  /** A clock that is never set, in milliseconds. */
  readonly monotonic?: () => number;
  readonly delay?: (milliseconds: number) => Promise<void>;
}

interface LeaseRecord {
  readonly owner: string;
  /** In milliseconds since 1970, by the clock of the storage. */
  readonly until: number;
}

/** The record that a process has written last, and its moment before that. */
interface Term {
  readonly until: number;
  readonly since: number;
}

/**
 * Takes a lease: an object with the name of its holder and the time until which it counts. It is written only where there
 * is none, or instead of the expired one that was read, so that two processes never hold it at the same time, as long as
 * the storage obeys the conditions of writes. The lease is renewed until it is disposed of.
 *
 * No clock of a machine counts. The time is that of the storage, of which a process knows bounds: it writes the latest end that
 * may be meant, and takes over only what has expired at the earliest time that it may be.
 *
 * @returns `undefined` when another process holds it
 */
export async function takeLease(options: LeaseOptions): Promise<ObjectLease | undefined> {
  const { client, key, owner, delay = pause } = options;
  let term = startTerm(options);
  let current: SmallObject | undefined;
  for (let attempt = 1; current === undefined; attempt++) {
    const etag = await client.write(key, encodeRecord({ owner, until: term.until }), { isNew: true });
    if (etag !== undefined) return new ObjectLease(options, etag, term);
    current = await client.read(key);
    if (current !== undefined) break;
    // It was released in the meantime.
    if (attempt === MAX_ATTEMPTS) return undefined;
    // Or there is none, and the storage says that there is one: it was interrupted in the middle of a write (seen in
    // versitygw). Without an unconditional write, no process could take the lease again.
    if (attempt === MENDING_ATTEMPT) await client.write(key, encodeRecord({ owner: "", until: 0 }));
    await delay(DELAY_MILLISECONDS * attempt);
    term = startTerm(options);
  }
  const held = parseRecord(current.bytes);
  // A retry of the request above finds its own lease when only the response was lost.
  if (held?.owner === owner && held.until === term.until) return new ObjectLease(options, current.etag, term);
  if (held !== undefined && held.owner !== owner && client.serverTime < held.until) return undefined;
  term = startTerm(options);
  const taken = await client.write(key, encodeRecord({ owner, until: term.until }), { etag: current.etag });
  return taken === undefined ? undefined : new ObjectLease(options, taken, term);
}

function startTerm({ client, ttl, monotonic = readClock }: LeaseOptions): Term {
  return { until: client.latestServerTime + ttl, since: monotonic() };
}

function readClock(): number {
  return performance.now();
}

/** A lease that this process holds. */
export class ObjectLease implements AsyncDisposable {
  readonly #options: LeaseOptions;
  readonly #timer: ReturnType<typeof setInterval>;
  #etag: string;
  #term: Term;
  #isLost = false;
  #renewing: Promise<void> = Promise.resolve();

  /** @param etag of the object that was written @param term what it says */
  constructor(options: LeaseOptions, etag: string, term: Term) {
    this.#options = options;
    this.#etag = etag;
    this.#term = term;
    this.#timer = setInterval(() => this.#renewing = this.#renewing.then(() => this.#renew()), options.ttl / 3);
    Deno.unrefTimer(this.#timer);
  }

  /** Whether the lease counts. What it protects must not be done otherwise. */
  get isHeld(): boolean {
    const { client, ttl, monotonic = readClock } = this.#options;
    const { until, since } = this.#term;
    // The clock of this machine may be set at any time, and the one that is never set may stand still with the machine.
    return !this.#isLost && client.latestServerTime < until && monotonic() - since < ttl;
  }

  /** Renews the lease. @throws {S3Error} when the storage cannot be reached */
  async renew(): Promise<void> {
    const { client, key, owner } = this.#options;
    for (let attempt = 1; attempt <= 2; attempt++) {
      const term = startTerm(this.#options);
      const etag = await client.write(key, encodeRecord({ owner, until: term.until }), { etag: this.#etag });
      if (etag !== undefined) {
        this.#etag = etag;
        this.#term = term;
        return;
      }
      // The response to an earlier renewal may be lost.
      const current = await client.read(key);
      if (current === undefined || parseRecord(current.bytes)?.owner !== owner) break;
      this.#etag = current.etag;
    }
    this.#isLost = true;
  }

  /** Gives the lease up. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#renewing;
    // One that was lost is another process's. One that cannot be given up expires.
    if (this.isHeld) await this.#release().catch(() => {});
    this.#isLost = true;
  }

  async #release(): Promise<void> {
    const { client, key, owner, isKept = false } = this.#options;
    if (isKept) await client.write(key, encodeRecord({ owner, until: 0 }), { etag: this.#etag });
    else await client.remove(key, this.#term.until);
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
