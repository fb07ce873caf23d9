import { assert, assertEquals, assertLess } from "@std/assert";
import { type ConnectionLimits, HttpServer, type OnBackpressure } from "../../../lib/server/http_server.ts";
import { listen } from "../../../lib/server/listen.ts";

const ADDRESS = { hostname: "127.0.0.1", port: 0 };
const NO_LIMITS: ConnectionLimits = { max: 1000, headTimeout: 1e9, idleTimeout: 1e9, readTimeout: 1e9 };
const HEAD = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/** A server whose clock stands still until it is set. */
function startServer(
  limits: Partial<ConnectionLimits>,
  body: () => BodyInit = () => "ok",
  takeBackpressure: (onBackpressure: OnBackpressure) => void = () => {},
) {
  let time = 0;
  const server = new HttpServer(listen(ADDRESS), {
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

  /** What has come next; empty at the end. */
  async read(): Promise<string> {
    const buffer = new Uint8Array(4096);
    const got = await this.#connection.read(buffer).catch(() => null);
    return new TextDecoder().decode(buffer.subarray(0, got ?? 0));
  }

  close(): void {
    try {
      this.#connection.close();
    } catch {
      // It is closed.
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
  Deno.test(`[57] HttpServer ends a connection that has sent ${what} when its time is over`, async () => {
    await using running = startServer({ headTimeout: 30_000 });
    using client = await Client.connect(running.server, sent);
    await untilSize(running.server, 1);
    running.setTime(30_000);
    assertEquals(await client.read(), "");
    await untilSize(running.server, 0);
  });
}

Deno.test("[57] HttpServer ends a connection that asks for nothing more, later than one that never asked", async () => {
  await using running = startServer({ headTimeout: 30_000, idleTimeout: 120_000 });
  using client = await Client.connect(running.server, HEAD);
  assert((await client.read()).endsWith("ok"));
  running.setTime(119_000);
  await client.send(HEAD);
  assert((await client.read()).endsWith("ok"));
  running.setTime(119_000 + 120_000);
  assertEquals(await client.read(), "");
});

Deno.test("[57] HttpServer never ends an answer that is running", async () => {
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
  // There is nobody who could be sent away for it.
  using other = await Client.connect(running.server);
  assertEquals(await other.read(), "");
  more.resolve();
  assert((await client.read()).includes("last"));
});

for (const [whose, waitsForClient] of [["the client", true], ["the server", false]] as const) {
  Deno.test(`[57] HttpServer that is full ${waitsForClient ? "ends" : "goes on with"} an answer that has waited for ${whose} for long`, async () => {
    const turns: OnBackpressure[] = [];
    const body = () => new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1000)) });
    await using running = startServer(
      { max: 2, readTimeout: 60_000 },
      body,
      (onBackpressure) => turns.push(onBackpressure),
    );
    using deaf = await Client.connect(running.server, HEAD);
    assert((await deaf.read()).startsWith("HTTP/1.1 200"));
    using busy = await Client.connect(running.server, HEAD);
    assert((await busy.read()).startsWith("HTTP/1.1 200"));
    turns[0]!(waitsForClient);
    running.setTime(59_999);
    turns[1]!(true);
    using early = await Client.connect(running.server);
    assertEquals(await early.read(), "");
    running.setTime(60_000);
    using late = await Client.connect(running.server, HEAD);
    const answer = await late.read();
    assertEquals(answer.startsWith("HTTP/1.1 200"), waitsForClient);
    for (const client of [deaf, busy, late]) client.close();
  });
}

Deno.test("[57, 58] HttpServer has never many more connections than it may, and serves who asks", async () => {
  const max = 20;
  await using running = startServer({ max });
  const idle: Client[] = [];
  try {
    for (let i = 0; i < 10 * max; i++) {
      idle.push(await Client.connect(running.server, i % 2 === 0 ? "" : "GET / HT"));
      if (i % 10 > 0) continue;
      using client = await Client.connect(running.server, HEAD);
      assert((await client.read()).endsWith("ok"));
      assertLess(running.server.size, 2 * max);
    }
    // Those who waited longest had to go.
    assertEquals(await idle[0]!.read(), "");
  } finally {
    for (const client of idle) client[Symbol.dispose]();
  }
});

Deno.test("HttpServer.shutdown() lets running answers finish, and ends the others", async () => {
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

Deno.test("HttpServer.replaceListener() goes on with the connections that there are", async () => {
  await using running = startServer({});
  using client = await Client.connect(running.server, HEAD);
  assert((await client.read()).endsWith("ok"));
  const before = running.server.addr.port;
  running.server.replaceListener(listen(ADDRESS));
  assert(running.server.addr.port !== before);
  for (const ask of [client, await Client.connect(running.server)]) {
    await ask.send(HEAD);
    assert((await ask.read()).endsWith("ok"));
  }
});
