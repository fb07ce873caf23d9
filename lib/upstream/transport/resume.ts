import { RegistryError } from "../../oci/error.ts";
import type { BufferReader } from "./buffer_reader.ts";
import { backoffDelay, type RetryPolicy, type Sleep } from "./retry.ts";
import { MIN_PROGRESS_BYTES, StallGuard } from "./stall_guard.ts";
import { TransportError } from "./transport_error.ts";

/** A response whose body is a part of a blob. */
export interface Connection {
  readonly reader: BufferReader;
  /** Position in the blob of the first byte of the body. */
  readonly position: number;
  /** Position in the blob after the last byte of the body. */
  readonly end: number;
  /** Aborts the transfer. */
  abort(reason: unknown): void;
}

/** Options of a resuming body. */
interface ResumeOptions {
  /** Position in the blob of the first byte to yield. */
  readonly start: number;
  /** Number of bytes to yield. */
  readonly length: number;
  /** Requests the bytes from `offset` on. The response may begin earlier; the bytes before `offset` are discarded. */
  connect(offset: number): Promise<Connection>;
  /** Called before each reconnect; `delay` is in milliseconds. */
  onResume?(event: { attempt: number; delay: number; offset: number; reason: string }): void;
  /** Creates the error of a transfer that is given up, or that has more bytes than promised. */
  toError(code: "UNAVAILABLE" | "BAD_GATEWAY", failure: TransportError | string): Error;
  readonly retry: RetryPolicy;
  readonly sleep: Sleep;
  readonly random: () => number;
  readonly now: () => number;
  /** In milliseconds; see `StallGuard`. */
  readonly stallTimeout: number;
  /** Called when the stream is cancelled; it must abort `signal`. */
  cancel(reason: unknown): void;
  /** Called once when the stream has ended, failed or been cancelled. */
  onEnd?(): void;
  /** Aborts the transfer. `connect` and its connections must also observe it. */
  readonly signal: AbortSignal;
}

type View = Uint8Array<ArrayBuffer>;

const CHUNK_BYTES = 1024 * 1024;

/**
 * Opens a byte stream of exactly `length` bytes. When the transfer is cut off or stalls, the stream waits and resumes
 * at that byte with a new request; progress resets the number of failures. The stream errors when the transfer is
 * given up and when more bytes than promised are received. It does not verify the content.
 *
 * @param first the response to begin with
 */
export function openResumingBody(first: Connection, options: ResumeOptions): ReadableStream<Uint8Array> {
  const transfer = new Transfer(first, options);
  return new ReadableStream<Uint8Array>({
    type: "bytes",
    // Readers without their own buffer also get large chunks.
    autoAllocateChunkSize: CHUNK_BYTES,
    async pull(controller) {
      // A request always exists, because the stream allocates a buffer if the reader has none.
      const request = (controller as ReadableByteStreamController).byobRequest!;
      const chunk = await transfer.next(request.view as View).catch((error) => {
        options.onEnd?.();
        throw error;
      });
      if (transfer.isComplete) options.onEnd?.();
      // Bytes must be handed over before closing, and an empty response is allowed only after it.
      if (chunk !== undefined) request.respondWithNewView(chunk);
      if (transfer.isComplete) controller.close();
      if (chunk === undefined) request.respond(0);
    },
    cancel(reason) {
      options.cancel(reason);
      transfer.disconnect(reason);
      options.onEnd?.();
    },
  });
}

class Transfer {
  readonly #options: ResumeOptions;
  readonly #end: number;
  #connection: Connection | undefined;
  #guard: StallGuard;
  /** Position in the blob of the next byte of the connection. */
  #at: number;
  /** Position in the blob of the next byte to yield. */
  #position: number;
  #failures = 0;
  #sinceConnect = 0;

  constructor(first: Connection, options: ResumeOptions) {
    this.#options = options;
    this.#position = options.start;
    this.#end = options.start + options.length;
    this.#connection = first;
    this.#at = first.position;
    this.#guard = new StallGuard(options.stallTimeout, options.now);
  }

