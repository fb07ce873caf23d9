import { verifyBytes } from "../../../lib/content/verifier.ts";
import { parseContentRange } from "../../../lib/http/range.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { RegistryError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { type Fault, startFaultUpstream } from "../../support/fault_upstream.ts";
import { createTestSource, PATH, patternBytes, readAll, REPO } from "../../support/upstream_source.ts";

const SIZE = 3 * 1024 * 1024 + 17;
const BLOB = patternBytes(SIZE);
const HALF = Math.floor(SIZE / 2);

const RANGES: [header: string | null, expected: unknown][] = [
  ["bytes 0-9/10", { start: 0, last: 9, size: 10 }],
  ["Bytes 5-9/*", { start: 5, last: 9, size: undefined }],
  ["bytes 9-5/10", undefined],
  ["bytes 0-10/10", undefined],
  ["bytes */10", undefined],
  ["items 0-1/2", undefined],
  [null, undefined],
];
for (const [header, expected] of RANGES) {
  Deno.test(`parseContentRange() parses ${header}`, () => assertEquals(parseContentRange(header) as unknown, expected));
}

Deno.test("UpstreamSource opens a blob with one request", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  const opened = await createTestSource(upstream.url).source.openBlobWith(REPO, digest, {});
  assertEquals([opened?.size, opened?.start, opened?.length], [SIZE, 0, SIZE]);
  verifyBytes(await readAll(opened!.body), digest, SIZE);
  assertEquals(upstream.requests.map(({ method, headers }) => [method, headers.get("range")]), [["GET", null]]);
});

Deno.test("UpstreamSource opens an empty blob", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, new Uint8Array(0));
  const { source } = createTestSource(upstream.url);
  assertEquals(await source.statBlob(REPO, digest), 0);
  const opened = await source.openBlobWith(REPO, digest, {});
  assertEquals([opened?.size, (await readAll(opened!.body)).length], [0, 0]);
});

Deno.test("UpstreamSource returns a byte stream that fills the reader's own buffer", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  const opened = await createTestSource(upstream.url).source.openBlobWith(REPO, digest, {});
  const reader = (opened!.body as ReadableStream<Uint8Array<ArrayBuffer>>).getReader({ mode: "byob" });
  const whole = new Uint8Array(SIZE);
  let buffer = new ArrayBuffer(100_000);
  let at = 0;
  for (;;) {
    const { done, value } = await reader.read(new Uint8Array(buffer, 10, 90_000));
    if (done) break;
    assertEquals(value.byteOffset, 10);
    whole.set(value, at);
    at += value.length;
    buffer = value.buffer;
  }
  assertEquals(at, SIZE);
  verifyBytes(whole, digest);
});

const PARTS: [
  name: string,
  range: { start: number; end?: number } | { suffix: number },
  sent: string | null,
  start: number,
  length: number,
][] = [
  ["from an offset, with a closed range", { start: 1000 }, `bytes=1000-${SIZE - 1}`, 1000, SIZE - 1000],
  ["in the middle", { start: 5, end: 9 }, "bytes=5-9", 5, 5],
  ["that ends past the blob", { start: 5, end: SIZE * 2 }, `bytes=5-${SIZE - 1}`, 5, SIZE - 5],
  ["at the end", { suffix: 7 }, `bytes=${SIZE - 7}-${SIZE - 1}`, SIZE - 7, 7],
  ["that is the whole blob", { start: 0 }, null, 0, SIZE],
];
for (const [name, range, sent, start, length] of PARTS) {
  for (const ignoreRange of [false, true]) {
    Deno.test(`UpstreamSource opens a range ${name}${ignoreRange ? ", from a server without ranges" : ""}`, async () => {
      await using upstream = startFaultUpstream();
      const { digest } = upstream.addBlob(PATH, BLOB);
      if (ignoreRange) upstream.fail({ kind: "blob", ignoreRange });
      const opened = await createTestSource(upstream.url).source.openBlobWith(REPO, digest, { range });
      assertEquals([opened?.size, opened?.start, opened?.length], [SIZE, start, length]);
      assertEquals(await readAll(opened!.body), BLOB.slice(start, start + length));
      assertEquals(upstream.requests.at(-1)?.headers.get("range"), sent);
    });
  }
}

