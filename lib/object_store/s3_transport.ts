import { pause } from "../bytes/pause.ts";
import { createHash } from "node:crypto";
import { AwsV4Signer } from "aws4fetch";
import { readBounded } from "../bytes/read_bounded.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import type { S3Credentials } from "./s3_credentials.ts";
import { S3Error } from "./s3_error.ts";
import type { S3Location } from "./s3_location.ts";
import { parseXml, textOf } from "./s3_xml.ts";

/** Options of an `S3Transport`. */
export interface S3TransportOptions {
  readonly location: S3Location;
  /** Returns what requests are signed with. Called for each request, so that renewed files are used. */
  readonly readCredentials: () => Promise<S3Credentials>;
  readonly fetch?: typeof fetch;
  /** Wall clock, in milliseconds. */
  readonly now?: () => number;
  /** Waits before a retry. */
  readonly delay?: (milliseconds: number) => Promise<void>;
  /** Returns a number from 0 to 1, for the spread of retries. */
  readonly random?: () => number;
}

/** One request. */
export interface S3Request {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** The key of the object, without the prefix of the location; absent for the bucket. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer>;
  /** Statuses that are results of the caller, besides 2xx. */
  readonly accept?: readonly number[];
  /** By the clock of the storage, in milliseconds: no attempt is sent later. */
  readonly deadline?: number | undefined;
  /** The most bytes of a response that is read into memory. Default: 8 MiB. */
  readonly maxBytes?: number | undefined;
}

/** A response that was read to its end. */
interface S3Response {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

const ATTEMPTS = 6;
const FIRST_DELAY = 100;
const MAX_DELAY = 20_000;
/** The time for a request without a body, in milliseconds. */
const REQUEST_MILLISECONDS = 30_000;
/** The slowest rate at which a body may be sent or received, in bytes a millisecond. */
const MIN_RATE = 64;
const MAX_RESPONSE_BYTES = 8 * 1024 * 1024;
const RETRIED = [429, 500, 502, 503, 504];
const RETRIED_REASONS = [
  "RequestTimeTooSkewed",
  "RequestTimeout",
  "SlowDown",
  "OperationAborted",
  "ConditionalRequestConflict",
];

/** Signs and sends requests to a bucket. Failures that may pass are retried. */
export class S3Transport {
  readonly #options: S3TransportOptions;
  readonly #signingKeys = new Map<string, ArrayBuffer>();
  // How far the storage's clock is ahead, in milliseconds: at least, and at most.
  #skew = { least: 0, most: 0 };

  constructor(options: S3TransportOptions) {
    this.#options = options;
  }

  /**
   * The time by the clock of the storage, in milliseconds, as far as its last response tells: it is not earlier. How much
   * later it is depends on how long that response took (`latestServerTime`).
   */
  get serverTime(): number {
    return this.#now() + this.#skew.least;
  }

  /** The latest that the time by the clock of the storage can be, in milliseconds. */
  get latestServerTime(): number {
    return this.#now() + this.#skew.most;
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  get location(): S3Location {
    return this.#options.location;
  }

  /** Sends a request, and reads the response. @throws {S3Error} when all attempts fail */
  async send(request: S3Request): Promise<S3Response> {
    return await this.#retry(request, async (response) => {
      const { status, headers, body } = response;
      const { maxBytes = MAX_RESPONSE_BYTES } = request;
      const bytes = body === null ? new Uint8Array(0) : await readBounded(body, "the response", maxBytes);
      return { status, headers, bytes };
    });
  }

  /** Sends a request whose response the caller reads or cancels. @throws {S3Error} when all attempts fail */
  async open(request: S3Request): Promise<Response> {
    return await this.#retry(request, (response) => Promise.resolve(response));
  }

  /**
   * Signs a URL that reads an object without a login.
   *
   * @param seconds for how long a request with it may begin
   */
  async presign(key: string, seconds: number): Promise<string> {
    const { location, readCredentials } = this.#options;
    const signer = new AwsV4Signer({
      ...await readCredentials(),
      ...{ method: "GET", service: "s3", region: location.region, cache: this.#signingKeys, signQuery: true },
      url: urlOf(location, key, { "X-Amz-Expires": `${seconds}` }),
      datetime: this.#formatTime(),
    });
    return (await signer.sign()).url.href;
  }

  async #retry<T>(request: S3Request, read: (response: Response) => Promise<T>): Promise<T> {
    const { delay = pause, random = Math.random } = this.#options;
    for (let attempt = 1;; attempt++) {
      const outcome = await this.#attempt(request, read);
      if ("result" in outcome) return outcome.result;
      if (!outcome.isPassing || attempt === ATTEMPTS) throw outcome.error;
      const backoff = FIRST_DELAY * 2 ** (attempt - 1);
      await delay(Math.min(MAX_DELAY, Math.max(outcome.retryAfter, backoff * (0.5 + random() / 2))));
    }
  }

