/** An answer, as it came over the wire. */
export interface ReplayedAnswer {
  readonly status: number;
  /** By their names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** One connection over which requests are sent exactly as written, one after the other. */
export class HttpReplay implements Disposable {
  readonly #connection: Deno.Conn;
  readonly #host: string;
  #rest = new Uint8Array();

  private constructor(connection: Deno.Conn, host: string) {
    this.#connection = connection;
    this.#host = host;
  }

  /** @param host `127.0.0.1:40123` */
  static async connect(host: string): Promise<HttpReplay> {
    const { hostname, port } = new URL(`http://${host}`);
    return new HttpReplay(await Deno.connect({ hostname, port: Number(port) }), host);
  }

  /** Sends a request with these header lines, in their order, and reads the answer; it has to have a length. */
  async send(method: string, target: string, headers: readonly string[]): Promise<ReplayedAnswer> {
    const lines = [`${method} ${target} HTTP/1.1`, `Host: ${this.#host}`, ...headers, "", ""];
    const bytes = new TextEncoder().encode(lines.join("\r\n"));
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
    const head = await this.#readHead();
    const [first = "", ...rest] = head.split("\r\n");
    const answer = new Map(rest.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }));
    const length = answer.get("content-length");
    if (length === undefined) throw new Error(`${method} ${target}: the answer has no Content-Length: ${head}`);
    const body = method === "HEAD" ? new Uint8Array() : await this.#take(Number(length));
    return { status: Number(first.split(" ")[1]), headers: answer, body };
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }

  async #readHead(): Promise<string> {
    const decoder = new TextDecoder("latin1");
    for (;;) {
      const end = decoder.decode(this.#rest).indexOf("\r\n\r\n");
      if (end < 0) {
        await this.#readMore();
        continue;
      }
      return decoder.decode((await this.#take(end + 4)).subarray(0, end));
    }
  }

  async #take(length: number): Promise<Uint8Array<ArrayBuffer>> {
    while (this.#rest.length < length) await this.#readMore();
    const taken = this.#rest.slice(0, length);
    this.#rest = this.#rest.slice(length);
    return taken;
  }

  async #readMore(): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    const count = await this.#connection.read(buffer);
    if (count === null) throw new Error("the connection was closed in the middle of an answer");
    const joined = new Uint8Array(this.#rest.length + count);
    joined.set(this.#rest);
    joined.set(buffer.subarray(0, count), this.#rest.length);
    this.#rest = joined;
  }
}