Deno.test("UpstreamSource rejects a range outside the blob", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  const { source } = createTestSource(upstream.url);
  const error = await assertRejects(() => source.openBlobWith(REPO, digest, { range: { start: SIZE } }), RegistryError);
  assertEquals([error.code, error.detail], ["RANGE_INVALID", { size: SIZE }]);
});

const SIZES: [name: string, fault: Fault][] = [
  ["the HEAD has no length", { contentLength: null }],
  ["the HEAD is not allowed", { status: 405 }],
  ["the storage rejects the HEAD", { status: 403 }],
  ["the HEAD counts gzipped bytes", { gzip: true }],
];
for (const [name, fault] of SIZES) {
  Deno.test(`UpstreamSource determines the size of a blob from its first byte when ${name}`, async () => {
    await using upstream = startFaultUpstream();
    const { digest } = upstream.addBlob(PATH, BLOB);
    upstream.fail({ kind: "blob", method: "HEAD", ...fault });
    const { source } = createTestSource(upstream.url);
    assertEquals(await source.statBlob(REPO, digest), SIZE);
    const empty = upstream.addBlob(PATH, new Uint8Array(0));
    assertEquals(await source.statBlob(REPO, empty.digest), 0);
  });
}

Deno.test("[8] UpstreamSource resumes a blob that is cut in the middle with one range request", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  upstream.fail({ kind: "blob", cutAfter: HALF, times: 1 });
  const { source, events, waits } = createTestSource(upstream.url);
  const opened = await source.openBlobWith(REPO, digest, {});
  verifyBytes(await readAll(opened!.body), digest, SIZE);
  assertEquals(upstream.requests.map(({ headers, status }) => [headers.get("range"), status]), [
    [null, 200],
    [`bytes=${HALF}-${SIZE - 1}`, 206],
  ]);
  assertEquals(waits, [750]);
  const resume = events.find((event) => event.type === "resume");
  assertEquals([resume?.offset, resume?.attempt, resume?.host], [HALF, 1, upstream.host]);
});

Deno.test("[8] UpstreamSource resumes a range any number of times while there is progress", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  upstream.fail({ kind: "blob", method: "GET", cutAfter: 200_000, times: 12 });
  const opened = await createTestSource(upstream.url).source.openBlobWith(REPO, digest, {
    range: { start: 100, end: SIZE - 100 },
  });
  assertEquals(await readAll(opened!.body), BLOB.slice(100, SIZE - 99));
  assertEquals(upstream.count("blob", "GET"), 13);
});

Deno.test("[9] UpstreamSource discards the bytes it already has when the resume is answered with 200", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  upstream.fail({ kind: "blob", cutAfter: HALF, times: 1 });
  upstream.fail({ kind: "blob", ignoreRange: true });
  const opened = await createTestSource(upstream.url).source.openBlobWith(REPO, digest, {});
  verifyBytes(await readAll(opened!.body), digest, SIZE);
  assertEquals(upstream.requests.map(({ status }) => status), [200, 200]);
});

Deno.test("[9] UpstreamSource gives up when the server always cuts at the same byte", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  upstream.fail({ kind: "blob", cutAfter: HALF, ignoreRange: true });
  const opened = await createTestSource(upstream.url).source.openBlobWith(REPO, digest, {});
  const error = await assertRejects(() => readAll(opened!.body), RegistryError, "cut");
  assertEquals([error.code, upstream.count("blob")], ["UNAVAILABLE", 5]);
  assertStringIncludes(error.message, `Cannot read blob ${digest} of ${REPO} from ${upstream.host}`);
});

Deno.test("UpstreamSource says that a partial response to a whole blob, or to a range, has no Content-Range", async () => {
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, ({ method }) => {
    return new Response(method === "HEAD" ? null : "abc", {
      status: method === "HEAD" ? 200 : 206,
      headers: { "content-length": "3" },
    });
  });
  for (const range of [undefined, { start: 1 }]) {
    const { source } = createTestSource(`http://127.0.0.1:${server.addr.port}`);
    const opening = source.openBlobWith(REPO, computeDigest("abc"), { range });
    const { code, message } = await assertRejects(() => opening, RegistryError);
    const reason = "the partial response (206) has no Content-Range, so that its place in the blob is not known";
    assertEquals(
      [code, message.endsWith(`from 127.0.0.1:${server.addr.port}: ${reason}`)],
      ["BAD_GATEWAY", true],
      message,
    );
  }
});

