import { connect } from "node:tls";
import { cannot, UsageError } from "../../oci/error.ts";
import { fingerprintOf, formatCertificate, PINNED_NAME } from "../self_signed.ts";

/** A certificate that a server has presented. */
interface PresentedCertificate {
  /** See `fingerprintOf`. */
  readonly fingerprint: string;
  /** As PEM. */
  readonly pem: string;
  /** Whether it is one that an agent has made itself. */
  readonly isOwn: boolean;
}

/** A certificate that is the only one accepted of a server. */
export interface Pin {
  /** As PEM. */
  readonly pem: string;
  readonly isOwn: boolean;
}

const CONNECT_MILLISECONDS = 5000;
const BUFFER_BYTES = 64 * 1024;

/**
 * Asks a server for its certificate. Nothing else is sent to it, and the certificate is not verified.
 *
 * @throws {Error} when the server cannot be reached, or does not speak TLS
 */
export async function fetchCertificate({ hostname, port }: URL): Promise<PresentedCertificate> {
  const host = hostname.replace(/^\[|\]$/g, "");
  const presented = Promise.withResolvers<PresentedCertificate>();
  const options = { host, port: Number(port || 443), servername: PINNED_NAME, rejectUnauthorized: false };
  const socket = connect(options, () => {
    const { raw, subjectaltname } = socket.getPeerCertificate(true);
    if (raw === undefined) return presented.reject(new Error("it presents no certificate"));
    const der = Uint8Array.from(raw);
    const isOwn = subjectaltname?.split(", ").includes(`DNS:${PINNED_NAME}`) ?? false;
    presented.resolve({ fingerprint: fingerprintOf(der), pem: formatCertificate(der), isOwn });
  });
  socket.on("error", presented.reject);
  const timer = setTimeout(() => presented.reject(new Error("it does not answer")), CONNECT_MILLISECONDS);
  try {
    return await presented.promise;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

const relays = new Map<string, string>();

/**
 * Opens a relay on the loopback interface to a server whose certificate is pinned. What is sent to the relay goes over TLS to
 * the server, if it has the key of that certificate; else the connection ends. No release of the runtime lets its HTTP clients
 * verify a certificate under another name than that of the URL, which this needs. A relay lives as long as the process.
 *
 * The runtime cannot be told to trust nothing else: a connection is also accepted with a certificate of an authority that it
 * trusts anyway. No public one may issue the name of an agent's own certificate, because `.internal` is reserved.
 *
 * @returns the origin to use in place of the server's
 */
export function openPinnedRelay(url: URL, pin: Pin): string {
  const key = `${url.host} ${pin.pem}`;
  const known = relays.get(key);
  if (known !== undefined) return known;
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.unref();
  accept(listener, url, pin);
  const origin = `http://127.0.0.1:${listener.addr.port}`;
  relays.set(key, origin);
  return origin;
}

async function accept(listener: Deno.TcpListener, url: URL, pin: Pin): Promise<void> {
  for await (const client of listener) {
    relay(client, url, pin).catch(() => closeAll(client));
  }
}

async function relay(client: Deno.TcpConn, url: URL, { pem, isOwn }: Pin): Promise<void> {
  const hostname = url.hostname.replace(/^\[|\]$/g, "");
  let socket: Deno.Conn | undefined;
  try {
    const tcp = await Deno.connect({ hostname, port: Number(url.port || 443) });
    socket = tcp;
    tcp.setNoDelay();
    client.setNoDelay();
    const secured = await Deno.startTls(tcp, { hostname: isOwn ? PINNED_NAME : hostname, caCerts: [pem] });
    socket = secured;
    await secured.handshake();
    await Promise.all([copy(client, secured), copy(secured, client)]);
  } finally {
    closeAll(client, socket);
  }
}

async function copy(from: Deno.Conn, to: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(BUFFER_BYTES);
  for (let got = await from.read(buffer); got !== null; got = await from.read(buffer)) {
    for (let at = 0; at < got;) at += await to.write(buffer.subarray(at, got));
  }
  await to.closeWrite();
}

function closeAll(...connections: (Deno.Conn | undefined)[]): void {
  for (const connection of connections) {
    try {
      connection?.close();
    } catch {
      // It is closed already.
    }
  }
}

/**
 * Parses a fingerprint: `sha256:` and 64 hex digits, or as openssl prints it, with colons.
 *
 * @throws {RefusedError} when the text is none
 */
export function parseFingerprint(text: string): string {
  const hex = text.trim().replace(/^sha-?256(?: fingerprint)?[:=]/i, "").replaceAll(":", "").toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex)) return `sha256:${hex}`;
  throw new UsageError(cannot(`use the fingerprint ${JSON.stringify(text)}`, "write sha256: and 64 hex digits"));
}
