import type { TlsIdentity } from "./tls_files.ts";
import { cannot, CrpeError } from "../oci/error.ts";

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
  // By the local port of the connection to the listener: a client that waits for the TLS end of it, or that end, when it was
  // accepted before the connection was reported.
  readonly #waiting = new Map<number, PromiseWithResolvers<Deno.TlsConn>>();
  readonly #unclaimed = new Map<number, Deno.TlsConn>();
  #connecting = 0;
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
    let secured: Deno.TlsConn | undefined;
    const close = () => [client, inner].forEach(closeIfOpen);
    signal.addEventListener("abort", close, { once: true });
    try {
      const hello = await readHello(client);
      let accepted: Promise<Deno.TlsConn>;
      ({ inner, accepted } = await this.#connect(signal));
      secured = await accepted;
      signal.throwIfAborted();
      inner.setNoDelay();
      client.setNoDelay();
      await writeAll(inner, hello);
      relay(client, inner).catch(() => {});
      // The server ends the connection. What it has sent before is passed on first.
      const ended = relay(inner, client).catch(() => {}).finally(close);
      return { connection: secured, ended };
    } catch (error) {
      close();
      closeIfOpen(secured);
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
        const { port } = connection.remoteAddr as Deno.NetAddr;
        const waiting = this.#waiting.get(port);
        if (waiting !== undefined) waiting.resolve(connection);
        else if (this.#connecting > 0) this.#unclaimed.set(port, connection);
        // Its client was closed, or it is the connection of another program.
        else connection.close();
      } catch (error) {
        if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) return;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** Connects to the listener. @returns the connection, and its TLS end when it is accepted; rejects when aborted before */
  async #connect(signal: AbortSignal): Promise<{ inner: Deno.TcpConn; accepted: Promise<Deno.TlsConn> }> {
    const { hostname, port } = this.#listener.addr as Deno.NetAddr;
    this.#connecting++;
    try {
      const inner = await Deno.connect({ hostname, port });
      return { inner, accepted: this.#claim((inner.localAddr as Deno.NetAddr).port, signal) };
    } finally {
      if (--this.#connecting === 0) {
        this.#unclaimed.forEach(closeIfOpen);
        this.#unclaimed.clear();
      }
    }
  }

  /** Returns the TLS end of the connection from a local port. */
  #claim(port: number, signal: AbortSignal): Promise<Deno.TlsConn> {
    const accepted = this.#unclaimed.get(port);
    if (accepted !== undefined) {
      this.#unclaimed.delete(port);
      return Promise.resolve(accepted);
    }
    const waiting = Promise.withResolvers<Deno.TlsConn>();
    const stop = () => waiting.reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    this.#waiting.set(port, waiting);
    return waiting.promise.finally(() => {
      this.#waiting.delete(port);
      signal.removeEventListener("abort", stop);
    });
  }
}

function closeIfOpen(connection: Deno.Conn | undefined): void {
  try {
    connection?.close();
  } catch {
    // It is closed already.
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
  throw new CrpeError(cannot("secure a connection", "it begins no handshake"));
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
