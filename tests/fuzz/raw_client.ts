import { joinChunks } from "../../lib/bytes/join_chunks.ts";

/** A response as received. */
export interface RawAnswer {
  readonly status: number;
  /** The status line and the headers, in latin1. */
  readonly head: string;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** A response that is not valid HTTP, or is late. */
export class FramingError extends Error {
  override readonly name = "FramingError";
}

const MAX_HEAD_BYTES = 64 * 1024;
const PATIENCE_MILLISECONDS = 10_000;

/** A connection that can send arbitrary bytes. */
export class RawConnection implements Disposable {
  readonly #connection: Deno.TcpConn;
  readonly #buffer = new Uint8Array(64 * 1024);
  #rest: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #isEnded = false;
  #isReset = false;

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  static async open(port: number): Promise<RawConnection> {
    return new RawConnection(await Deno.connect({ hostname: "127.0.0.1", port }));
  }

  /** Sends bytes. The caller need not wait, because the server may answer or close before it has read everything. */
  send(bytes: Uint8Array): Promise<void> {
    const sending = this.#sendAll(bytes);
    sending.catch(() => {});
    return sending;
  }

  /** Closes the sending side. */
  async finish(): Promise<void> {
    await this.#connection.closeWrite().catch(() => {});
  }

  /**
   * Receives the next response, or `undefined` when the server has closed the connection. Interim responses (1xx) are
   * skipped.
   *
   * @throws {FramingError} when the response is not valid HTTP, or is late
   */
  async receive(method: string): Promise<RawAnswer | undefined> {
    for (;;) {
      let end = this.#findEnd();
      while (end < 0) {
        if (this.#rest.length > MAX_HEAD_BYTES) throw new FramingError("the head of a response has no end");
        if (!await this.#fill()) return undefined;
        end = this.#findEnd();
      }
      const head = new TextDecoder("latin1").decode(this.#take(end + 4));
      const [, code] = /^HTTP\/1\.[01] ([1-5][0-9]{2})[ \r]/.exec(head) ?? [];
      if (code === undefined) throw new FramingError(`a response begins with ${JSON.stringify(head.slice(0, 200))}`);
      const status = Number(code);
      if (status === 101) throw new FramingError("the protocol was switched");
      if (status < 200) continue;
      const hasBody = method !== "HEAD" && status !== 204 && status !== 304;
      const body = hasBody ? await this.#readBody(head) : new Uint8Array(0);
      return body && { status, head, body };
    }
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }

  async #readBody(head: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const length = /^content-length: *([0-9]+)\r$/mi.exec(head)?.[1];
    if (length === undefined) throw new FramingError(`a response has no Content-Length: ${JSON.stringify(head)}`);
    while (this.#rest.length < Number(length)) {
      if (await this.#fill()) continue;
      if (this.#isReset) return undefined;
      throw new FramingError(`the body of a response ends early: ${JSON.stringify(head)}`);
    }
    return this.#take(Number(length));
  }

  #findEnd(): number {
    const { length } = this.#rest;
    for (let at = this.#rest.indexOf(13); at >= 0 && at + 3 < length; at = this.#rest.indexOf(13, at + 1)) {
      if (this.#rest[at + 1] === 10 && this.#rest[at + 2] === 13 && this.#rest[at + 3] === 10) return at;
    }
    return -1;
  }

  #take(length: number): Uint8Array<ArrayBuffer> {
    const taken = this.#rest.slice(0, length);
    this.#rest = this.#rest.slice(length);
    return taken;
  }

  async #fill(): Promise<boolean> {
    if (this.#isEnded) return false;
    const timer = setTimeout(() => this.#connection.close(), PATIENCE_MILLISECONDS);
    let count: number | null = null;
    try {
      count = await this.#connection.read(this.#buffer);
    } catch (error) {
      if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) {
        throw new FramingError(`no response for ${PATIENCE_MILLISECONDS / 1000} s`);
      }
      // A server that closes a connection with unread bytes resets it, and the bytes in flight are lost.
      this.#isReset = true;
    } finally {
      clearTimeout(timer);
    }
    if (count === null) this.#isEnded = true;
    else this.#rest = joinChunks([this.#rest, this.#buffer.subarray(0, count)]);
    return count !== null;
  }

  async #sendAll(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
  }
}
