import type { ConnectionInfo } from "../../../lib/server/serve_connection.ts";
import { PlainServer } from "../../../lib/server/plain_server.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";
import { makeCertificate } from "../../support/certificate.ts";
import { peerTest } from "../../support/peers.ts";

const ADDRESS = { hostname: "127.0.0.1", port: 0 };
const onError = () => new Response(null, { status: 500 });

for (const scheme of ["http", "https"]) {
  const name = `PlainServer answers over ${scheme}, says where from, and ends after its responses`;
  peerTest(name, scheme === "https" ? ["openssl"] : [], async () => {
    const identity = scheme === "https" ? await makeCertificate() : undefined;
    const seen: Pick<ConnectionInfo, "localAddress" | "remoteAddr">[] = [];
    const handler = (_: Request, info: ConnectionInfo) => {
      seen.push({ localAddress: info.localAddress, remoteAddr: info.remoteAddr });
      return new Response("ok");
    };
    const server = new PlainServer(ADDRESS, { handler, onError, identity });
    using client = Deno.createHttpClient(identity === undefined ? {} : { caCerts: [identity.cert] });
    const response = await fetch(`${scheme}://127.0.0.1:${server.addr.port}/`, { client });
    assertEquals([response.status, await response.text()], [200, "ok"]);
    assertEquals(seen.map((it) => [it.localAddress, it.remoteAddr.hostname]), [["127.0.0.1", "127.0.0.1"]]);
    server.shutdown();
    await server.finished;
    assertEquals(server.size, 0);
  });
}

Deno.test("PlainServer gives the readable reason when the port is in use", async () => {
  const handler = () => new Response();
  const first = new PlainServer(ADDRESS, { handler, onError });
  const address = { ...ADDRESS, port: first.addr.port };
  const error = assertThrows(() => new PlainServer(address, { handler, onError }), Error);
  assertStringIncludes((error as Error).message, "the port is in use; stop the program that uses it");
  first.shutdown();
  await first.finished;
});
