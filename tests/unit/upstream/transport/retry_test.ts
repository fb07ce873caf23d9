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

Deno.test("backoffDelay() doubles up to maxDelay, and half of it is random", () => {
  const delays = [1, 2, 3, 4, 9].map((n) => [backoffDelay(n, () => 0, POLICY), backoffDelay(n, () => 1, POLICY)]);
  assertEquals(delays, [[500, 1000], [1000, 2000], [2000, 4000], [4000, 8000], [15_000, 30_000]]);
});

const NOW = Date.parse("2026-01-01T00:00:00Z");
const RETRY_AFTER: [name: string, headers: Record<string, string>, expected: number | undefined][] = [
  ["a missing header", {}, undefined],
  ["seconds", { "retry-after": "7" }, 7000],
  ["zero", { "retry-after": " 0 " }, 0],
  ["a date relative to the clock", { "retry-after": "Thu, 01 Jan 2026 00:00:09 GMT" }, 9000],
  ["a date in the past", { "retry-after": "Thu, 01 Jan 2020 00:00:00 GMT" }, 0],
  ["a date relative to the Date of the response, when the clock is wrong", {
    "retry-after": "Sat, 01 Jan 2028 00:00:05 GMT",
    "date": "Sat, 01 Jan 2028 00:00:00 GMT",
  }, 5000],
  ["an invalid value", { "retry-after": "soon" }, undefined],
];
for (const [name, headers, expected] of RETRY_AFTER) {
  Deno.test(`parseRetryAfter() parses ${name}`, () => {
    const found = parseRetryAfter(new Headers(headers), () => NOW);
    assertEquals(found, expected);
  });
}

type Step = number | TransportFailure | { status: number; retryAfter: string };

/** Sends one request to a server that answers with `steps` in order and repeats the last one. */
async function run(
  steps: Step[],
  options: { took?: number; signal?: AbortSignal; maxWait?: number; isOnlyLimited?: boolean } = {},
) {
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
    isOnlyLimited: options.isOnlyLimited,
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

type Outcome = Awaited<ReturnType<typeof run>>;

const STATUSES: [name: string, steps: Step[], expected: Outcome][] = [
  ["does not retry a success", [200], { outcome: 200, waits: [], sent: 1 }],
  ["[16] retries a 503", [503, 200], { outcome: 200, waits: [1000], sent: 2 }],
  ["retries 408 and 429", [408, 429, 200], { outcome: 200, waits: [1000, 2000], sent: 3 }],
  ["does not retry a 404", [404], { outcome: 404, waits: [], sent: 1 }],
  ["does not retry a 501", [501], { outcome: 501, waits: [], sent: 1 }],
  ["returns a permanent 503 after five tries", [503], { outcome: 503, waits: [1000, 2000, 4000, 8000], sent: 5 }],
];
for (const [name, steps, expected] of STATUSES) {
  Deno.test(`withRetry() ${name}`, async () => assertEquals(await run(steps), expected));
}

// Another request follows at once where these are not retried.
const LIMITED: [status: number, sent: number][] = [[429, 2], [503, 2], [500, 1], [502, 1], [504, 1]];
for (const [status, sent] of LIMITED) {
  Deno.test(`[16] withRetry() of limits alone sends ${sent} requests when the first is answered with ${status}`, async () => {
    assertEquals((await run([status, 200], { isOnlyLimited: true })).sent, sent);
  });
}

Deno.test("[15] withRetry() waits for the Retry-After of a response", async () => {
  assertEquals(await run([{ status: 429, retryAfter: "7" }, 200]), { outcome: 200, waits: [7000], sent: 2 });
});

Deno.test("withRetry() returns the response when its Retry-After exceeds maxRetryAfter", async () => {
  assertEquals(await run([{ status: 429, retryAfter: "3600" }]), { outcome: 429, waits: [], sent: 1 });
});

const FAILURES: [name: string, steps: Step[], expected: Outcome, took?: number][] = [
  ["[21] retries a refused connection quickly and rarely", ["refused"], {
    outcome: "refused",
    waits: [150, 300],
    sent: 3,
  }],
  ["[21] retries a DNS failure quickly and rarely", ["dns"], { outcome: "dns", waits: [150, 300], sent: 3 }],
  ["[21] does not retry a failure that took long", ["dns"], { outcome: "dns", waits: [], sent: 1 }, 5000],
  ["[20] does not retry a certificate error", ["certificate"], { outcome: "certificate", waits: [], sent: 1 }],
  ["does not retry a time-out", ["timeout"], { outcome: "timeout", waits: [], sent: 1 }],
  ["retries a reset connection", ["cut", 200], { outcome: 200, waits: [150], sent: 2 }],
];
for (const [name, steps, expected, took = 0] of FAILURES) {
  Deno.test(`withRetry() ${name}`, async () => assertEquals(await run(steps, { took }), expected));
}

const BOUNDED: [name: string, steps: Step[], expected: Outcome, took?: number][] = [
  ["[16] returns a permanent 503 before the limit", [503], { outcome: 503, waits: [1000, 2000], sent: 3 }],
  ["counts the time that responses take", [503], { outcome: 503, waits: [1000], sent: 2 }, 1500],
  ["[15] waits for a Retry-After within the limit", [{ status: 429, retryAfter: "4" }, 200], {
    outcome: 200,
    waits: [4000],
    sent: 2,
  }],
  ["[15] does not wait for a Retry-After past the limit", [{ status: 429, retryAfter: "6" }], {
    outcome: 429,
    waits: [],
    sent: 1,
  }],
  ["[15] applies the limit to the sum of several Retry-After", [{ status: 429, retryAfter: "3" }], {
    outcome: 429,
    waits: [3000],
    sent: 2,
  }],
];
for (const [name, steps, expected, took = 0] of BOUNDED) {
  Deno.test(`withRetry() with a maxWait of 5 s: ${name}`, async () =>
    assertEquals(await run(steps, { took, maxWait: 5000 }), expected));
}

Deno.test("withRetry() sends the request body again", async () => {
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

Deno.test("withRetry() stops waiting when the request is aborted", async () => {
  const { outcome, sent } = await run([503], { signal: AbortSignal.abort(new Error("gone")) });
  assertEquals([outcome, sent], ["gone", 1]);
});

Deno.test("sleepByTimer() rejects when its signal aborts", async () => {
  const abort = new AbortController();
  const sleeping = sleepByTimer(60_000, abort.signal);
  abort.abort(new Error("enough"));
  await assertRejects(() => sleeping, Error, "enough");
  await assertRejects(() => sleepByTimer(60_000, abort.signal), Error, "enough");
  await sleepByTimer(1);
});
