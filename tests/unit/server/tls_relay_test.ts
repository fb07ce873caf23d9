import { assertRejects } from "@std/assert";
import { type SecuredConnection, TlsRelay } from "../../../lib/server/tls_relay.ts";
import { makeCertificate } from "../../support/certificate.ts";
import { peerTest } from "../../support/peers.ts";

const LOOPBACK = { hostname: "127.0.0.1" };

/** A relay, and connections with a client that has begun a handshake. */
async function startRelay() {
  const certificate = await makeCertificate();
  const relay = new TlsRelay(certificate);
  const listener = Deno.listen({ ...LOOPBACK, port: 0 });
  return {
    relay,
    certificate,
    connect: async () => {
      const { port } = listener.addr;
      const [client, accepted] = await Promise.all([Deno.connect({ ...LOOPBACK, port }), listener.accept()]);
      return { client, accepted };
    },
    [Symbol.dispose]() {
      relay[Symbol.dispose]();
      listener.close();
    },
  };
}

// A handshake record without content is enough for the relay.
const HELLO: Uint8Array<ArrayBuffer> = new Uint8Array([22, 3, 1, 0, 0]);

/** Replaces `Deno.connect` until the result is disposed of. */
function replaceConnect(connect: (options: Deno.ConnectOptions) => Promise<Deno.Conn>): Disposable {
  const original = Deno.connect;
  Deno.connect = connect as typeof Deno.connect;
  return { [Symbol.dispose]: () => void (Deno.connect = original) };
}

// The test runner reports connections that are still open at the end of a test.
for (const when of ["when the relay connects", "when the relay has connected", "in the next turn"] as const) {
  peerTest(
    { name: `[88] TlsRelay closes everything of a connection that is closed ${when}`, sanitizeResources: true },
    ["openssl"],
    async () => {
      using running = await startRelay();
      const { client, accepted } = await running.connect();
      const abort = new AbortController();
      const connect = Deno.connect;
      using _ = replaceConnect(async (options) => {
        if (when === "when the relay connects") abort.abort(new Error("closed"));
        const inner = await connect(options);
        if (when === "when the relay has connected") queueMicrotask(() => abort.abort(new Error("closed")));
        if (when === "in the next turn") setTimeout(() => abort.abort(new Error("closed")), 0);
        return inner;
      });
      await client.write(HELLO);
      let secured: SecuredConnection | undefined;
      try {
        secured = await running.relay.secure(accepted, abort.signal);
      } catch {
        // It may fail, or the handshake may have begun.
      }
      secured?.connection.close();
      await secured?.ended;
      client.close();
      // The relay may accept its connection only now.
      await pause();
    },
  );
}

peerTest("[88] TlsRelay ends when its listener was replaced before it accepted a connection", ["openssl"], async () => {
  using running = await startRelay();
  const { relay, certificate } = running;
  const { client, accepted } = await running.connect();
  const abort = new AbortController();
  const connect = Deno.connect;
  using _ = replaceConnect(async (options) => {
    relay.replaceIdentity(certificate);
    // No connection to this listener will ever be accepted by the relay.
    using other = Deno.listen({ ...LOOPBACK, port: 0 });
    const inner = await connect({ ...options, port: other.addr.port });
    setTimeout(() => abort.abort(new Error("closed")), 0);
    return inner;
  });
  await client.write(HELLO);
  await assertRejects(() => relay.secure(accepted, abort.signal));
  client.close();
});

peerTest(
  { name: "[88] TlsRelay keeps no connections of other programs to its own listener", sanitizeResources: true },
  ["openssl"],
  async () => {
    using running = await startRelay();
    const { client, accepted } = await running.connect();
    const abort = new AbortController();
    const connect = Deno.connect;
    const others: Deno.TcpConn[] = [];
    using _ = replaceConnect(async (options) => {
      others.push(await connect(options) as Deno.TcpConn);
      return await connect(options);
    });
    await client.write(HELLO);
    const { connection, ended } = await running.relay.secure(accepted, abort.signal);
    for (const each of [...others, connection, client]) each.close();
    await ended;
    await pause();
  },
);

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50));
}
