import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { createRegistryHandler } from "../../../lib/registry/handler.ts";
import { assert, assertEquals, assertLess, assertMatch, assertRejects } from "../../support/assert.ts";
import type { MemoryStore } from "../../support/memory_store.ts";
import { blob, index, layer, makeStore, manifest } from "../../support/registry_fixture.ts";

// These tests need a real socket: they check how the server sends the responses of the handler.

interface Served extends AsyncDisposable {
  readonly store: MemoryStore;
  readonly port: number;
  readonly url: string;
}

async function serve(): Promise<Served> {
  const store = await makeStore();
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
    // Newer releases of Deno call this for a body that fails, and print the error if this is missing.
    onError: () => new Response(null, { status: 500 }),
  }, createRegistryHandler(store));
  const { port } = server.addr as Deno.NetAddr;
  return { store, port, url: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: () => server.shutdown() };
}

interface RawAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

/** Sends requests unchanged over one connection, and reads until the connection is closed. */
async function exchange(port: number, ...requests: string[]): Promise<{ head: string; bytes: Uint8Array }> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const text = requests.map((request, i) =>
    `${request}\r\nHost: crpe\r\n${i === requests.length - 1 ? "Connection: close\r\n" : ""}\r\n`
  ).join("");
  await connection.write(new TextEncoder().encode(text));
  const parts: Uint8Array[] = [];
  const buffer = new Uint8Array(64 * 1024);
  try {
    for (let n = await connection.read(buffer); n !== null; n = await connection.read(buffer)) {
      parts.push(buffer.slice(0, n));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
  }
  const bytes = joinChunks(parts);
  return { head: new TextDecoder("latin1").decode(bytes), bytes };
}

async function ask(port: number, request: string): Promise<RawAnswer> {
  const { head, bytes } = await exchange(port, request);
  const end = head.indexOf("\r\n\r\n");
  const [status = "", ...lines] = head.slice(0, end).split("\r\n");
  const headers = new Headers(lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  }));
  return { status: Number(status.split(" ")[1]), headers, body: bytes.subarray(end + 4) };
}

/** Waits until a condition holds. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Replaces the body of every blob with one that never ends. */
function makeEndless(store: MemoryStore): { cancelled: number; readonly release: () => void } {
  const gate = Promise.withResolvers<void>();
  const state = { cancelled: 0, release: gate.resolve };
  const size = 2 ** 40;
  store.openBlob = async () => {
    store.asked.push("openBlob");
    await gate.promise;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024)),
      cancel: () => {
        state.cancelled++;
      },
    }, { highWaterMark: 0 });
    return { size, start: 0, length: size, body };
  };
  return state;
}

for (const encoding of ["gzip", "br", "zstd,gzip,deflate", "*", "identity;q=0, gzip"]) {
  Deno.test(`a served manifest is not compressed for Accept-Encoding: ${encoding}`, async () => {
    await using served = await serve();
    for (const path of ["/v2/app/manifests/1.0", "/v2/app/tags/list", blob, "/v2/app/manifests/none"]) {
      const request = `GET ${path} HTTP/1.1\r\nAccept-Encoding: ${encoding}`;
      const { headers, body } = await ask(served.port, request);
      assertEquals(headers.get("content-encoding"), null, path);
      assertEquals(headers.get("transfer-encoding"), null, path);
      assertEquals(headers.get("content-length"), String(body.length), path);
      // This header prevents older releases of Deno from compressing the body.
      assertEquals(headers.get("cache-control"), "no-transform", path);
      if (path.endsWith("1.0")) {
        assertEquals(body, manifest.bytes);
        assertEquals(headers.get("etag"), `"${index.root.digest}"`);
      }
    }
  });
}

Deno.test("a served HEAD has the length of GET, and no body", async () => {
  await using served = await serve();
  const paths = ["/v2/app/manifests/1.0", "/v2/app/manifests/none", "/v2/", "/v2/app/tags/list", blob];
  for (const path of paths) {
    const get = await ask(served.port, `GET ${path} HTTP/1.1`);
    const head = await ask(served.port, `HEAD ${path} HTTP/1.1`);
    assertEquals(head.status, get.status, path);
    assertEquals(head.headers.get("content-length"), String(get.body.length), path);
    assertEquals(head.headers.get("content-type"), get.headers.get("content-type"), path);
    assertEquals(head.body.length, 0, path);
  }
  assertEquals(served.store.openBodies, 0);
});

Deno.test("a connection is reused after responses without a body", async () => {
  await using served = await serve();
  const { head } = await exchange(
    served.port,
    `HEAD ${blob} HTTP/1.1`,
    `GET ${blob} HTTP/1.1\r\nIf-None-Match: *`,
    `GET ${blob} HTTP/1.1\r\nRange: bytes=9999999-`,
    "PUT /v2/app/manifests/1.0 HTTP/1.1\r\nContent-Length: 0",
  );
  const statuses = [...head.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1]);
  assertEquals(statuses, ["200", "304", "416", "405"]);
});

