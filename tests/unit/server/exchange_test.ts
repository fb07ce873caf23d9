import { Exchange, type SentAnswer } from "../../../lib/server/exchange.ts";
import { assertEquals } from "../../support/assert.ts";

function start(request = new Request("http://crpe/kubepkgs?x=1", { method: "PUT" })) {
  const sent: SentAnswer[] = [];
  const completed = Promise.withResolvers<void>();
  const info = {
    remoteAddr: { transport: "tcp" as const, hostname: "::ffff:10.0.0.7", port: 1 },
    completed: completed.promise,
  };
  const exchange = new Exchange(request, info, { onSent: (answer) => sent.push(answer) });
  const told = () => sent.map(({ duration: _, ...rest }) => rest);
  return { exchange, told, completed };
}

const request = { method: "PUT", path: "/kubepkgs?x=1", client: "10.0.0.7" };

Deno.test("Exchange tells of an answer without a body at once", () => {
  const { exchange, told } = start();
  const response = new Response(null, { status: 204 });
  assertEquals(exchange.count(response), response);
  assertEquals(told(), [{ ...request, status: 204, bytes: 0, isAborted: false }]);
});

for (const header of [{}, { "content-length": "5" }] as Record<string, string>[]) {
  const what = "content-length" in header ? "a known" : "an unknown";
  Deno.test(`Exchange counts the bytes of an answer of ${what} length, and keeps its head`, async () => {
    const { exchange, told } = start();
    const counted = exchange.count(new Response("hello", { status: 201, headers: { "x-a": "b", ...header } }));
    assertEquals(told(), []);
    assertEquals([counted.status, counted.headers.get("x-a"), await counted.text()], [201, "b", "hello"]);
    assertEquals(told(), [{ ...request, status: 201, bytes: 5, isAborted: false }]);
  });

  Deno.test(`Exchange tells that an answer of ${what} length was aborted`, async () => {
    const { exchange, told } = start();
    await exchange.count(new Response("hello", { headers: header })).body?.cancel();
    assertEquals(told(), [{ ...request, status: 200, bytes: 0, isAborted: true }]);
  });
}

for (const outcome of ["resolve", "reject"] as const) {
  Deno.test(`Exchange waits for a large answer to be sent, whatever the runtime says of it (${outcome})`, async () => {
    const { exchange, told, completed } = start();
    exchange.end({ status: 200, bytes: 1_000_000, isAborted: false });
    await Promise.resolve();
    assertEquals(told(), []);
    completed[outcome]();
    await completed.promise.catch(() => {});
    await Promise.resolve();
    assertEquals(told(), [{ ...request, status: 200, bytes: 1_000_000, isAborted: false }]);
  });
}
