import { type ByteRange, resolveRange } from "../bytes/byte_range.ts";
import type { AskBlobOptions, ReceivedBlob } from "../content/ask_options.ts";
import type { OpenedBlob } from "../content/source.ts";
import { parseContentRange } from "../http/range.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import { type BlobName, fetchBlobSize } from "./blob_size.ts";
import type { EndpointClient } from "./endpoint_client.ts";
import { parseContentLength } from "./transport/bounded_body.ts";
import { createBufferReader } from "./transport/buffer_reader.ts";
import { decodeBody, type DecodedBody, encodingOf } from "./transport/content_encoding.ts";
import { type Connection, openResumingBody } from "./transport/resume.ts";
import { StallGuard } from "./transport/stall_guard.ts";
import { TransportError } from "./transport/transport_error.ts";
import { openUnsizedBody } from "./transport/unsized_body.ts";
import { readVerifiedBody } from "./verified_body.ts";

// A blob whose encoding only its digest shows is read into memory, up to the largest size of a config.
const MAX_BUFFERED_SIZE = 4 * 1024 * 1024;

/**
 * Opens a blob or a byte range of it; `undefined` when the registry does not have it. The body resumes after a
 * broken connection. It yields exactly the promised number of bytes or errors; the reader must verify the digest. A
 * blob of unknown size does not resume, and ends where the response ends.
 *
 * @throws {RegistryError} `RANGE_INVALID` when the range is outside the blob; `BAD_GATEWAY` when the response does not
 *   match the request
 */
export async function openUpstreamBlob(
  client: EndpointClient,
  name: BlobName,
  options: AskBlobOptions,
): Promise<ReceivedBlob | undefined> {
  const request = new BlobRequest(client, name, options);
  // A transfer keeps its slot until its body has ended.
  const slot = await client.acquireBlob(request.signal);
  try {
    const opened = await request.open(options.range);
    if (opened === undefined) {
      slot[Symbol.dispose]();
      return undefined;
    }
    request.onEnd = () => slot[Symbol.dispose]();
    return { ...opened, host: client.host };
  } catch (error) {
    slot[Symbol.dispose]();
    throw error;
  }
}

// Whether the encoding may be applied by the server or be part of the content, which only the digest shows.
function isUndecided(headers: Headers): boolean {
  return encodingOf(headers) === "gzip" && !headers.has("content-length");
}

class BlobRequest {
  readonly #client: EndpointClient;
  readonly #name: BlobName;
  readonly #cancelled = new AbortController();
  /** Aborts the transfer. */
  readonly signal: AbortSignal;
  #size: number | undefined;
  #start = 0;
  #length = 0;
  /** Whether the server applies a Content-Encoding, so that its ranges are not ranges of the blob. */
  #isEncoded = false;
  #hasEnded = false;
  #onEnd = () => {};

