import { Exchange, type SentAnswer } from "../../../lib/server/exchange.ts";
import { assertEquals } from "../../support/assert.ts";

function start(request = new Request("http://crpe/kubepkgs?x=1", { method: "PUT" })) {
  const sent: SentAnswer[] = [];
  const completed = Promise.withResolvers<void>();
  const info = {
    remoteAddr: { transport: "tcp" as const, hostname: "::ffff:10.0.0.7", port: 1 },
    completed: completed.promise,
    localAddress: "127.0.0.1",
  };
  const exchange = new Exchange(request, info, { onSent: (answer) => sent.push(answer) });
  const reported = () => sent.map(({ duration: _, ...rest }) => rest);
  return { exchange, reported, completed };
}

const request = { method: "PUT", path: "/kubepkgs?x=1", client: "10.0.0.7" };

Deno.test("Exchange reports a response without a body immediately", () => {
  const { exchange, reported } = start();
  const response = new Response(null, { status: 204 });
  assertEquals(exchange.count(response), response);
  assertEquals(reported(), [{ ...request, status: 204, bytes: 0, isAborted: false }]);
});

for (
  const [path, logged] of [
    ["/api/outbox/sha256:aa?expires=1&key=5d0c", "/api/outbox/sha256:aa?expires=1&key="],
    ["/api/outbox/sha256:aa?key=5d0c&expires=1&key=6", "/api/outbox/sha256:aa?key=&expires=1&key="],
    ["/v2/key=1/tags/list?n=5&monkey=2", "/v2/key=1/tags/list?n=5&monkey=2"],
  ] as const
) {
  Deno.test(`Exchange reports ${path} without the key of a link`, () => {
    const { exchange, reported } = start(new Request(`http://crpe${path}`));
    exchange.end({ status: 200, bytes: 0, isAborted: false });
    assertEquals(reported().map(({ path }) => path), [logged]);
  });
}

for (const header of [{}, { "content-length": "5" }] as Record<string, string>[]) {
  const what = "content-length" in header ? "a known" : "an unknown";
  Deno.test(`Exchange counts the bytes of a response of ${what} length and keeps its head`, async () => {
    const { exchange, reported } = start();
    const counted = exchange.count(new Response("hello", { status: 201, headers: { "x-a": "b", ...header } }));
    assertEquals(reported(), []);
    assertEquals([counted.status, counted.headers.get("x-a"), await counted.text()], [201, "b", "hello"]);
    assertEquals(reported(), [{ ...request, status: 201, bytes: 5, isAborted: false }]);
  });

  Deno.test(`Exchange reports that a response of ${what} length was aborted`, async () => {
    const { exchange, reported } = start();
    await exchange.count(new Response("hello", { headers: header })).body?.cancel();
    assertEquals(reported(), [{ ...request, status: 200, bytes: 0, isAborted: true }]);
  });
}

for (const outcome of ["resolve", "reject"] as const) {
  Deno.test(`Exchange reports a large response when it was sent, and completed ${outcome}s`, async () => {
    const { exchange, reported, completed } = start();
    exchange.end({ status: 200, bytes: 1_000_000, isAborted: false });
    await Promise.resolve();
    assertEquals(reported(), []);
    completed[outcome]();
    await completed.promise.catch(() => {});
    await Promise.resolve();
    assertEquals(reported(), [{ ...request, status: 200, bytes: 1_000_000, isAborted: false }]);
  });
}
