import { S3Error } from "../../../lib/object_store/s3_error.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { MemoryS3 } from "../../support/memory_s3.ts";

const bytes = new TextEncoder().encode("content");
const KEY = "docker/registry/v2/key";

function error(status: number, code: string, headers: Record<string, string> = {}): Response {
  return new Response(`<?xml version="1.0"?><Error><Code>${code}</Code></Error>`, { status, headers });
}

const PASSING: [what: string, fault: () => Response, pause: number][] = [
  ["503 SlowDown", () => error(503, "SlowDown"), 100],
  ["503 with Retry-After", () => error(503, "SlowDown", { "retry-after": "7" }), 7000],
  ["503 with a Retry-After of hours", () => error(503, "SlowDown", { "retry-after": "7200" }), 20_000],
  ["500 without a document", () => new Response(null, { status: 500 }), 100],
  ["a connection that fails", () => {
    throw new TypeError("connection refused");
  }, 100],
];
for (const [what, fault, pause] of PASSING) {
  Deno.test(`[103] S3Transport retries after ${what}`, async () => {
    const s3 = new MemoryS3();
    const pauses: number[] = [];
    let faults = 2;
    s3.intercept = () => faults-- > 0 ? fault() : undefined;
    const client = s3.client({ random: () => 1, delay: (time) => Promise.resolve(void pauses.push(time)) });
    await client.write(KEY, bytes);
    assertEquals((await client.read(KEY))?.bytes, bytes);
    assertEquals(pauses, [pause, Math.max(pause, 200)]);
  });
}

const LASTING: [what: string, fault: () => Response, requests: number, message: string][] = [
  ["403", () => error(403, "AccessDenied"), 1, `Cannot read ${KEY}: the object storage answered 403 AccessDenied`],
  ["503 each time", () => error(503, "SlowDown"), 6, `Cannot read ${KEY}: the object storage answered 503 SlowDown`],
  ["a redirect", () => new Response(null, { status: 301, headers: { location: "http://127.0.0.1:1/" } }), 1, "301"],
  ["a small object that is huge", () => new Response(new Uint8Array(9 * 1024 * 1024)), 1, "more than 8388608 bytes"],
];
for (const [what, fault, requests, message] of LASTING) {
  Deno.test(`[103] S3Transport gives up after ${what}`, async () => {
    const s3 = new MemoryS3();
    s3.intercept = fault;
    const thrown = await assertRejects(() => s3.client().read(KEY), S3Error, message);
    assertEquals([thrown.code, s3.requests.length], ["UNAVAILABLE", requests]);
  });
}

Deno.test("[103] S3Transport signs by the clock of the storage, where this one is wrong", async () => {
  const s3 = new MemoryS3();
  const dates: (string | null)[] = [];
  s3.intercept = (request) => {
    dates.push(request.headers.get("x-amz-date"));
    return dates.length === 1 ? error(403, "RequestTimeTooSkewed") : undefined;
  };
  const client = s3.client({ now: () => s3.now - 3_600_000 });
  await client.write(KEY, bytes);
  assertEquals(dates, ["20251231T230000Z", "20260101T000000Z"]);
  assertEquals(client.serverTime, s3.now);
});

Deno.test("[103] S3Client.completeUpload() fails for an error after the status 200", async () => {
  const s3 = new MemoryS3();
  const client = s3.client();
  const id = await client.startUpload(KEY);
  const etag = await client.uploadPart(KEY, id, { number: 1, body: bytes });
  s3.intercept = () => new Response("<Error><Code>InternalError</Code></Error>");
  const thrown = await assertRejects(() => client.completeUpload(KEY, id, [etag]), S3Error);
  assertEquals(thrown.errorCode, "InternalError");
});

const CONDITIONAL: readonly (readonly [what: string, happens: (s3: MemoryS3) => void, isGone: boolean])[] = [
  ["was removed, when the response is lost", (s3) => s3.objects.delete(`pre/${KEY}`), true],
  [
    "has changed",
    (s3) => s3.objects.set(`pre/${KEY}`, { bytes: bytes.slice(1), etag: '"other"', modified: s3.now }),
    false,
  ],
];
for (const [what, happens, isGone] of CONDITIONAL) {
  Deno.test(`[103] S3Client.removeIf() tells whether an object is gone that ${what}`, async () => {
    const s3 = new MemoryS3();
    const client = s3.client();
    const etag = await client.write(KEY, bytes);
    let attempts = 0;
    s3.intercept = ({ method }) => {
      if (method !== "DELETE") return undefined;
      if (++attempts > 1) return error(412, "PreconditionFailed");
      happens(s3);
      throw new TypeError("connection reset");
    };
    assertEquals([await client.removeIf(KEY, etag!), attempts], [isGone, 2]);
    assertEquals(await client.size(KEY), isGone ? undefined : bytes.length - 1);
  });
}
