import { countBody } from "../bytes/counted_body.ts";

/** An answer that a client got. */
export interface SentAnswer {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly status: number;
  /** Bytes of the body that were given to be sent; of one that was aborted, a few chunks more than the client got. */
  readonly bytes: number;
  /** Whether the body broke off, or the client went away, before all of it was given to be sent. */
  readonly isAborted: boolean;
  /** Until the last byte was sent, in milliseconds. */
  readonly duration: number;
  /** The client's address. */
  readonly client: string;
}

type Ending = Pick<SentAnswer, "status" | "bytes" | "isAborted">;

/** Who is told of an exchange. */
export interface ExchangeOptions {
  /** Told whose turn it is while an answer is sent. */
  readonly onBackpressure?: (waitsForClient: boolean) => void;
  /** Told of the answer when it was sent; absent: nobody wants to know. */
  readonly onSent?: ((answer: SentAnswer) => void) | undefined;
}

/** A request and its answer. What the runtime tells of the request is here too. */
export class Exchange implements Deno.ServeHandlerInfo<Deno.NetAddr> {
  /** Whether the one that answers counts the bytes by itself, and calls `end`. */
  isCounted = false;
  readonly #info: Deno.ServeHandlerInfo<Deno.NetAddr>;
  readonly #onTurn: ((waitsForClient: boolean) => void) | undefined;
  readonly #onSent: ((answer: SentAnswer) => void) | undefined;
  readonly #began: Pick<SentAnswer, "method" | "path" | "client"> & { readonly at: number } | undefined;

  constructor(
    request: Request,
    info: Deno.ServeHandlerInfo<Deno.NetAddr>,
    { onBackpressure, onSent }: ExchangeOptions = {},
  ) {
    this.#info = info;
    this.#onTurn = onBackpressure;
    this.#onSent = onSent;
    if (onSent === undefined) return;
    // Now: the runtime forgets a request when it is answered.
    this.#began = {
      at: performance.now(),
      method: request.method,
      path: pathOf(request),
      client: info.remoteAddr.hostname.replace(/^::ffff:/, ""),
    };
  }

  /** The client's address. */
  get remoteAddr(): Deno.NetAddr {
    return this.#info.remoteAddr;
  }

  /** Settles when the answer was sent. Whether it fulfils or rejects means nothing: that differs between releases. */
  get completed(): Promise<void> {
    return this.#info.completed;
  }

  /** Says whose turn it is while the answer's body is sent: the client's, or the body's. */
  reportBackpressure(waitsForClient: boolean): void {
    this.#onTurn?.(waitsForClient);
  }

  /** The answer's body was given to be sent, or broke off. */
  end({ status, bytes, isAborted }: Ending): void {
    this.reportBackpressure(true);
    if (this.#began === undefined) return;
    const { at, ...request } = this.#began;
    const tell = () => this.#onSent?.({ ...request, status, bytes, isAborted, duration: performance.now() - at });
    // What was given to be sent goes at the client's pace.
    if (bytes > SENT_AT_ONCE_BYTES) this.completed.then(tell, tell);
    else tell();
  }

  /** Counts an answer of one that does not do so by itself. */
  count(response: Response): Response {
    const { status, headers, body } = response;
    if (body === null) {
      this.end({ status, bytes: 0, isAborted: false });
      return response;
    }
    const length = headers.has("content-length") ? Number(headers.get("content-length")) : undefined;
    const counted = countBody(body, length ?? Infinity, (bytes, isWhole) => {
      this.end({ status, bytes, isAborted: !isWhole || (length !== undefined && bytes < length) });
    }, (waitsForClient) => this.reportBackpressure(waitsForClient));
    return new Response(counted as BodyInit, response);
  }
}

// So much fits into the buffers of a socket; the usual manifest is not waited for.
const SENT_AT_ONCE_BYTES = 64 * 1024;

/** The path of a request, with its query; empty where its target has none (`CONNECT`). */
export function pathOf({ url }: Request): string {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  return start < 0 ? "" : url.slice(start);
}
