import { type ByteSource, openByteSource } from "../bytes/byte_reader.ts";
import { ContentDigest, parseContentDigest } from "../http/content_digest.ts";
import { RegistryError, TooLargeError } from "../oci/error.ts";
import { RequestCutError } from "./answer.ts";

// What Deno's server hands over at a time. With smaller and with larger views it (2.9) copies all that waits with each read,
// more and more of it, and takes in what is not asked for yet.
const VIEW_BYTES = 64 * 1024;

/** What is expected of a request's body. */
export interface RequestBodyOptions {
  /** Most bytes that it may have; without limit where absent. */
  readonly limit?: number | undefined;
  /** How long nothing may come before it is given up, in milliseconds. */
  readonly stallTimeout: number;
}

/**
 * The body of a request, read once: its bytes are counted, and hashed where `Content-Digest` asks for it. Who has read
 * what they wanted need not have read all: `finish` does that.
 */
export class RequestBody {
  /** The bytes. Cancelling it leaves the rest of the body where it is. */
  readonly stream: ReadableStream<Uint8Array>;
  readonly #source: ByteSource;
  readonly #options: RequestBodyOptions;
  readonly #digest: ContentDigest;
  #received = 0;
  #isEnded = false;
  #failure: { readonly error: unknown } | undefined;

  /** @throws {RegistryError} for a wrong `Content-Digest` @throws {TooLargeError} when its length is said and too much */
  constructor({ body, headers }: Request, options: RequestBodyOptions) {
    this.#options = options;
    const digest = headers.get("content-digest");
    this.#digest = new ContentDigest(digest === null ? [] : parseContentDigest(digest));
    const length = Number(headers.get("content-length") ?? 0);
    if (options.limit !== undefined && length > options.limit) throw tooLarge(length, options.limit);
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

  /** How many bytes have come. */
  get received(): number {
    return this.#received;
  }

  /** Whether the client says what digest the content has. */
  get hasDigest(): boolean {
    return this.#digest.isWanted;
  }

  /**
   * The next bytes; `undefined` at the end.
   *
   * @throws {TooLargeError} @throws {RequestCutError}
   */
  async read(): Promise<Uint8Array | undefined> {
    if (this.#isEnded) return undefined;
    // What has failed stays so, whoever asks.
    if (this.#failure !== undefined) throw this.#failure.error;
    try {
      const piece = await this.#readInTime();
      if (piece === undefined) {
        this.#isEnded = true;
        return undefined;
      }
      this.#received += piece.length;
      const { limit } = this.#options;
      if (limit !== undefined && this.#received > limit) throw tooLarge(undefined, limit);
      this.#digest.update(piece);
      return piece;
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }

  /** Reads up to `limit` bytes, which have to be all. @throws {TooLargeError} @throws {RequestCutError} */
  async readAll(limit: number): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    for (let piece = await this.read(); piece !== undefined; piece = await this.read()) {
      if (this.#received > limit) throw tooLarge(undefined, limit);
      pieces.push(piece);
    }
    const bytes = new Uint8Array(this.#received);
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    this.#digest.finish();
    return bytes;
  }

  /** Reads what is left, and tells whether it was the right content. @throws {CorruptError} and as `read` */
  async finish(): Promise<void> {
    while (await this.read() !== undefined);
    this.#digest.finish();
  }

  /** Gives up what is left. */
  async close(): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    await this.#source.cancel();
  }

  async #readInTime(): Promise<Uint8Array | undefined> {
    const { stallTimeout } = this.#options;
    const stall = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      stall.reject(new RequestCutError(`Cannot go on: nothing came for ${stallTimeout / 1000} s`));
    }, stallTimeout);
    const reading = this.#source.read();
    // Whichever loses the race must not become an unhandled rejection.
    reading.catch(() => {});
    try {
      return await Promise.race([reading, stall.promise]);
    } catch (cause) {
      if (cause instanceof RequestCutError) throw cause;
      throw new RequestCutError("Cannot go on: the client went away before it had sent all", { cause });
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Reads `true` or `false` of a query; a parameter without a value is true. @throws {RegistryError} `INVALID` */
export function readSwitch(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  if (value === null || value === "false" || value === "0") return false;
  if (value === "" || value === "true" || value === "1") return true;
  throw new RegistryError("INVALID", `Cannot use ${name}=${JSON.stringify(value.slice(0, 80))}: it is true or false`);
}

function tooLarge(length: number | undefined, limit: number): TooLargeError {
  const found = length === undefined ? "more" : `${length}`;
  return new TooLargeError(`Cannot accept the content: it has ${found} bytes, ${limit} are allowed`);
}
