import { type ByteRange, resolveRange } from "../bytes/byte_range.ts";
import type { OpenedBlob } from "../content/source.ts";
import { verifyBytes } from "../content/verifier.ts";
import { parseContentRange } from "../http/range.ts";
import type { Digest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import type { EndpointClient } from "./endpoint_client.ts";
import { parseContentLength, readBoundedBody } from "./transport/bounded_body.ts";
import { createByteReader } from "./transport/byte_reader.ts";
import { decodeBody, type DecodedBody } from "./transport/content_encoding.ts";
import { type Connection, openResumingBody } from "./transport/resume.ts";
import { StallGuard } from "./transport/stall_guard.ts";
import { TransportError } from "./transport/transport_error.ts";

/** Identifies a blob of a repository. */
export interface BlobName {
  /** The repository name that the store uses, for error messages. */
  readonly repo: string;
  /** The path of the repository on its registry. */
  readonly path: string;
  readonly digest: Digest;
}

/** Options for opening a blob. */
export interface OpenBlobOptions {
  /** The part of the blob to open; absent for the whole blob. */
  readonly range?: ByteRange | undefined;
  /** The size of the blob in bytes, if a manifest states it. A response with another size is an error. */
  readonly size?: number | undefined;
  /** Aborts the transfer. */
  readonly signal?: AbortSignal | undefined;
}

// A blob of unknown size is read into memory to determine its size, up to the largest size of a config.
const MAX_UNKNOWN_SIZE = 4 * 1024 * 1024;

/**
 * Returns the size of a blob in bytes, or `undefined` when the registry does not have the blob. It sends a HEAD, and
 * requests the first byte of the blob if the response to that does not state the size.
 *
 * @throws {RegistryError} `BAD_GATEWAY` when the registry does not report the size at all
 */
export async function fetchBlobSize(
  client: EndpointClient,
  name: BlobName,
  signal?: AbortSignal,
): Promise<number | undefined> {
  const { path, digest } = name;
  const resource = `blobs/${digest}`;
  const action = `look up blob ${digest} of ${name.repo}`;
  // A storage service rejects a HEAD with 403 when the URL was signed for a GET.
  const head = await client.send({ method: "HEAD", path, resource, action, signal, accept: [400, 403, 405, 501] });
  if (head === undefined) return undefined;
  await head.body?.cancel();
  const size = head.headers.has("content-encoding") ? undefined : parseContentLength(head.headers);
  if (head.ok && size !== undefined) return size;

  const first = await client.send({
    path,
    resource,
    action,
    signal,
    headers: { range: "bytes=0-0" },
    accept: [416],
  });
  if (first === undefined) return undefined;
  await first.body?.cancel();
  // An empty blob has no first byte.
  if (first.status === 416) return /^bytes\s+\*\/0$/.test(first.headers.get("content-range") ?? "") ? 0 : unknown();
  if (first.status === 206) return parseContentRange(first.headers.get("content-range"))?.size ?? unknown();
  return (first.headers.has("content-encoding") ? undefined : parseContentLength(first.headers)) ?? unknown();

  function unknown(): never {
    throw new RegistryError(
      "BAD_GATEWAY",
      `Cannot ${action} from ${client.host}: the registry does not report its size`,
    );
  }
}

/**
 * Opens a blob or a byte range of it; `undefined` when the registry does not have it. The body resumes after a
 * broken connection. It yields exactly the promised number of bytes or errors; the reader must verify the digest.
 *
 * @throws {RegistryError} `RANGE_INVALID` when the range is outside the blob; `BAD_GATEWAY` when the response does not
 *   match the request
 */
export async function openUpstreamBlob(
  client: EndpointClient,
  name: BlobName,
  options: OpenBlobOptions,
): Promise<OpenedBlob | undefined> {
  return await new BlobRequest(client, name, options).open(options.range);
}

class BlobRequest {
  readonly #client: EndpointClient;
  readonly #name: BlobName;
  readonly #cancelled = new AbortController();
  readonly #signal: AbortSignal;
  #size: number | undefined;
  #start = 0;
  #length = 0;
  /** Whether the server applies a Content-Encoding, so that its ranges are not ranges of the blob. */
  #isEncoded = false;

  constructor(client: EndpointClient, name: BlobName, { size, signal }: OpenBlobOptions) {
    this.#client = client;
    this.#name = name;
    this.#size = size;
    this.#signal = AbortSignal.any([this.#cancelled.signal, ...signal === undefined ? [] : [signal]]);
  }

  async open(range: ByteRange | undefined): Promise<OpenedBlob | undefined> {
    if (range === undefined) return await this.#openWhole();
    this.#size ??= await fetchBlobSize(this.#client, this.#name, this.#signal);
    if (this.#size === undefined) return undefined;
    const { start, length } = resolveRange(this.#size, range);
    [this.#start, this.#length] = [start, length];
    const first = await this.#connect(start);
    return first && this.#resuming(first);
  }

  async #openWhole(): Promise<OpenedBlob | undefined> {
    const connecting = new AbortController();
    const response = await this.#send(undefined, connecting);
    if (response === undefined) return undefined;
    const isEncoded = response.headers.has("content-encoding");
    const declared = isEncoded ? undefined : parseContentLength(response.headers);
    if (this.#size === undefined && declared === undefined) {
      const size = await this.#fetchSize();
      if (size === undefined) return await this.#openBuffered(response);
      this.#size = size;
    }
    this.#length = this.#size ??= declared!;
    return this.#resuming(await this.#accept(response, 0, connecting));
  }

  /** Requests the size separately: a server that does not state it with the blob may still report it. */
  async #fetchSize(): Promise<number | undefined> {
    try {
      return await fetchBlobSize(this.#client, this.#name, this.#signal);
    } catch (error) {
      if (error instanceof RegistryError) return undefined;
      throw error;
    }
  }

  async #openBuffered(response: Response): Promise<OpenedBlob> {
    const { now, timeouts } = this.#client.context;
    const what = `blob ${this.#name.digest} of ${this.#name.repo}, whose size the registry does not report`;
    let bytes: Uint8Array;
    try {
      bytes = await readBoundedBody(response, { maxBytes: MAX_UNKNOWN_SIZE, what, stallTimeout: timeouts.stall, now });
    } catch (error) {
      throw error instanceof TransportError ? this.#error("UNAVAILABLE", error.message) : error;
    }
    // Without a known size, only the digest distinguishes the end of the blob from a broken connection.
    verifyBytes(bytes, this.#name.digest);
    const body = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
    return { size: bytes.length, start: 0, length: bytes.length, body };
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
      toError: (code, reason) => this.#error(code, reason),
      cancel: (reason) => this.#cancelled.abort(reason),
      signal: this.#signal,
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
      ...(range === undefined ? {} : { headers: { range } }),
      signal: AbortSignal.any([connecting.signal, this.#signal]),
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
      const range = parseContentRange(response.headers.get("content-range"));
      if (response.headers.has("content-encoding")) throw await refuse("the partial response has a Content-Encoding");
      if (range === undefined || range.start !== offset || range.last !== last) {
        throw await refuse(`bytes ${offset} to ${last} were requested, but the response has other bytes`);
      }
      if (range.size !== undefined && range.size !== size) {
        throw await refuse(`its size is ${range.size} bytes, expected ${size}`);
      }
      [position, end] = [offset, last + 1];
    }
    const { body, wasEncoded } = await this.#decode(response);
    const declared = wasEncoded ? undefined : parseContentLength(response.headers);
    if (declared !== undefined && declared !== end - position) {
      await body?.cancel();
      throw this.#error("BAD_GATEWAY", `the response has ${declared} bytes, expected ${end - position}`);
    }
    this.#isEncoded = wasEncoded;
    return { reader: createByteReader(body), position, end, abort: (reason) => connecting.abort(reason) };
  }

  async #decode(response: Response): Promise<DecodedBody> {
    const { now, timeouts } = this.#client.context;
    try {
      return await decodeBody(response, new StallGuard(timeouts.stall, now));
    } catch (error) {
      throw error instanceof TransportError ? this.#error("UNAVAILABLE", error.message) : error;
    }
  }

  #resource(): { path: string; resource: string } {
    return { path: this.#name.path, resource: `blobs/${this.#name.digest}` };
  }

  #error(code: "UNAVAILABLE" | "BAD_GATEWAY", reason: string): RegistryError {
    const { repo, digest } = this.#name;
    return new RegistryError(code, `Cannot read blob ${digest} of ${repo} from ${this.#client.host}: ${reason}`);
  }
}
