/** A request as received. */
export interface RawRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly body: string;
}

/** A response that is written exactly as specified, even if it is invalid. */
export interface RawResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  /** The value of `Content-Length`, which may be wrong; `null` for no header. By default the right one. */
  readonly contentLength?: number | null;
  /** Closes the connection after this many bytes of the body. */
  readonly cutAfter?: number;
  /** Sends nothing more after this many bytes of the body, but leaves the connection open. */
  readonly stallAfter?: number;
  /** Sends one byte at a time, with a pause of this many milliseconds after each. */
  readonly drip?: number;
  /** Pauses after this many bytes of the body, until the promise resolves. */
  readonly pause?: { readonly after: number; readonly until: Promise<unknown> };
  /** Sends nothing, not even the head, before this resolves. */
  readonly hold?: Promise<unknown>;
}

/** A running server. It is stopped when this is disposed of. */
export interface RawServer extends AsyncDisposable {
  readonly port: number;
  /** How many bytes of bodies were written to connections so far. */
  readonly bodyBytes: number;
}

type Handler = (request: RawRequest) => RawResponse | Promise<RawResponse>;

const ENCODER = new TextEncoder();

/** Serves HTTP/1.1 on 127.0.0.1, one request per connection, without the checks of a real server. */
export function serveRaw(handler: Handler, tls?: { cert: string; key: string }): RawServer {
  const at = { hostname: "127.0.0.1", port: 0 };
  const listener = tls === undefined ? Deno.listen(at) : Deno.listenTls({ ...at, ...tls });
  const connections = new Set<Deno.Conn>();
  const running = new Set<Promise<void>>();
  const ended = Promise.withResolvers<void>();
  let isOpen = true;
  let bodyBytes = 0;
  const context: ConnectionContext = {
    isOpen: () => isOpen,
    ended: ended.promise,
    onBody: (bytes) => bodyBytes += bytes,
  };

  const serve = async (connection: Deno.Conn) => {
    connections.add(connection);
    try {
      const request = await readRequest(connection);
      if (request !== undefined) {
        await writeResponse(connection, { ...await handler(request), method: request.method }, context);
      }
    } catch (error) {
      // Tests make clients disconnect, and refuse certificates.
      if (!(error instanceof Deno.errors.Http || isConnectionError(error))) throw error;
    } finally {
      connections.delete(connection);
      close(connection);
    }
  };
  const accept = async () => {
    while (isOpen) {
      let connection: Deno.Conn;
      try {
        connection = await listener.accept();
      } catch (error) {
        if (isConnectionError(error)) continue;
        throw error;
      }
      const task: Promise<void> = serve(connection).finally(() => running.delete(task));
      running.add(task);
    }
  };
  const accepting = accept();

  return {
    port: (listener.addr as Deno.NetAddr).port,
    get bodyBytes() {
      return bodyBytes;
    },
    async [Symbol.asyncDispose]() {
      isOpen = false;
      ended.resolve();
      listener.close();
      connections.forEach(close);
      await accepting;
      await Promise.all(running);
    },
  };
}

async function readRequest(connection: Deno.Conn): Promise<RawRequest | undefined> {
  let text = "";
  const decoder = new TextDecoder("latin1");
  const buffer = new Uint8Array(16 * 1024);
  const readMore = async () => {
    const count = await connection.read(buffer);
    if (count !== null) text += decoder.decode(buffer.subarray(0, count));
    return count !== null;
  };
  while (!text.includes("\r\n\r\n")) if (!await readMore()) return undefined;
  const headEnd = text.indexOf("\r\n\r\n");
  const [first = "", ...lines] = text.slice(0, headEnd).split("\r\n");
  const [method = "", target = ""] = first.split(" ");
  const headers = new Headers(lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as [string, string];
  }));
  const length = Number(headers.get("content-length") ?? 0);
  while (text.length < headEnd + 4 + length) if (!await readMore()) return undefined;
  const url = new URL(target, `http://${headers.get("host")}`);
  return { method, url, headers, body: text.slice(headEnd + 4) };
}

interface ConnectionContext {
  readonly isOpen: () => boolean;
  /** Resolves when the server ends. */
  readonly ended: Promise<void>;
  readonly onBody: (bytes: number) => void;
}

async function writeResponse(
  connection: Deno.Conn,
  { method, ...response }: RawResponse & { readonly method: string },
  { isOpen, ended, onBody }: ConnectionContext,
): Promise<void> {
  const { status, headers = {}, body = "", contentLength, cutAfter, stallAfter, drip, pause, hold } = response;
  if (hold !== undefined) await Promise.race([hold, ended]);
  const bytes = typeof body === "string" ? ENCODER.encode(body) : body;
  const length = contentLength === undefined ? bytes.length : contentLength;
  const lines = Object.entries({
    ...headers,
    ...(length === null ? {} : { "Content-Length": String(length) }),
    "Connection": "close",
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  await writeAll(connection, ENCODER.encode(`HTTP/1.1 ${status} Status\r\n${lines.join("")}\r\n`));
  if (method === "HEAD") return;
  const sent = bytes.subarray(0, Math.min(bytes.length, cutAfter ?? Infinity, stallAfter ?? Infinity));
  if (drip !== undefined) {
    for (let i = 0; i < sent.length && isOpen(); i++) {
      await writeAll(connection, sent.subarray(i, i + 1), onBody);
      await new Promise((resolve) => setTimeout(resolve, drip));
    }
  } else {
    const { after, until } = pause ?? { after: sent.length, until: undefined };
    await writeAll(connection, sent.subarray(0, after), onBody);
    await Promise.race([until, ended]);
    await writeAll(connection, sent.subarray(after), onBody);
  }
  // The read ends when the client disconnects or the server stops.
  if (stallAfter !== undefined) await connection.read(new Uint8Array(1));
}

async function writeAll(
  connection: Deno.Conn,
  bytes: Uint8Array,
  onWritten: (bytes: number) => void = () => {},
): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const count = await connection.write(bytes.subarray(written));
    onWritten(count);
    written += count;
  }
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

function isConnectionError(error: unknown): boolean {
  const { errors } = Deno;
  const kinds = [
    errors.BadResource,
    errors.BrokenPipe,
    errors.ConnectionAborted,
    errors.ConnectionReset,
    errors.Interrupted,
    errors.InvalidData,
    errors.NotConnected,
    errors.UnexpectedEof,
  ];
  return kinds.some((kind) => error instanceof kind);
}
