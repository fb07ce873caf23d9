import type { Fetch } from "../../../../lib/upstream/transport/middleware.ts";
import {
  backoffDelay,
  DEFAULT_RETRY_POLICY,
  parseRetryAfter,
  sleepByTimer,
  withRetry,
} from "../../../../lib/upstream/transport/retry.ts";
import { TransportError, type TransportFailure } from "../../../../lib/upstream/transport/transport_error.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";

const POLICY = DEFAULT_RETRY_POLICY;

Deno.test("backoffDelay() doubles, is half chance, and ends growing", () => {
  const delays = [1, 2, 3, 4, 9].map((n) => [backoffDelay(n, () => 0, POLICY), backoffDelay(n, () => 1, POLICY)]);
  assertEquals(delays, [[500, 1000], [1000, 2000], [2000, 4000], [4000, 8000], [15_000, 30_000]]);
});

const NOW = Date.parse("2026-01-01T00:00:00Z");
const RETRY_AFTER: [name: string, headers: Record<string, string>, expected: number | undefined][] = [
  ["none", {}, undefined],
  ["seconds", { "retry-after": "7" }, 7000],
  ["zero", { "retry-after": " 0 " }, 0],
  ["a date against the clock", { "retry-after": "Thu, 01 Jan 2026 00:00:09 GMT" }, 9000],
  ["a date in the past", { "retry-after": "Thu, 01 Jan 2020 00:00:00 GMT" }, 0],
  ["a date against the server's own, where the clock is wrong", {
    "retry-after": "Sat, 01 Jan 2028 00:00:05 GMT",
    "date": "Sat, 01 Jan 2028 00:00:00 GMT",
  }, 5000],
  ["nonsense", { "retry-after": "soon" }, undefined],
];
for (const [name, headers, expected] of RETRY_AFTER) {
  Deno.test(`parseRetryAfter() reads ${name}`, () => {
    const found = parseRetryAfter(new Headers(headers), () => NOW);
    assertEquals(found, expected);
  });
}

type Step = number | TransportFailure | { status: number; retryAfter: string };

/** Sends one request to a server that goes through `steps`, its last one for ever. */
async function run(steps: Step[], options: { took?: number; signal?: AbortSignal; maxWait?: number } = {}) {
  const waits: number[] = [];
  let sent = 0;
  let time = 0;
  const next: Fetch = () => {
    const step = steps[Math.min(sent++, steps.length - 1)]!;
    time += options.took ?? 0;
    if (typeof step === "string") return Promise.reject(new TransportError(step, step));
    const [status, headers] = typeof step === "number" ? [step, {}] : [step.status, { "retry-after": step.retryAfter }];
    return Promise.resolve(new Response(`${status}`, { status, headers }));
  };
  const fetch = withRetry({
    policy: { ...POLICY, maxWait: options.maxWait ?? POLICY.maxWait },
    sleep: (delay, signal) => {
      waits.push(delay);
      time += delay;
      return Promise.resolve(signal?.throwIfAborted());
    },
    random: () => 1,
    now: () => time,
    wallClock: () => NOW,
  })(next);
  const outcome = await fetch(new Request("http://registry.example.com/v2/", { signal: options.signal })).then(
    async (response) => {
      await response.body?.cancel();
      return response.status;
    },
    (error: Error) => error.message,
  );
  return { outcome, waits, sent };
}

