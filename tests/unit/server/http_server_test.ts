import { assert, assertEquals, assertLess } from "@std/assert";
import type { ConnectionLimits, OnBackpressure, ShedReason } from "../../../lib/server/connection_table.ts";
import { MemoryBudget } from "../../../lib/bytes/memory_budget.ts";
import { HttpServer, type HttpServerOptions } from "../../../lib/server/http_server.ts";
import { listen } from "../../../lib/server/listen.ts";
import { findServeConnection } from "../../../lib/server/serve_connection.ts";

const ADDRESS = { hostname: "127.0.0.1", port: 0 };
const NO_LIMITS: ConnectionLimits = {
  max: 1000,
  headTimeout: 1e9,
  idleTimeout: 1e9,
  patience: 1e9,
  crowdPatience: 1e9,
  roomTimeout: 1e9,
};
const HEAD = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/** Starts a server with a clock that changes only through `setTime`. */
function startServer(
  limits: Partial<ConnectionLimits>,
  body: () => BodyInit = () => "ok",
  takeBackpressure: (onBackpressure: OnBackpressure) => void = () => {},
) {
  let time = 0;
  const server = new HttpServer(listen(ADDRESS), {
    serveConnection: findServeConnection()!,
    handler: (_request, _info, onBackpressure) => {
      takeBackpressure(onBackpressure);
      return new Response(body());
    },
    onError: () => new Response(null, { status: 500 }),
    limits: { ...NO_LIMITS, ...limits },
    now: () => time,
  });
  return {
    server,
    setTime: (milliseconds: number) => time = milliseconds,
    async [Symbol.asyncDispose]() {
      server.shutdown();
      await server.finished;
    },
  };
}

class Client implements Disposable {
  readonly #connection: Deno.TcpConn;

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  static async connect(server: HttpServer, text = ""): Promise<Client> {
    const client = new Client(await Deno.connect({ hostname: "127.0.0.1", port: server.addr.port }));
    await client.send(text);
    return client;
  }

  async send(text: string): Promise<void> {
    if (text !== "") await this.#connection.write(new TextEncoder().encode(text));
  }

  /** Reads the next bytes as text; empty at the end. */
  async read(): Promise<string> {
    const buffer = new Uint8Array(4096);
    const got = await this.#connection.read(buffer).catch(() => null);
    return new TextDecoder().decode(buffer.subarray(0, got ?? 0));
  }

  close(): void {
    try {
      this.#connection.close();
    } catch {
      // The connection is already closed.
    }
  }

  [Symbol.dispose]() {
    this.close();
  }
}

async function untilSize(server: HttpServer, size: number): Promise<void> {
  while (server.size !== size) await new Promise((resolve) => setTimeout(resolve, 5));
}

for (const [what, sent] of [["nothing", ""], ["half a head", "GET / HTTP/1.1\r\nHo"]] as const) {
  Deno.test(`[57] HttpServer closes a connection that has sent ${what} after headTimeout`, async () => {
    await using running = startServer({ headTimeout: 30_000 });
    using client = await Client.connect(running.server, sent);
    await untilSize(running.server, 1);
    running.setTime(30_000);
    assertEquals(await client.read(), "");
    await untilSize(running.server, 0);
  });
}

Deno.test("[57] HttpServer closes a connection without a further request after idleTimeout", async () => {
  await using running = startServer({ headTimeout: 30_000, idleTimeout: 120_000 });
  using client = await Client.connect(running.server, HEAD);
  assert((await client.read()).endsWith("ok"));
  running.setTime(119_000);
  await client.send(HEAD);
  assert((await client.read()).endsWith("ok"));
  running.setTime(119_000 + 120_000);
  assertEquals(await client.read(), "");
});

Deno.test("[57] HttpServer never closes a connection with a response in progress for a new one", async () => {
  const more = Promise.withResolvers<void>();
  const body = () => {
    return new ReadableStream({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode("first"));
        await more.promise;
        controller.enqueue(new TextEncoder().encode("last"));
        controller.close();
      },
    });
  };
  await using running = startServer({ max: 1, headTimeout: 1, idleTimeout: 1 }, body);
  using client = await Client.connect(running.server, HEAD);
  while (!(await client.read()).includes("first"));
  running.setTime(1e6);
  // The only connection has a response in progress, so the new one is answered when that one has ended.
  using other = await Client.connect(running.server, HEAD);
  await untilSize(running.server, 2);
  more.resolve();
  assert((await client.read()).includes("last"));
  client.close();
  assert((await other.read()).startsWith("HTTP/1.1 200"));
});