const BAD_RESUMES: [name: string, fault: Fault, reason: string][] = [
  [
    "another range",
    { headers: { "Content-Range": `bytes 0-${SIZE - 1}/${SIZE}` } },
    `but the response has the bytes 0 to ${SIZE - 1}`,
  ],
  [
    "an empty Content-Range",
    { headers: { "Content-Range": "" } },
    "the partial response (206) has no Content-Range, so",
  ],
  [
    "a wrong Content-Range",
    { headers: { "Content-Range": "bytes */5" } },
    'the partial response (206) has a Content-Range that is not valid ("bytes */5")',
  ],
  ["another size", { headers: { "Content-Range": `bytes ${HALF}-${SIZE - 1}/${SIZE + 1}` } }, "bytes, expected"],
  ["404", { status: 404 }, "no longer has it"],
  ["a whole blob of another length", { status: 200, body: "short" }, "5 bytes"],
  ["416", { status: 416 }, "answers 416"],
];
for (const [name, fault, reason] of BAD_RESUMES) {
  Deno.test(`UpstreamSource does not resume with ${name}`, async () => {
    await using upstream = startFaultUpstream();
    const { digest } = upstream.addBlob(PATH, BLOB);
    upstream.fail({ kind: "blob", cutAfter: HALF, times: 1 });
    upstream.fail({ kind: "blob", ...fault });
    const opened = await createTestSource(upstream.url).source.openBlobWith(REPO, digest, {});
    const error = await assertRejects(() => readAll(opened!.body), RegistryError, reason);
    assertEquals([error.code, upstream.count("blob")], ["BAD_GATEWAY", 2]);
  });
}

Deno.test("UpstreamSource resumes after a server was down for a while", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  upstream.fail({ kind: "blob", cutAfter: HALF, times: 1 });
  upstream.fail({ kind: "blob", status: 503, times: 7 });
  const opened = await createTestSource(upstream.url).source.openBlobWith(REPO, digest, {});
  verifyBytes(await readAll(opened!.body), digest, SIZE);
});

Deno.test("[11] UpstreamSource yields no more bytes than a Content-Length that is too small, and rejects it if the size is known", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  upstream.fail({ kind: "blob", contentLength: 1000 });
  const { source } = createTestSource(upstream.url);
  const opened = await source.openBlobWith(REPO, digest, {});
  const bytes = await readAll(opened!.body);
  assertEquals([opened?.size, bytes.length], [1000, 1000]);
  const error = await assertRejects(() => source.openBlobWith(REPO, digest, { size: SIZE }), RegistryError);
  assertEquals(error.code, "BAD_GATEWAY");
  assertStringIncludes(error.message, `the response has 1000 bytes, expected ${SIZE}`);
});

Deno.test("[11] UpstreamSource errors when more bytes than promised are received", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  upstream.fail({
    kind: "blob",
    method: "GET",
    contentLength: null,
    body: new Uint8Array([...BLOB.subarray(0, 999), 1]),
  });
  const opened = await createTestSource(upstream.url).source.openBlobWith(REPO, digest, { size: 999 });
  const error = await assertRejects(() => readAll(opened!.body), RegistryError, "more than the 999 bytes promised");
  assertEquals(error.code, "BAD_GATEWAY");
});

Deno.test("[12] UpstreamSource takes the size from a HEAD when the body has no length, and resumes after an early close", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  upstream.fail({ kind: "blob", method: "GET", contentLength: null, cutAfter: HALF, times: 1 });
  const opened = await createTestSource(upstream.url).source.openBlobWith(REPO, digest, {});
  assertEquals(opened?.size, SIZE);
  verifyBytes(await readAll(opened!.body), digest, SIZE);
});

Deno.test("[12] UpstreamSource detects an early close by the size", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  upstream.fail({ kind: "blob", method: "GET", contentLength: null, cutAfter: HALF, ignoreRange: true });
  const opened = await createTestSource(upstream.url).source.openBlobWith(REPO, digest, {});
  await assertRejects(() => readAll(opened!.body), RegistryError, "cut");
});

