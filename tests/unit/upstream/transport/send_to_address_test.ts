import { MAX_ADDRESSES, sendToAddress } from "../../../../lib/upstream/transport/send_to_address.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";

const CLIENT = {} as Deno.HttpClient;
const URL_OF_NAME = "http://storage.test:8080/a/b?c=d";
const refused = () => new TypeError("client error (Connect): tcp connect error: Connection refused (os error 111)");

/** Sends a request and returns what was sent. The first `failures` tries throw. */
async function send(addresses: string[], failures: Error[] = [], proxyOf?: (url: URL) => string | undefined) {
  const sent: unknown[][] = [];
  const fetch = async (request: Request, init?: { client?: Deno.HttpClient }) => {
    const { method, url, headers } = request;
    sent.push([method, url, headers.get("host"), await request.text(), init?.client === CLIENT]);
    const failure = failures.shift();
    if (failure !== undefined) throw failure;
    return new Response("ok");
  };
  const request = new Request(URL_OF_NAME, { method: "POST", body: "user=a" });
  const response = sendToAddress(request, addresses, { fetch, addressClient: () => CLIENT, proxyOf });
  const status = await response.then(({ status }) => status, (error) => error.message as string);
  return { status, sent };
}

const sentTo = (host: string) => ["POST", `http://${host}:8080/a/b?c=d`, "storage.test:8080", "user=a", true];

Deno.test("[90] sendToAddress() sends the name as Host to the address", async () => {
  assertEquals(await send(["10.0.0.1"]), { status: 200, sent: [sentTo("10.0.0.1")] });
});

Deno.test("[90] sendToAddress() sends the whole request to the next address when the connection is refused", async () => {
  const noRoute = new TypeError("tcp connect error: Network is unreachable (os error 101)");
  assertEquals(await send(["2001:db8::1", "10.0.0.1", "10.0.0.2"], [noRoute, refused()]), {
    status: 200,
    sent: [sentTo("[2001:db8::1]"), sentTo("10.0.0.1"), sentTo("10.0.0.2")],
  });
});

Deno.test("[90] sendToAddress() does not send a request twice that may have been received", async () => {
  const cut = new TypeError("connection reset by peer");
  assertEquals(await send(["10.0.0.1", "10.0.0.2"], [cut]), { status: cut.message, sent: [sentTo("10.0.0.1")] });
});

Deno.test("[90] sendToAddress() tries a limited number of addresses", async () => {
  const addresses = Array.from({ length: 200 }, (_, i) => `10.0.0.${i}`);
  const { status, sent } = await send(addresses, addresses.map(refused));
  assertEquals([status, sent.length], [refused().message, MAX_ADDRESSES]);
});

Deno.test("[90] sendToAddress() sends nothing to a proxy that is used for the address, but not for the name", async () => {
  const proxyOf = ({ hostname }: URL) => hostname === "10.0.0.1" ? "proxy.lan:3128" : undefined;
  assertEquals((await send(["10.0.0.1"], [], proxyOf)).sent, [["POST", URL_OF_NAME, null, "user=a", false]]);
});

Deno.test("[90] sendToAddress() rejects when no address can be connected to", async () => {
  const fetch = () => Promise.reject(refused());
  const request = new Request(URL_OF_NAME);
  await assertRejects(() => sendToAddress(request, ["10.0.0.1"], { fetch, addressClient: () => CLIENT }), TypeError);
});
