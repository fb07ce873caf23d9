import { RegistryError } from "../../../../lib/oci/error.ts";
import { RequestLimiter, type SlotUse } from "../../../../lib/upstream/transport/request_limiter.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";

/** Requests slots in order, and records which are given. */
function request(limiter: RequestLimiter, uses: readonly SlotUse[]) {
  const started: string[] = [];
  const slots = new Map<string, Disposable>();
  const all = uses.map(async (use, i) => {
    const name = `${use}${i}`;
    slots.set(name, await limiter.acquire(use));
    started.push(name);
  });
  const settle = () => new Promise((resolve) => setTimeout(resolve, 0));
  const end = async (name: string) => {
    slots.get(name)![Symbol.dispose]();
    await settle();
  };
  return { started, all, settle, end };
}

Deno.test("[75] RequestLimiter starts at most as many requests as it has slots, small ones before blobs", async () => {
  const limiter = new RequestLimiter("a.example", 4, Infinity);
  const { started, settle, end, all } = request(limiter, ["blob", "blob", "blob", "blob", "small", "blob", "small"]);
  await settle();
  // One slot of four is reserved for small requests.
  assertEquals(started, ["blob0", "blob1", "blob2", "small4"]);
  await end("blob0");
  assertEquals(started.slice(4), ["small6"]);
  await end("small4");
  assertEquals(started.slice(5), ["blob3"]);
  await end("small6");
  assertEquals(started.slice(6), []);
  await end("blob1");
  assertEquals(started.slice(6), ["blob5"]);
  await Promise.all(all);
});

Deno.test("[75] RequestLimiter has a slot for a single connection", async () => {
  const limiter = new RequestLimiter("a.example", 1, Infinity);
  (await limiter.acquire("blob"))[Symbol.dispose]();
  using _slot = await limiter.acquire("small");
});

Deno.test("[75] RequestLimiter refuses a request when too many wait, and tells when to come again", async () => {
  const limiter = new RequestLimiter("a.example", 1, Infinity);
  const slot = await limiter.acquire("small");
  const waiting = Array.from({ length: 16 }, () => limiter.acquire("small"));
  const error = await assertRejects(
    () => limiter.acquire("small"),
    RegistryError,
    "Cannot send a request to a.example",
  );
  assertEquals([error.code, error.retryAfter], ["UNAVAILABLE", 5]);
  slot[Symbol.dispose]();
  for (const next of waiting) (await next)[Symbol.dispose]();
});

Deno.test("[75] RequestLimiter gives up a wait that is too long or aborted, and does not lose its slot", async () => {
  const limiter = new RequestLimiter("a.example", 1, 5);
  const slot = await limiter.acquire("blob");
  const aborted = new AbortController();
  const refused = Promise.all([
    assertRejects(() => limiter.acquire("blob"), RegistryError, "within 0.005 s"),
    assertRejects(() => limiter.acquire("small", aborted.signal), Error, "the client has gone"),
  ]);
  aborted.abort(new Error("the client has gone"));
  await refused;
  slot[Symbol.dispose]();
  // Disposing of it again frees nothing else.
  slot[Symbol.dispose]();
  using _next = await limiter.acquire("blob");
  await assertRejects(() => limiter.acquire("blob"), RegistryError);
});