Deno.test("[12] UpstreamSource yields a blob whose size only the caller knows, and one whose size nothing states", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  upstream.fail({ kind: "blob", contentLength: null, ignoreRange: true });
  const { source } = createTestSource(upstream.url);
  for (const size of [SIZE, undefined]) {
    const opened = await source.openBlobWith(REPO, digest, { size });
    assertEquals([opened?.size, opened?.length], [size, size]);
    verifyBytes(await readAll(opened!.body), digest, SIZE);
  }
});

for (
  const [name, fault] of [["", {}], [" and cut in the middle", { cutAfter: 2000, times: 1 }]] satisfies [
    string,
    Fault,
  ][]
) {
  Deno.test(`UpstreamSource decodes a blob that is gzipped although not requested${name}`, async () => {
    await using upstream = startFaultUpstream();
    const config = new TextEncoder().encode(JSON.stringify({ history: [...BLOB.subarray(0, 9000)] }));
    const { digest } = upstream.addBlob(PATH, config);
    upstream.fail({ kind: "blob", method: "GET", gzip: true, ...fault });
    if (fault.times !== undefined) upstream.fail({ kind: "blob", method: "GET", gzip: true });
    const opened = await createTestSource(upstream.url).source.openBlobWith(REPO, digest, {});
    assertEquals(opened?.size, config.length);
    verifyBytes(await readAll(opened!.body), digest, config.length);
    assert(upstream.requests.every(({ headers }) => headers.get("range") === null));
  });
}

Deno.test("UpstreamSource yields wrong bytes, because the reader verifies the digest", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  upstream.fail({ kind: "blob", wrongBytes: true });
  const opened = await createTestSource(upstream.url).source.openBlobWith(REPO, digest, {});
  const bytes = await readAll(opened!.body);
  assertEquals([bytes.length, bytes[0] === BLOB[0]], [SIZE, false]);
});

Deno.test("[17] UpstreamSource resumes a blob that stalls", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  upstream.fail({ kind: "blob", stallAfter: HALF, times: 1 });
  const { source, events } = createTestSource(upstream.url, { timeouts: { stall: 100 } });
  const opened = await source.openBlobWith(REPO, digest, {});
  verifyBytes(await readAll(opened!.body), digest, SIZE);
  assertEquals(events.filter(({ type }) => type === "resume").length, 1);
});

Deno.test("[17] UpstreamSource gives up a blob that is sent a few bytes at a time", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  upstream.fail({ kind: "blob", drip: 5 });
  const { source } = createTestSource(upstream.url, { timeouts: { stall: 60 } });
  const opened = await source.openBlobWith(REPO, digest, {});
  const error = await assertRejects(() => readAll(opened!.body), RegistryError, "fewer than 1024 bytes were received");
  assertEquals([error.code, upstream.count("blob")], ["UNAVAILABLE", 5]);
});

Deno.test("UpstreamSource does not count the pauses of a slow reader as a stall", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  const { source, events } = createTestSource(upstream.url, { timeouts: { stall: 250 } });
  const opened = await source.openBlobWith(REPO, digest, {});
  const reader = opened!.body.getReader();
  let seen = 0;
  for (let reads = 0;; reads++) {
    if (reads < 2) await new Promise((resolve) => setTimeout(resolve, 350));
    const { done, value } = await reader.read();
    if (done) break;
    seen += value.length;
  }
  assertEquals([seen, events.some(({ type }) => type === "resume")], [SIZE, false]);
});

Deno.test("UpstreamSource ends the transfer when its reader cancels and when its signal aborts", async () => {
  await using upstream = startFaultUpstream();
  const { digest } = upstream.addBlob(PATH, BLOB);
  upstream.fail({ kind: "blob", stallAfter: HALF });
  const { source } = createTestSource(upstream.url);
  const first = await source.openBlobWith(REPO, digest, {});
  const reader = first!.body.getReader();
  await reader.read();
  await reader.cancel();
  const abort = new AbortController();
  const second = await source.openBlobWith(REPO, digest, { signal: abort.signal });
  const reading = readAll(second!.body);
  setTimeout(() => abort.abort(new Error("enough")), 20);
  await assertRejects(() => reading, Error, "enough");
  assertEquals(upstream.count("blob"), 2);
});