  get isComplete(): boolean {
    return this.#position === this.#end;
  }

  /** Reads the next bytes into the memory of `view`, or into a new buffer of the same size; `undefined` at the end. */
  async next(view: View): Promise<View | undefined> {
    const { byteOffset, byteLength } = view;
    const memory = view.buffer.byteLength;
    for (let target = view;; target = new Uint8Array(new ArrayBuffer(memory), byteOffset, byteLength)) {
      try {
        const connection = this.#connection ?? await this.#connect();
        await this.#skip(connection);
        if (this.isComplete) return await this.#finish(connection, undefined);
        const want = Math.min(byteLength, this.#end - this.#position, connection.end - this.#at);
        const chunk = await this.#read(connection, target.subarray(0, want));
        this.#position += chunk.length;
        // Only new bytes count as progress. Otherwise the bytes discarded after each reconnect would keep a broken
        // transfer alive forever.
        this.#sinceConnect += chunk.length;
        if (this.#sinceConnect >= MIN_PROGRESS_BYTES) this.#failures = 0;
        return this.isComplete ? await this.#finish(connection, chunk) : chunk;
      } catch (error) {
        this.disconnect(error);
        await this.#backOff(error);
      }
    }
  }

  async #connect(): Promise<Connection> {
    this.#connection = await this.#options.connect(this.#position);
    this.#at = this.#connection.position;
    this.#guard = new StallGuard(this.#options.stallTimeout, this.#options.now);
    this.#sinceConnect = 0;
    return this.#connection;
  }

  /** Discards the bytes of the connection that were already yielded. */
  async #skip(connection: Connection): Promise<void> {
    let scratch: View | undefined;
    while (this.#at < this.#position) {
      const count = Math.min(CHUNK_BYTES, this.#position - this.#at);
      scratch = await this.#read(connection, new Uint8Array(scratch?.buffer ?? new ArrayBuffer(CHUNK_BYTES), 0, count));
    }
  }

  async #read(connection: Connection, view: View): Promise<View> {
    const chunk = view.length === 0
      ? undefined
      : await this.#guard.watch(connection.reader.readInto(view)) as View | undefined;
    if (chunk === undefined) throw new TransportError("cut", `the connection was cut at byte ${this.#at}`);
    this.#at += chunk.length;
    return chunk;
  }

  /** Checks, before the last bytes are yielded, that the response ends where it promised to. */
  async #finish(connection: Connection, last: View | undefined): Promise<View | undefined> {
    let more: Uint8Array | undefined;
    if (this.#at === connection.end) {
      try {
        more = await this.#guard.watch(connection.reader.readInto(new Uint8Array(1)));
      } catch {
        // All promised bytes were received, so a failure of the connection after them does not matter.
      }
    }
    this.disconnect(undefined);
    if (more !== undefined) {
      throw this.#options.toError("BAD_GATEWAY", `more than the ${this.#at} bytes promised were received`);
    }
    return last;
  }

  async #backOff(error: unknown): Promise<void> {
    const { retry, random, sleep, signal, onResume, toError } = this.#options;
    signal.throwIfAborted();
    // Hours may pass until then, so nothing waits for it; the next request resumes.
    if (error instanceof TransportError && error.failure === "closed") throw toError("UNAVAILABLE", error);
    const isTransient = error instanceof TransportError ||
      (error instanceof RegistryError && (error.code === "UNAVAILABLE" || error.code === "TOOMANYREQUESTS"));
    if (!isTransient) throw error;
    if (++this.#failures >= retry.maxTries) {
      throw error instanceof RegistryError ? error : toError("UNAVAILABLE", error);
    }
    const delay = backoffDelay(this.#failures, random, retry);
    const reason = error instanceof RegistryError ? error.reason : error.message;
    onResume?.({ attempt: this.#failures, delay, offset: this.#position, reason });
    await sleep(delay, signal);
  }

  /** Aborts the current connection. */
  disconnect(reason: unknown): void {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection === undefined) return;
    connection.abort(reason);
    connection.reader.cancel(reason);
  }
}
