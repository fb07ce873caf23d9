import { RegistryError } from "../../oci/error.ts";
import type { ByteReader } from "./byte_reader.ts";
import { backoffDelay, type RetryPolicy, type Sleep } from "./retry.ts";
import { MIN_PROGRESS_BYTES, StallGuard } from "./stall_guard.ts";
import { TransportError } from "./transport_error.ts";

/** An answer whose body is part of a blob. */
export interface Connection {
  readonly reader: ByteReader;
  /** Position in the blob of the body's first byte. */
  readonly position: number;
  /** Position in the blob after the body's last byte. */
  readonly end: number;
  /** Breaks the transfer off. */
  abort(reason: unknown): void;
}

/** What a body that resumes itself is made of. */
export interface ResumeOptions {
  /** Position in the blob of the first byte to give. */
  readonly start: number;
  /** Number of bytes to give. */
  readonly length: number;
  /** Asks for the bytes from `offset` on. The answer may begin earlier: what is before is discarded. */
  connect(offset: number): Promise<Connection>;
  /** Told before each reconnect. */
  onResume?(event: { attempt: number; delay: number; offset: number; reason: string }): void;
  /** Makes the error of a transfer that is given up, or of one that brought more than it should. */
  toError(code: "UNAVAILABLE" | "BAD_GATEWAY", reason: string): Error;
  readonly retry: RetryPolicy;
  readonly sleep: Sleep;
  readonly random: () => number;
  readonly now: () => number;
  /** In milliseconds; see `StallGuard`. */
  readonly stallTimeout: number;
  /** Called when the stream is cancelled; to make `signal` abort. */
  cancel(reason: unknown): void;
  /** Ends the transfer. `connect` and its connections are to follow it too. */
  readonly signal: AbortSignal;
}

type View = Uint8Array<ArrayBuffer>;

const CHUNK_BYTES = 1024 * 1024;

/**
 * A byte stream of exactly `length` bytes. Where the transfer is cut off or stalls, it goes on from that byte with a
 * new request after a wait; progress in between starts the count of attempts anew. It errors when the transfer is
 * given up, and when more bytes come than were promised. What the bytes are is not looked at.
 *
 * @param first the answer to begin with
 */
export function openResumingBody(first: Connection, options: ResumeOptions): ReadableStream<Uint8Array> {
  const transfer = new Transfer(first, options);
  return new ReadableStream<Uint8Array>({
    type: "bytes",
    // Readers that bring no memory of their own are handed large pieces too.
    autoAllocateChunkSize: CHUNK_BYTES,
    async pull(controller) {
      // There is always one, as memory is allocated where the reader brings none.
      const request = (controller as ReadableByteStreamController).byobRequest!;
      const chunk = await transfer.next(request.view as View);
      // A closed stream takes no more bytes, and an open one no empty answer.
      if (chunk !== undefined) request.respondWithNewView(chunk);
      if (transfer.isComplete) controller.close();
      if (chunk === undefined) request.respond(0);
    },
    cancel(reason) {
      options.cancel(reason);
      transfer.disconnect(reason);
    },
  });
}

class Transfer {
  readonly #options: ResumeOptions;
  readonly #end: number;
  #connection: Connection | undefined;
  #guard: StallGuard;
  /** Position in the blob of the connection's next byte. */
  #at: number;
  /** Position in the blob of the next byte to give. */
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

  /** The next bytes, at the place of `view`, in its memory or in new memory of the same size; `undefined` at the end. */
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
        // Only what is new is progress: the half that is discarded each time would keep a broken transfer alive.
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

  /** Passes over what was given already. */
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

  /** Makes sure, before the last bytes are given, that no more follow than the answer promised. */
  async #finish(connection: Connection, last: View | undefined): Promise<View | undefined> {
    let more: Uint8Array | undefined;
    if (this.#at === connection.end) {
      try {
        more = await this.#guard.watch(connection.reader.readInto(new Uint8Array(1)));
      } catch {
        // All that was promised is here; how the connection ends after it does not matter.
      }
    }
    this.disconnect(undefined);
    if (more !== undefined) {
      throw this.#options.toError("BAD_GATEWAY", `more than the ${this.#at} bytes promised came`);
    }
    return last;
  }

  async #backOff(error: unknown): Promise<void> {
    const { retry, random, sleep, signal, onResume, toError } = this.#options;
    signal.throwIfAborted();
    const isPassing = error instanceof TransportError ||
      (error instanceof RegistryError && (error.code === "UNAVAILABLE" || error.code === "TOOMANYREQUESTS"));
    if (!isPassing) throw error;
    if (++this.#failures >= retry.maxTries) throw toError("UNAVAILABLE", error.message);
    const delay = backoffDelay(this.#failures, random, retry);
    onResume?.({ attempt: this.#failures, delay, offset: this.#position, reason: error.message });
    await sleep(delay, signal);
  }

  /** Breaks the transfer off. */
  disconnect(reason: unknown): void {
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection === undefined) return;
    connection.abort(reason);
    connection.reader.cancel(reason);
  }
}