  constructor(client: EndpointClient, name: BlobName, { size, signal }: AskBlobOptions) {
    this.#client = client;
    this.#name = name;
    this.#size = size;
    this.signal = AbortSignal.any([this.#cancelled.signal, ...signal === undefined ? [] : [signal]]);
  }

  /** Called once when the body has ended, failed or been cancelled; at once if that has happened. */
  set onEnd(onEnd: () => void) {
    this.#onEnd = onEnd;
    if (this.#hasEnded) onEnd();
  }

  async open(range: ByteRange | undefined): Promise<ReceivedBlob | undefined> {
    return range === undefined ? await this.#openWhole() : await this.#openRange(range);
  }

  async #openRange(range: ByteRange): Promise<OpenedBlob | undefined> {
    this.#size ??= await fetchBlobSize(this.#client, this.#name, { signal: this.signal, hasSlot: true });
    if (this.#size === undefined) return undefined;
    const { start, length } = resolveRange(this.#size, range);
    [this.#start, this.#length] = [start, length];
    const first = await this.#connect(start);
    return first && this.#resuming(first);
  }

  async #openWhole(): Promise<ReceivedBlob | undefined> {
    const connecting = new AbortController();
    const response = await this.#send(undefined, connecting);
    if (response === undefined) return undefined;
    if (this.#size !== undefined && this.#size <= MAX_BUFFERED_SIZE && isUndecided(response.headers)) {
      return await this.#openBuffered(response);
    }
    const declared = encodingOf(response.headers) === undefined ? parseContentLength(response.headers) : undefined;
    if (this.#size === undefined && declared === undefined) {
      const size = await this.#fetchSize();
      if (size === undefined) return await this.#openUnsized(response);
      this.#size = size;
    }
    this.#length = this.#size ??= declared!;
    return this.#resuming(await this.#accept(response, 0, connecting));
  }

  /** Requests the size separately: a server that does not state it with the blob may still report it. */
  async #fetchSize(): Promise<number | undefined> {
    try {
      return await fetchBlobSize(this.#client, this.#name, { signal: this.signal, hasSlot: true });
    } catch (error) {
      if (error instanceof RegistryError) return undefined;
      throw error;
    }
  }

  async #openUnsized(response: Response): Promise<ReceivedBlob> {
    const { now, timeouts } = this.#client.context;
    const { body } = await this.#decode(response);
    const toError = (error: unknown) => error instanceof TransportError ? this.#error("UNAVAILABLE", error) : error;
    const onEnd = () => this.#end();
    const passed = openUnsizedBody(body, { stallTimeout: timeouts.stall, now, toError, onEnd });
    return { size: undefined, start: 0, length: undefined, body: passed };
  }

  async #openBuffered(response: Response): Promise<OpenedBlob> {
    const { now, timeouts } = this.#client.context;
    const what = `blob ${this.#name.digest} of ${this.#name.repo}, whose size the registry does not report`;
    const bound = { maxBytes: MAX_BUFFERED_SIZE, what, stallTimeout: timeouts.stall, now };
    try {
      const bytes = await readVerifiedBody(response, this.#name.digest, bound);
      const body = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
      this.#end();
      return { size: bytes.length, start: 0, length: bytes.length, body };
    } catch (error) {
      throw error instanceof TransportError ? this.#error("UNAVAILABLE", error) : error;
    }
  }

  #end(): void {
    this.#hasEnded = true;
    this.#onEnd();
  }

  #resuming(first: Connection): OpenedBlob {
    const { now, random, sleep, retry, timeouts, onEvent } = this.#client.context;
    const { host } = this.#client;
    const path = this.#client.urlOf(this.#resource()).pathname;
    const body = openResumingBody(first, {
      start: this.#start,
      length: this.#length,
      connect: async (offset) => {
        const connection = await this.#connect(offset);
        if (connection === undefined) throw this.#error("BAD_GATEWAY", "the registry no longer has it");
        return connection;
      },
      onResume: (event) => onEvent?.({ type: "resume", host, path, ...event }),
      toError: (code, failure) => this.#error(code, failure),
      cancel: (reason) => this.#cancelled.abort(reason),
      onEnd: () => this.#end(),
      signal: this.signal,
      stallTimeout: timeouts.stall,
      retry,
      sleep,
      random,
      now,
    });
    return { size: this.#size!, start: this.#start, length: this.#length, body };
  }

  async #connect(offset: number): Promise<Connection | undefined> {
    const connecting = new AbortController();
    const last = this.#start + this.#length - 1;
    const isWhole = offset === 0 && last === this.#size! - 1;
    // The range is closed, because a server that returns only a piece of an open range would not be detected.
    const range = isWhole || this.#isEncoded ? undefined : `bytes=${offset}-${last}`;
    const response = await this.#send(range, connecting);
    return response && await this.#accept(response, offset, connecting);
  }

  async #send(range: string | undefined, connecting: AbortController): Promise<Response | undefined> {
    return await this.#client.send({
      ...this.#resource(),
      action: `read blob ${this.#name.digest} of ${this.#name.repo}`,
      headers: range === undefined ? undefined : { range },
      signal: AbortSignal.any([connecting.signal, this.signal]),
      hasSlot: true,
    });
  }

  /** Checks that a response is the requested blob or range. */
  async #accept(response: Response, offset: number, connecting: AbortController): Promise<Connection> {
    const size = this.#size!;
    const last = this.#start + this.#length - 1;
    const refuse = async (reason: string) => {
      await response.body?.cancel();
      return this.#error("BAD_GATEWAY", reason);
    };
    let [position, end] = [0, size];
    if (response.status === 206) {
      const text = response.headers.get("content-range");
      const range = parseContentRange(text);
      // With the right size, the encoding is part of the stored content.
      if (encodingOf(response.headers) !== undefined && range?.size !== size) {
        throw await refuse("the partial response has a Content-Encoding");
      }
      if (range === undefined) {
        const lack = text
          ? `a Content-Range that is not valid (${JSON.stringify(text.slice(0, 80))})`
          : "no Content-Range";
        throw await refuse(`the partial response (206) has ${lack}, so that its place in the blob is not known`);
      }
      if (range.start !== offset || range.last !== last) {
        const found = `the response has the bytes ${range.start} to ${range.last}`;
        throw await refuse(`bytes ${offset} to ${last} were requested, but ${found}`);
      }
      if (range.size !== undefined && range.size !== size) {
        throw await refuse(`its size is ${range.size} bytes, expected ${size}`);
      }
      [position, end] = [offset, last + 1];
    }
    const { body, wasEncoded } = await this.#decode(response, end - position);
    const declared = wasEncoded ? undefined : parseContentLength(response.headers);
    if (declared !== undefined && declared !== end - position) {
      await body?.cancel();
      throw this.#error("BAD_GATEWAY", `the response has ${declared} bytes, expected ${end - position}`);
    }
    this.#isEncoded = wasEncoded;
    return { reader: createBufferReader(body), position, end, abort: (reason) => connecting.abort(reason) };
  }

  async #decode(response: Response, length?: number): Promise<DecodedBody> {
    const { now, timeouts } = this.#client.context;
    try {
      return await decodeBody(response, { guard: new StallGuard(timeouts.stall, now), length });
    } catch (error) {
      throw error instanceof TransportError ? this.#error("UNAVAILABLE", error) : error;
    }
  }

  #resource(): { path: string; resource: string } {
    return { path: this.#name.path, resource: `blobs/${this.#name.digest}` };
  }

  #error(code: "UNAVAILABLE" | "BAD_GATEWAY", failure: TransportError | string): RegistryError {
    const { repo, digest } = this.#name;
    const { reason, advice } = typeof failure === "string" ? { reason: failure } : failure;
    return new RegistryError(code, cannot(`read blob ${digest} of ${repo} from ${this.#client.host}`, reason, advice));
  }
}