  async #attempt<T>(
    request: S3Request,
    read: (response: Response) => Promise<T>,
  ): Promise<{ result: T } | { error: S3Error; isPassing: boolean; retryAfter: number }> {
    const { body, accept = [] } = request;
    const what = describeRequest(request);
    const aborter = new AbortController();
    const startTimer = (bytes: number) => {
      const abort = () => aborter.abort(new Error("it did not answer in time"));
      return setTimeout(abort, REQUEST_MILLISECONDS + bytes / MIN_RATE);
    };
    let timer = startTimer(body?.length ?? 0);
    try {
      const { response, sent } = await this.#fetch(request, aborter.signal);
      this.#learnTime(response.headers, sent);
      clearTimeout(timer);
      timer = startTimer(Number(response.headers.get("content-length") ?? 0));
      if (response.ok || accept.includes(response.status)) return { result: await read(response) };
      const reason = await readReason(response);
      const { status } = response;
      const text = [`${status}`, ...reason === undefined ? [] : [reason]].join(" ");
      return {
        error: new S3Error(cannot(what, `the object storage answered ${text}`), {
          answered: status,
          errorCode: reason,
        }),
        isPassing: RETRIED.includes(status) || reason !== undefined && RETRIED_REASONS.includes(reason),
        retryAfter: Number(response.headers.get("retry-after") ?? 0) * 1000 || 0,
      };
    } catch (cause) {
      if (cause instanceof S3Error) throw cause;
      const reason = (aborter.signal.aborted ? aborter.signal.reason : cause) as Error;
      const error = new S3Error(cannot(what, `the object storage cannot be reached: ${reason.message}`), { cause });
      return { error, isPassing: !(cause instanceof CorruptError), retryAfter: 0 };
    } finally {
      clearTimeout(timer);
    }
  }

  async #fetch(request: S3Request, signal: AbortSignal): Promise<{ response: Response; sent: number }> {
    const { method, key, query = {}, headers = {}, body, deadline = Infinity } = request;
    const { location, readCredentials, fetch: send = fetch } = this.#options;
    const signer = new AwsV4Signer({
      ...await readCredentials(),
      ...{ method, service: "s3", region: location.region, cache: this.#signingKeys },
      url: urlOf(location, key, query),
      headers: { ...headers, "x-amz-content-sha256": createHash("sha256").update(body ?? "").digest("hex") },
      datetime: this.#formatTime(),
    });
    const signed = await signer.sign();
    // The bytes are wanted as they are stored. It is not signed, because proxies change it.
    signed.headers.set("accept-encoding", "identity");
    if (this.latestServerTime >= deadline) {
      throw new S3Error(cannot(describeRequest(request), "the time in which that is safe has passed"));
    }
    const sent = this.#now();
    const response = await send(signed.url, {
      ...{ method, signal, redirect: "manual" },
      headers: signed.headers,
      body,
    });
    return { response, sent };
  }

  #formatTime(): string {
    return new Date(this.serverTime).toISOString().replace(/[:-]|\.\d{3}/g, "");
  }

  // The signature of a request counts for minutes only, by the clock of the storage, and so do leases.
  #learnTime(headers: Headers, sent: number): void {
    const time = Date.parse(headers.get("date") ?? "");
    // The response was made between the two moments, in the second that it states.
    if (!Number.isNaN(time)) this.#skew = { least: time - this.#now(), most: time + 1000 - sent };
  }
}

const VERBS = { GET: "read", HEAD: "read", PUT: "write", POST: "write", DELETE: "remove" } as const;

/** Says what a request is for, after "Cannot". */
export function describeRequest({ method, key }: S3Request): string {
  return `${VERBS[method]} ${key ?? "the list of the bucket"}`;
}

/** Returns the URL of an object, or of the bucket. */
function urlOf(
  { endpoint, bucket, prefix, isPathStyle }: S3Location,
  key: string | undefined,
  query: Readonly<Record<string, string>>,
): string {
  const url = new URL(endpoint);
  if (!isPathStyle) url.host = `${bucket}.${url.host}`;
  const path = key === undefined ? "" : `${prefix}${key}`.split("/").map(encodeURIComponent).join("/");
  url.pathname = isPathStyle ? `/${bucket}${path === "" ? "" : `/${path}`}` : `/${path}`;
  // Not URLSearchParams: it writes a space as +, which a signature does not allow.
  const pairs = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return pairs.length === 0 ? url.href : `${url.href}?${pairs.join("&")}`;
}

async function readReason(response: Response): Promise<string | undefined> {
  if (response.body === null) return undefined;
  try {
    const bytes = await readBounded(response.body, "the error", 64 * 1024);
    return textOf(parseXml(new TextDecoder().decode(bytes)), "Code");
  } catch {
    // Not an error document; its status has to do.
    return undefined;
  }
}
