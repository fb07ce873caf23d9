import { Exchange, type SentAnswer } from "../../../lib/server/exchange.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";

function start(
  request = new Request("http://crpe/kubepkgs?x=1", { method: "PUT" }),
  onBackpressure: (waitsForClient: boolean) => void = () => {},
) {
  const sent: SentAnswer[] = [];
  const completed = Promise.withResolvers<void>();
  const info = {
    remoteAddr: { transport: "tcp" as const, hostname: "::ffff:10.0.0.7", port: 1 },
    completed: completed.promise,
    localAddress: "127.0.0.1",
  };
  const exchange = new Exchange(request, info, { onBackpressure, onSent: (answer) => sent.push(answer) });
  const reported = () => sent.map(({ duration: _, ...rest }) => rest);
  return { exchange, reported, completed };
}

const request = { method: "PUT", path: "/kubepkgs?x=1", client: "10.0.0.7", kind: undefined, remark: undefined };

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
    exchange.count(new Response());
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
    exchange.note = { length: 1_000_000 };
    exchange.count(new Response());
    await Promise.resolve();
    assertEquals(reported(), []);
    completed[outcome]();
    await completed.promise.catch(() => {});
    await Promise.resolve();
    assertEquals(reported(), [{ ...request, status: 200, bytes: 1_000_000, isAborted: false }]);
  });
}

Deno.test("Exchange reports a body in memory at once, does not wrap it, and adds what the handler notes", () => {
  const { exchange, reported } = start();
  const ends: number[] = [];
  exchange.note = { length: 5, kind: "manifest", remark: "hit", onEnd: (bytes) => ends.push(bytes) };
  const response = new Response("hello");
  assertEquals(exchange.count(response), response);
  assertEquals(ends, [5]);
  const noted = { ...request, kind: "manifest", remark: "hit" };
  assertEquals(reported(), [{ ...noted, status: 200, bytes: 5, isAborted: false }]);
});

const endings: [what: string, failAt: number, end: (response: Response) => Promise<unknown>, bytes: number][] = [
  ["is read completely", Infinity, (response) => response.arrayBuffer(), 3000],
  ["is cancelled by the client", Infinity, async (response) => {
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
  }, 1000],
  ["fails", 2000, (response) => assertRejects(() => response.arrayBuffer(), Error, "cut"), 2000],
];
for (const [what, failAt, end, bytes] of endings) {
  Deno.test(`Exchange reports the bytes and the backpressure of a body that ${what}`, async () => {
    const waits: boolean[] = [];
    const { exchange, reported } = start(undefined, (waitsForClient) => waits.push(waitsForClient));
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent >= failAt) return controller.error(new Error("cut"));
        if (sent >= 3000) return controller.close();
        sent += 1000;
        controller.enqueue(new Uint8Array(1000));
      },
    }, { highWaterMark: 0 });
    const ends: number[] = [];
    exchange.note = { onEnd: (bytes) => ends.push(bytes) };
    const response = exchange.count(new Response(body, { headers: { "content-length": "3000" } }));
    assertEquals(ends, []);
    await end(response);
    assertEquals(ends, [bytes]);
    assertEquals(reported(), [{ ...request, status: 200, bytes, isAborted: bytes < 3000 }]);
    assertEquals(waits.slice(0, 2), [false, true]);
  });
}
