import { type ByteSource, openByteSource } from "../bytes/byte_reader.ts";
import { joinChunks } from "../bytes/join_chunks.ts";
import { ContentDigest, parseContentDigest } from "../http/content_digest.ts";
import { cannot, RegistryError, TooLargeError } from "../oci/error.ts";
import { RequestCutError } from "./answer.ts";

// The size of the chunks of Deno's server. With smaller or larger views the server (Deno 2.9) copies all pending bytes
// at each read, which are more each time, and receives bytes that were not requested yet.
const VIEW_BYTES = 64 * 1024;

// A client that sends less than this in `stallTimeout` makes no progress: it would hold a lease, and so keep content from
// being evicted, for as long as it likes. The slowest modem is ten times as fast.
const MIN_PROGRESS_BYTES = 4096;

/** The limits of a request body. */
export interface RequestBodyOptions {
  /** The maximum length in bytes; no limit if absent. */
  readonly limit?: number | undefined;
  /** The error of a longer body; by default a `TooLargeError`. */
  readonly tooLong?: Error;
  /** The time in which at least 4 KiB, or the rest of the body, must be received, in milliseconds. */
  readonly stallTimeout: number;
}

/**
 * The body of a request. It is read once; its bytes are counted, and hashed if the request has a `Content-Digest`. A
 * reader may stop before the end: `finish` reads the rest.
 */
export class RequestBody {
  /** The bytes of the body. Cancelling this stream does not cancel the body; `finish` can still read the rest. */
  readonly stream: ReadableStream<Uint8Array>;
  readonly #source: ByteSource;
  readonly #options: RequestBodyOptions;
  readonly #digest: ContentDigest;
  #received = 0;
  // Since `#progress` bytes were received, the client was waited for so long, in milliseconds.
  #waited = 0;
  #progress = 0;
  #isEnded = false;
  #failure: { readonly error: unknown } | undefined;