const RUNS: [name: string, steps: Step[], expected: Awaited<ReturnType<typeof run>>, took?: number][] = [
  ["a success is not repeated", [200], { outcome: 200, waits: [], sent: 1 }],
  ["[16] 503 then 200", [503, 200], { outcome: 200, waits: [1000], sent: 2 }],
  ["408 and 429 are repeated", [408, 429, 200], { outcome: 200, waits: [1000, 2000], sent: 3 }],
  ["404 is not repeated", [404], { outcome: 404, waits: [], sent: 1 }],
  ["501 is not repeated", [501], { outcome: 501, waits: [], sent: 1 }],
  ["503 for ever is given back in the end", [503], { outcome: 503, waits: [1000, 2000, 4000, 8000], sent: 5 }],
  ["[15] Retry-After is waited for", [{ status: 429, retryAfter: "7" }, 200], { outcome: 200, waits: [7000], sent: 2 }],
  ["a Retry-After past the bound is not waited for", [{ status: 429, retryAfter: "3600" }], {
    outcome: 429,
    waits: [],
    sent: 1,
  }],
  ["[21] a refused connection is tried again quickly, and little", ["refused"], {
    outcome: "refused",
    waits: [150, 300],
    sent: 3,
  }],
  ["[21] a DNS failure is tried again quickly, and little", ["dns"], { outcome: "dns", waits: [150, 300], sent: 3 }],
  ["[21] what took long to fail is not tried again", ["dns"], { outcome: "dns", waits: [], sent: 1 }, 5000],
  ["[20] a certificate is not asked for again", ["certificate"], { outcome: "certificate", waits: [], sent: 1 }],
  ["a time-out is not tried again", ["timeout"], { outcome: "timeout", waits: [], sent: 1 }],
  ["a reset connection recovers", ["cut", 200], { outcome: 200, waits: [150], sent: 2 }],
];
for (const [name, steps, expected, took] of RUNS) {
  Deno.test(`withRetry(): ${name}`, async () =>
    assertEquals(await run(steps, took === undefined ? {} : { took }), expected));
}

const BOUNDED: [name: string, steps: Step[], expected: Awaited<ReturnType<typeof run>>, took?: number][] = [
  ["[16] 503 for ever is given back before the bound", [503], { outcome: 503, waits: [1000, 2000], sent: 3 }],
  ["the time that the answers take counts", [503], { outcome: 503, waits: [1000], sent: 2 }, 1500],
  ["[15] a Retry-After within the bound is waited for", [{ status: 429, retryAfter: "4" }, 200], {
    outcome: 200,
    waits: [4000],
    sent: 2,
  }],
  ["[15] a Retry-After past the bound is not waited for", [{ status: 429, retryAfter: "6" }], {
    outcome: 429,
    waits: [],
    sent: 1,
  }],
  ["[15] several Retry-After share the bound", [{ status: 429, retryAfter: "3" }], {
    outcome: 429,
    waits: [3000],
    sent: 2,
  }],
];
for (const [name, steps, expected, took] of BOUNDED) {
  Deno.test(`withRetry() with a bound of 5 s: ${name}`, async () =>
    assertEquals(await run(steps, { maxWait: 5000, ...(took === undefined ? {} : { took }) }), expected));
}

Deno.test("withRetry() sends a body again", async () => {
  const bodies: string[] = [];
  const fetch = withRetry({
    policy: POLICY,
    sleep: () => Promise.resolve(),
    random: () => 0,
    now: () => 0,
    wallClock: () => 0,
  })(async (request) => {
    bodies.push(await request.text());
    return new Response(null, { status: bodies.length < 2 ? 503 : 200 });
  });
  await fetch(new Request("http://registry.example.com/token", { method: "POST", body: "a=b" }));
  assertEquals(bodies, ["a=b", "a=b"]);
});

Deno.test("withRetry() ends its wait when the request is aborted", async () => {
  const { outcome, sent } = await run([503], { signal: AbortSignal.abort(new Error("gone")) });
  assertEquals([outcome, sent], ["gone", 1]);
});

Deno.test("sleepByTimer() ends when its signal aborts", async () => {
  const abort = new AbortController();
  const sleeping = sleepByTimer(60_000, abort.signal);
  abort.abort(new Error("enough"));
  await assertRejects(() => sleeping, Error, "enough");
  await assertRejects(() => sleepByTimer(60_000, abort.signal), Error, "enough");
  await sleepByTimer(1);
});
