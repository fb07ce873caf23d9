import { countBody } from "../bytes/counted_body.ts";
import type { ConnectionInfo } from "./serve_connection.ts";

/** A response that was sent to a client. */
export interface SentAnswer {
  readonly method: string;
  /** The path with the query, without the key of a link. */
  readonly path: string;
  readonly status: number;
  /** Number of body bytes passed to the server. After an abort it is a few chunks more than the client received. */
  readonly bytes: number;
  /** Whether the body failed, or the client disconnected, before the whole body was passed to the server. */
  readonly isAborted: boolean;
  /** Time from the request until the last byte was sent, in milliseconds. */
  readonly duration: number;
  /** The address of the client. */
  readonly client: string;
  /** What the handler says of the response in a word: `hit`, `miss`. */
  readonly remark?: string | undefined;
  /** What was requested: `blob`, `manifest`. */
  readonly kind?: string | undefined;
}

/** What a handler says of its response before it returns it. */
interface AnswerNote extends Pick<SentAnswer, "remark" | "kind"> {
  /** The size of a body that is in memory, in bytes. Such a body counts as sent: wrapped, it would be sent more slowly. */
  readonly length?: number | undefined;
  /** Whether chunks of the body are returned when they were sent; see `countBody`. */
  readonly returnsChunks?: boolean;
  /** Called with the number of body bytes when the body was passed to the server, or failed. */
  readonly onEnd?: (bytes: number) => void;
}

/** The callbacks of an exchange. */
interface ExchangeOptions {
  /** Called when the response starts or stops waiting for the client to read. */
  readonly onBackpressure?: (waitsForClient: boolean) => void;
  /** Called when the response was sent. */
  readonly onSent?: ((answer: SentAnswer) => void) | undefined;
}

/** A request and its response. It also has the runtime's information about the request. */
export class Exchange implements ConnectionInfo {
  /** What the handler says of its response. */
  note: AnswerNote = {};
  readonly #info: ConnectionInfo;
  readonly #onBackpressure: ((waitsForClient: boolean) => void) | undefined;
  readonly #onSent: ((answer: SentAnswer) => void) | undefined;
  readonly #began: Pick<SentAnswer, "method" | "path" | "client"> & { readonly at: number } | undefined;

  constructor(
    request: Request,
    info: ConnectionInfo,
    { onBackpressure, onSent }: ExchangeOptions = {},
  ) {
    this.#info = info;
    this.#onBackpressure = onBackpressure;
    this.#onSent = onSent;
    if (onSent === undefined) return;
    // The properties are read now, because the runtime releases a request when its response is sent.
    this.#began = {
      at: performance.now(),
      method: request.method,
      path: loggedPathOf(request),
      client: plainAddress(info.remoteAddr.hostname),
    };
  }

  /** The address of the client. */
  get remoteAddr(): Deno.NetAddr {
    return this.#info.remoteAddr;
  }

  /** The IP address at which the connection was accepted. */
  get localAddress(): string {
    return this.#info.localAddress;
  }

  /** Settles when the response was sent. Releases of Deno differ in whether it fulfils or rejects, so ignore that. */
  get completed(): Promise<void> {
    return this.#info.completed;
  }

  // The body of the response was passed to the server, or failed.
  #end(ending: Pick<SentAnswer, "status" | "bytes" | "isAborted">): void {
    this.#onBackpressure?.(true);
    const { remark, kind, onEnd } = this.note;
    onEnd?.(ending.bytes);
    if (this.#began === undefined) return;
    const { at, ...request } = this.#began;
    const report = () => this.#onSent?.({ ...request, ...ending, remark, kind, duration: performance.now() - at });
    // A large body is still being sent, at the pace of the client.
    if (ending.bytes > SENT_AT_ONCE_BYTES) this.completed.then(report, report);
    else report();
  }

  /** Counts the bytes of the response as they are sent, and reports its end. */
  count(response: Response): Response {
    const { status, headers } = response;
    const { length: lengthInMemory, returnsChunks } = this.note;
    // To read the property `body` makes a stream of bytes in memory.
    const body = lengthInMemory === undefined ? response.body : null;
    if (body === null) {
      this.#end({ status, bytes: lengthInMemory ?? 0, isAborted: false });
      return response;
    }
    const length = headers.has("content-length") ? Number(headers.get("content-length")) : undefined;
    const counted = countBody(body, length ?? Infinity, {
      onEnd: (bytes, isWhole) => {
        this.#end({ status, bytes, isAborted: !isWhole || (length !== undefined && bytes < length) });
      },
      onBackpressure: this.#onBackpressure,
      returnsChunks,
    });
    return new Response(counted as BodyInit, response);
  }
}

// A body of this size fits into the buffers of a socket, so that a typical manifest counts as sent immediately.
const SENT_AT_ONCE_BYTES = 64 * 1024;

/** Returns the path of a request with its query; empty when the target has no path (`CONNECT`). */
export function pathOf({ url }: Request): string {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  return start < 0 ? "" : url.slice(start);
}

/** Returns what the log has of a request: its path, without the value of the parameter `key`, which a link is secret by. */
export function loggedPathOf(request: Request): string {
  return pathOf(request).replace(/([?&]key=)[^&]*/g, "$1");
}

/** Returns an IPv4 address that is written as an IPv6 one in its own form; others as they are. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:/, "");
}