Deno.test("a served manifest is unconverted when Accept is repeated", async () => {
  await using served = await serve();
  const request = "GET /v2/app/manifests/1.0 HTTP/1.1\r\nAccept: text/plain\r\nAccept: application/json";
  const { status, headers, body } = await ask(served.port, request);
  assertEquals([status, headers.get("content-type")], [200, index.root.mediaType]);
  assertEquals(body, manifest.bytes);
});

const hostile: [string, number][] = [
  ["/v2/../../etc/passwd", 404],
  ["/v2/a/../../../etc/manifests/1", 400],
  ["/v2/a/%2e%2e/%2e%2e/etc/manifests/1", 400],
  ["/v2/%2e%2e%2f%2e%2e%2fetc/manifests/passwd", 400],
  ["/v2/a/manifests/%2e%2e%2f%2e%2e%2fetc", 404],
  ["/v2/a/manifests/%252e%252e", 404],
  ["/v2/a/blobs/sha256:%2e%2e%2fx", 404],
  ["/v2/a/blobs/%2e%2e", 400],
  ["/v2/a%00b/manifests/1", 400],
  ["/v2/a%zz/manifests/1", 400],
  ["/mirrors/%2e%2e/v2/a/manifests/1", 400],
  ["/v2/a/manifests/1?ns=%2e%2e%2f", 400],
];
for (const [path, status] of hostile) {
  Deno.test(`a server answers ${status} to ${path} [54]`, async () => {
    await using served = await serve();
    const answer = await ask(served.port, `GET ${path} HTTP/1.1`);
    assertEquals(answer.status, status);
    assertEquals(served.store.asked, []);
    const { errors } = JSON.parse(new TextDecoder().decode(answer.body));
    assertEquals(errors.length, 1);
  });
}

Deno.test("a server rejects an upload without reading its body", async () => {
  await using served = await serve();
  const response = await fetch(`${served.url}/v2/app/blobs/uploads/`, {
    method: "POST",
    body: new Uint8Array(1 << 20),
  });
  assertEquals([response.status, response.headers.get("allow")], [405, "GET, HEAD"]);
  assertMatch(await response.text(), /UNSUPPORTED/);
});

for (const [what, position] of [["immediately", 0], ["in the middle", 2000], ["before its last byte", 5000]] as const) {
  Deno.test(`a body that fails ${what} aborts the connection, and is never a short 200 [4][10]`, async () => {
    await using served = await serve();
    served.store.chunkSize = 1000;
    served.store.failAt = { position, error: new Error("Cannot read: the upstream went away") };
    const { status, headers, body } = await ask(served.port, `GET ${blob} HTTP/1.1`);
    // If nothing was sent yet, the server may also close the connection without a response.
    if (status === 200) {
      assertEquals(headers.get("content-length"), String(layer.length));
      assertLess(body.length, layer.length);
      assertEquals(body, layer.slice(0, body.length));
    } else assert(position === 0 || body.length === 0, `status ${status}`);
    await assertRejects(async () => await (await fetch(`${served.url}${blob}`)).bytes());
    await assertRejects(async () =>
      await (await fetch(`${served.url}${blob}`, { headers: { range: `bytes=${position}-` } })).bytes()
    );
    await until(() => served.store.openBodies === 0);
    served.store.failAt = undefined;
    assertEquals(await (await fetch(`${served.url}${blob}`)).bytes(), layer);
  });
}

Deno.test("a body that ends too early aborts the connection [4][12]", async () => {
  await using served = await serve();
  const openBlob = served.store.openBlob.bind(served.store);
  served.store.openBlob = async (repo, digest) => {
    const opened = await openBlob(repo, digest, { start: 0, end: 99 });
    return opened && { ...opened, length: layer.length };
  };
  const { status, headers, body } = await ask(served.port, `GET ${blob} HTTP/1.1`);
  // Older releases of Deno close the connection before the head of the answer is sent.
  if (status === 200) assertEquals(headers.get("content-length"), String(layer.length));
  assertLess(body.length, layer.length);
  await assertRejects(async () => await (await fetch(`${served.url}${blob}`)).bytes());
});

Deno.test("a body is cancelled when the client disconnects while it is sent [2]", async () => {
  await using served = await serve();
  const endless = makeEndless(served.store);
  endless.release();
  const controller = new AbortController();
  const response = await fetch(`${served.url}${blob}`, { signal: controller.signal });
  const reader = response.body!.getReader();
  await reader.read();
  controller.abort();
  await assertRejects(async () => {
    while (!(await reader.read()).done);
  });
  await until(() => endless.cancelled === 1);
});

Deno.test("a body is cancelled when the client disconnects before it is opened [2]", async () => {
  await using served = await serve();
  const endless = makeEndless(served.store);
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: served.port });
  await connection.write(new TextEncoder().encode(`GET ${blob} HTTP/1.1\r\nHost: crpe\r\n\r\n`));
  await until(() => served.store.asked.includes("openBlob"));
  connection.close();
  endless.release();
  await until(() => endless.cancelled === 1);
});