for (const [whose, waitsForClient] of [["the client", true], ["the server", false]] as const) {
  Deno.test(
    `[57] HttpServer at its limit ${
      waitsForClient ? "closes" : "keeps"
    } a connection that has waited for ${whose} for too long`,
    async () => {
      const callbacks: OnBackpressure[] = [];
      const body = () => new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1000)) });
      await using running = startServer(
        { max: 2, patience: 60_000, crowdPatience: 60_000, roomTimeout: 100 },
        body,
        (onBackpressure) => callbacks.push(onBackpressure),
      );
      using stalled = await Client.connect(running.server, HEAD);
      assert((await stalled.read()).startsWith("HTTP/1.1 200"));
      using busy = await Client.connect(running.server, HEAD);
      assert((await busy.read()).startsWith("HTTP/1.1 200"));
      callbacks[0]!(waitsForClient);
      running.setTime(59_999);
      callbacks[1]!(true);
      using early = await Client.connect(running.server, HEAD);
      const refused = await early.read();
      assert(refused.startsWith("HTTP/1.1 503") && /^retry-after: [1-9]/m.test(refused), JSON.stringify(refused));
      running.setTime(60_000);
      using late = await Client.connect(running.server, HEAD);
      const answer = await late.read();
      assert(answer.startsWith(`HTTP/1.1 ${waitsForClient ? 200 : 503}`), answer);
      for (const client of [stalled, busy, late]) client.close();
    },
  );
}

Deno.test("[57, 58] HttpServer bounds the number of idle connections and serves new requests", async () => {
  const max = 20;
  await using running = startServer({ max });
  const idle: Client[] = [];
  try {
    for (let i = 0; i < 10 * max; i++) {
      running.setTime(100 * i);
      idle.push(await Client.connect(running.server, i % 2 === 0 ? "" : "GET / HT"));
      if (i % 10 > 0) continue;
      using client = await Client.connect(running.server, HEAD);
      assert((await client.read()).endsWith("ok"));
      assertLess(running.server.size, 2 * max);
    }
    // The connections that were idle longest were closed.
    assertEquals(await idle[0]!.read(), "");
  } finally {
    for (const client of idle) client[Symbol.dispose]();
  }
});

Deno.test("HttpServer.shutdown() finishes responses in progress and closes idle connections", async () => {
  const more = Promise.withResolvers<void>();
  const body = () => new ReadableStream({ pull: (controller) => more.promise.then(() => controller.close()) });
  const running = startServer({}, body);
  using busy = await Client.connect(running.server, HEAD);
  using idle = await Client.connect(running.server);
  await untilSize(running.server, 2);
  assert((await busy.read()).startsWith("HTTP/1.1 200"));
  running.server.shutdown();
  assertEquals(await idle.read(), "");
  assertEquals(running.server.size, 1);
  more.resolve();
  await running.server.finished;
});

