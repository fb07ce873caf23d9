import type { TlsIdentity } from "./tls_files.ts";

/** A connection with TLS, and the end of what it needs. */
export interface SecuredConnection {
  readonly connection: Deno.TlsConn;
  /** Settles when nothing more is sent to the client. */
  readonly ended: Promise<void>;
}

// RFC 8446, 5.1: a record is a byte for its type, two for a version, two for its length, and up to 16 KiB of content.
const HANDSHAKE = 22;
const HEADER_BYTES = 5;
const SMALL_BYTES = 16 * 1024;
const LARGE_BYTES = 128 * 1024;

/**
 * Puts TLS on accepted connections. The runtime can only do that for connections that a TLS listener has accepted, and it
 * keeps their sockets open until the handshake ends, even when they are closed: clients that do not finish it would take
 * all open files. So this class has a TLS listener of its own, on the loopback interface. The bytes of a client are passed
 * to it once they begin a handshake; when a connection is closed, the listener sees the end of the handshake.
 */
export class TlsRelay implements Disposable {
  readonly #waiting = new Map<number, PromiseWithResolvers<Deno.TlsConn>>();
  #listener: Deno.TlsListener;

  /** @throws {Error} when the certificate or the key cannot be used */
  constructor(identity: TlsIdentity) {
    this.#listener = this.#listen(identity);
  }

  /** Uses another certificate for new connections. @throws {Error} when it cannot be used */
  replaceIdentity(identity: TlsIdentity): void {
    const before = this.#listener;
    this.#listener = this.#listen(identity);
    before.close();
  }

  /**
   * Puts TLS on a connection. The handshake may still fail.
   *
   * @param signal closes the connection, whatever it is doing
   * @throws {Error} when the client sends something else than a handshake, or disconnects
   */
  async secure(client: Deno.TcpConn, signal: AbortSignal): Promise<SecuredConnection> {
    let inner: Deno.TcpConn | undefined;
    const close = () => {
      for (const connection of [client, inner]) {
        try {
          connection?.close();
        } catch {
          // It is closed already.
        }
      }
    };
    signal.addEventListener("abort", close, { once: true });
    try {
      const hello = await readHello(client);
      const { hostname, port } = this.#listener.addr as Deno.NetAddr;
      inner = await Deno.connect({ hostname, port });
      signal.throwIfAborted();
      inner.setNoDelay();
      client.setNoDelay();
      const secured = await this.#accepted((inner.localAddr as Deno.NetAddr).port);
      await writeAll(inner, hello);
      relay(client, inner).catch(() => {});
      // The server ends the connection. What it has sent before is passed on first.
      const ended = relay(inner, client).catch(() => {}).finally(close);
      return { connection: secured, ended };
    } catch (error) {
      close();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#listener.close();
  }

  #listen(identity: TlsIdentity): Deno.TlsListener {
    // HTTP/2 is not offered: the runtime cannot limit its streams.
    const listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, ...identity, alpnProtocols: ["http/1.1"] });
    this.#accept(listener);
    return listener;
  }

  async #accept(listener: Deno.TlsListener): Promise<void> {
    while (true) {
      try {
        const connection = await listener.accept();
        this.#wait((connection.remoteAddr as Deno.NetAddr).port).resolve(connection);
      } catch (error) {
        if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) return;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** Returns the TLS end of the connection from a local port. */
  async #accepted(port: number): Promise<Deno.TlsConn> {
    try {
      return await this.#wait(port).promise;
    } finally {
      this.#waiting.delete(port);
    }
  }

  #wait(port: number): PromiseWithResolvers<Deno.TlsConn> {
    let waiting = this.#waiting.get(port);
    if (waiting === undefined) this.#waiting.set(port, waiting = Promise.withResolvers());
    return waiting;
  }
}

/** Reads until the first record of a handshake is complete. Until then a client costs nothing but its socket. */
async function readHello(client: Deno.TcpConn): Promise<Uint8Array> {
  const buffer = new Uint8Array(SMALL_BYTES + HEADER_BYTES);
  for (let length = 0; length < buffer.length;) {
    const got = await client.read(buffer.subarray(length));
    if (got === null || buffer[0] !== HANDSHAKE) break;
    length += got;
    if (length >= HEADER_BYTES + (buffer[3]! << 8 | buffer[4]!)) return buffer.subarray(0, length);
  }
  throw new Error("Cannot secure a connection: it begins no handshake");
}

/** Copies bytes until the sender ends. The buffer is large only while much is sent. */
async function relay(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
  let buffer = new Uint8Array(SMALL_BYTES);
  for (let got = await from.read(buffer); got !== null; got = await from.read(buffer)) {
    await writeAll(to, buffer.subarray(0, got));
    const size = got === buffer.length ? LARGE_BYTES : got < SMALL_BYTES ? SMALL_BYTES : buffer.length;
    if (size !== buffer.length) buffer = new Uint8Array(size);
  }
  await to.closeWrite();
}

async function writeAll(to: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) written += await to.write(bytes.subarray(written));
}