  /**
   * @throws {RegistryError} when `Content-Digest` is not valid
   * @throws {TooLargeError} or `tooLong`, when `Content-Length` exceeds the limit
   */
  constructor({ body, headers }: Request, options: RequestBodyOptions) {
    this.#options = options;
    const digest = headers.get("content-digest");
    this.#digest = new ContentDigest(digest === null ? [] : parseContentDigest(digest));
    const length = Number(headers.get("content-length") ?? 0);
    if (options.limit !== undefined && length > options.limit) {
      throw options.tooLong ?? tooLarge(length, options.limit);
    }
    this.#source = body === null
      ? { read: () => Promise.resolve(undefined), cancel: () => Promise.resolve() }
      : openByteSource(body, VIEW_BYTES);
    this.stream = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        const piece = await this.read();
        if (piece === undefined) controller.close();
        else controller.enqueue(piece);
      },
    }, { highWaterMark: 0 });
  }

  /** The number of bytes that were received. */
  get received(): number {
    return this.#received;
  }

  /**
   * Reads the next bytes; `undefined` at the end.
   *
   * @throws {TooLargeError} or `tooLong`, when the body exceeds the limit
   * @throws {RequestCutError} when the client disconnects, or makes no progress for too long
   */
  async read(): Promise<Uint8Array | undefined> {
    if (this.#isEnded) return undefined;
    // After a failure every read fails with the same error.
    if (this.#failure !== undefined) throw this.#failure.error;
    try {
      const piece = await this.#readInTime();
      if (piece === undefined) {
        this.#isEnded = true;
        return undefined;
      }
      this.#received += piece.length;
      const { limit, tooLong } = this.#options;
      if (limit !== undefined && this.#received > limit) throw tooLong ?? tooLarge(undefined, limit);
      this.#digest.update(piece);
      return piece;
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }

  /**
   * Reads the whole body and verifies its `Content-Digest`.
   *
   * @throws {TooLargeError} when the body has more than `limit` bytes
   * @throws {CorruptError} when it has another digest, and as `read` does
   */
  async readAll(limit: number): Promise<Uint8Array<ArrayBuffer>> {
    const pieces: Uint8Array[] = [];
    for (let piece = await this.read(); piece !== undefined; piece = await this.read()) {
      if (this.#received > limit) throw tooLarge(undefined, limit);
      pieces.push(piece);
    }
    this.#digest.finish();
    return joinChunks(pieces);
  }

  /**
   * Reads the rest of the body and verifies its `Content-Digest`.
   *
   * @throws {CorruptError} when it has another digest, and as `read` does
   */
  async finish(): Promise<void> {
    while (await this.read() !== undefined);
    this.#digest.finish();
  }

  /** Cancels the rest of the body. */
  async close(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    await this.#source.cancel();
  }

  async #readInTime(): Promise<Uint8Array | undefined> {
    const { stallTimeout } = this.#options;
    const received = this.#received - this.#progress;
    const began = performance.now();
    const stall = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const what = received === 0 ? "no bytes were" : `only ${received} bytes were`;
      stall.reject(new RequestCutError(cannot("read the request", `${what} received in ${stallTimeout / 1000} s`)));
    }, Math.max(0, stallTimeout - this.#waited));
    const reading = this.#source.read();
    // If the timer wins the race, a later failure of the read must not become an unhandled rejection.
    reading.catch(() => {});
    try {
      const piece = await Promise.race([reading, stall.promise]);
      this.#waited += performance.now() - began;
      if (received + (piece?.length ?? 0) >= MIN_PROGRESS_BYTES) {
        this.#waited = 0;
        this.#progress = this.#received + (piece?.length ?? 0);
      }
      return piece;
    } catch (cause) {
      if (cause instanceof RequestCutError) throw cause;
      throw new RequestCutError(
        cannot("read the request", "the client closed the connection before the end of the body"),
        { cause },
      );
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Reads the whole body of a request. @throws as `RequestBody` does */
export async function readBody(
  request: Request,
  options: RequestBodyOptions & { readonly limit: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const body = new RequestBody(request, options);
  return await body.readAll(options.limit).finally(() => body.close());
}

/**
 * Reads a Boolean parameter of a query. A missing parameter is false, and a parameter without a value is true.
 *
 * @throws {RegistryError} `INVALID` for any other value than true, false, 1 and 0
 */
export function readSwitch(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  if (value === null || value === "false" || value === "0") return false;
  if (value === "" || value === "true" || value === "1") return true;
  throw new RegistryError(
    "INVALID",
    cannot(`use ${name}=${JSON.stringify(value.slice(0, 80))}`, "it must be true or false"),
  );
}

/**
 * Checks the names of the parameters of a request that changes something: `?dryRun` in the place of `?dry-run` must not
 * count as neither, and of two values not the first alone.
 *
 * @returns `query`
 * @throws {RegistryError} `INVALID` for another name than those that are known, and for one that is given twice
 */
export function checkParameters(query: URLSearchParams, known: readonly string[]): URLSearchParams {
  const given = [...query.keys()];
  const other = given.find((name) => !known.includes(name));
  if (other === undefined) {
    const twice = given.find((name, i) => given.indexOf(name) !== i);
    if (twice === undefined) return query;
    throw new RegistryError("INVALID", cannot(`use the parameter ${twice}`, "it is given more than once"));
  }
  const names = known.join(", ");
  throw new RegistryError(
    "INVALID",
    cannot(`use the parameter ${JSON.stringify(other.slice(0, 80))}`, `known are ${names}`),
  );
}

/** How something is installed; see `InstallOptions`. */
export interface InstallSwitches {
  readonly force: boolean;
  readonly dryRun: boolean;
  readonly pruneData: boolean;
}

/** Reads how something is installed. @throws {RegistryError} as `readSwitch` and `checkParameters` do */
export function readInstallSwitches(query: URLSearchParams): InstallSwitches {
  checkParameters(query, ["dry-run", "force", "prune-data"]);
  return {
    force: readSwitch(query, "force"),
    dryRun: readSwitch(query, "dry-run"),
    pruneData: readSwitch(query, "prune-data"),
  };
}

function tooLarge(length: number | undefined, limit: number): TooLargeError {
  const found = length === undefined ? "more" : `${length}`;
  return new TooLargeError(cannot("accept the content", `it has ${found} bytes, ${limit} are allowed`));
}