Deno.test("[88] HttpServer answers health checks beyond its limit, and refuses a request that waits for the server", async () => {
  const answers: ((response: Response) => void)[] = [];
  let time = 0;
  const shed: ShedReason[] = [];
  const handler: HttpServerOptions["handler"] = ({ url }) =>
    url.endsWith("/healthz") ? new Response("healthy") : new Promise((resolve) => answers.push(resolve));
  const server = new HttpServer(listen(ADDRESS), {
    serveConnection: findServeConnection()!,
    handler,
    onError: () => new Response(null, { status: 500 }),
    limits: { ...NO_LIMITS, max: 1, patience: 1000, crowdPatience: 1000, roomTimeout: 10_000 },
    onShed: (reason) => shed.push(reason),
    now: () => time,
  });
  using waiting = await Client.connect(server, HEAD);
  while (answers.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  using probe = await Client.connect(server, "GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n");
  assert((await probe.read()).endsWith("healthy"));
  // The request on the extra connection makes the server refuse the one that has waited for a second.
  using next = await Client.connect(server, HEAD);
  time = 1000;
  const refused = await waiting.read();
  assert(refused.startsWith("HTTP/1.1 503") && refused.includes("retry-after: 5"), refused);
  waiting.close();
  while (answers.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  answers[1]!(new Response("late"));
  assert((await next.read()).endsWith("late"));
  assertEquals(shed.filter((reason) => reason === "waiting"), ["waiting"]);
  server.shutdown();
  for (const client of [probe, next]) client.close();
  await server.finished;
});

/** Starts a server for one connection whose requests wait for `answers`, except for health checks. */
function startBusyServer(limits: Partial<ConnectionLimits>) {
  const answers: ((response: Response) => void)[] = [];
  const shed: ShedReason[] = [];
  let time = 0;
  const server = new HttpServer(listen(ADDRESS), {
    serveConnection: findServeConnection()!,
    handler: ({ url }) =>
      url.endsWith("/healthz") ? new Response("healthy") : new Promise((resolve) => answers.push(resolve)),
    onError: () => new Response(null, { status: 500 }),
    limits: { ...NO_LIMITS, max: 1, ...limits },
    onShed: (reason) => shed.push(reason),
    now: () => time,
  });
  return {
    ...{ server, answers, shed },
    setTime: (milliseconds: number) => time = milliseconds,
    untilWaiting: async (requests: number) => {
      while (answers.length < requests) await new Promise((resolve) => setTimeout(resolve, 5));
    },
    async [Symbol.asyncDispose]() {
      for (const answer of answers) answer(new Response("late"));
      server.shutdown();
      await server.finished;
    },
  };
}

Deno.test("[88] HttpServer counts a request that was refused because there was no room in time", async () => {
  await using running = startBusyServer({ roomTimeout: 50 });
  const { server, answers, shed, untilWaiting } = running;
  using first = await Client.connect(server, HEAD);
  await untilWaiting(1);
  using second = await Client.connect(server, HEAD);
  assert((await second.read()).startsWith("HTTP/1.1 503"));
  assertEquals(shed, ["connections"]);
  answers[0]!(new Response("done"));
  await first.read();
});

Deno.test("[88] HttpServer never refuses a request that changes something, also after it has waited for room", async () => {
  await using running = startBusyServer({ patience: 1000, crowdPatience: 1000 });
  const { server, answers, shed, setTime, untilWaiting } = running;
  using first = await Client.connect(server, HEAD);
  await untilWaiting(1);
  using upload = await Client.connect(server, "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
  await untilSize(server, 2);
  answers[0]!(new Response("done"));
  await first.read();
  first.close();
  await untilWaiting(2);
  setTime(2000);
  // The server looks for room when it accepts this connection.
  using probe = await Client.connect(server, "GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n");
  assert((await probe.read()).endsWith("healthy"));
  assertEquals(shed, []);
  answers[1]!(new Response("uploaded"));
  assert((await upload.read()).endsWith("uploaded"));
});

Deno.test("[88] HttpServer takes memory for a response until it is sent, and refuses one without memory", async () => {
  const memory = new MemoryBudget(100 * 1024);
  const held = memory.take(memory.limit)!;
  let isCancelled = false;
  const body = () => new ReadableStream({ cancel: () => void (isCancelled = true) });
  const server = new HttpServer(listen(ADDRESS), {
    serveConnection: findServeConnection()!,
    handler: ({ url }) => new Response(url.endsWith("/small") ? "ok" : body()),
    onError: () => new Response(null, { status: 500 }),
    limits: NO_LIMITS,
    memory,
  });
  using client = await Client.connect(server, HEAD);
  const refused = await client.read();
  assert(refused.startsWith("HTTP/1.1 503"), JSON.stringify(refused));
  assertEquals(isCancelled, true);
  held[Symbol.dispose]();
  await client.send("GET /small HTTP/1.1\r\nHost: test\r\n\r\n");
  while (!(await client.read()).endsWith("ok"));
  while (memory.used > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  client.close();
  server.shutdown();
  await server.finished;
});

Deno.test("HttpServer sends small answers without delay (TCP_NODELAY)", async () => {
  await using started = startServer({});
  using any = await Deno.connect({ hostname: "127.0.0.1", port: started.server.addr.port });
  const connection: Deno.TcpConn = Object.getPrototypeOf(any);
  await untilSize(started.server, 1);
  const { setNoDelay } = connection;
  let calls = 0;
  connection.setNoDelay = function () {
    calls++;
    setNoDelay.call(this);
  };
  try {
    using other = await Client.connect(started.server, HEAD);
    assert((await other.read()).endsWith("ok"));
    assertEquals(calls, 1);
  } finally {
    connection.setNoDelay = setNoDelay;
  }
});
