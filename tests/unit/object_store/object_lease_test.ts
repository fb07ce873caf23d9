import { claimBlob } from "../../../lib/object_store/claim_blob.ts";
import { type ObjectLease, takeLease } from "../../../lib/object_store/object_lease.ts";
import { probeConditions } from "../../../lib/object_store/probe_conditions.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { MemoryS3 } from "../../support/memory_s3.ts";

const TTL = 30_000;

function take(s3: MemoryS3, owner: string): Promise<ObjectLease | undefined> {
  return takeLease({ client: s3.client(), key: "lease", ttl: TTL, owner });
}

Deno.test("[103] takeLease() gives a lease to one process, until it is given up", async () => {
  const s3 = new MemoryS3();
  const first = await take(s3, "a");
  assertEquals([first?.isHeld, await take(s3, "b")], [true, undefined]);
  await first![Symbol.asyncDispose]();
  await using second = await take(s3, "b");
  assertEquals([first!.isHeld, second?.isHeld], [false, true]);
});

Deno.test("[103] a lease that is not renewed passes to another process, and its holder finds out", async () => {
  const s3 = new MemoryS3();
  await using first = await take(s3, "a");
  s3.now += TTL - 1000;
  await first!.renew();
  s3.now += TTL - 1000;
  assertEquals(await take(s3, "b"), undefined);
  // The storage tells the time in seconds, so that the lease may count for one more.
  s3.now += 2000;
  await using second = await take(s3, "b");
  assertEquals(second?.isHeld, true);
  await first!.renew();
  assertEquals(first!.isHeld, false);
  await first![Symbol.asyncDispose]();
  assertEquals([...s3.objects.keys()], ["pre/lease"], "the lease of the other process stays");
});

Deno.test("[103] takeLease() finds its own lease when only the response was lost", async () => {
  const s3 = new MemoryS3();
  let isFirst = true;
  s3.intercept = async (request) => {
    if (!isFirst) return undefined;
    isFirst = false;
    await s3.fetch(request);
    throw new TypeError("connection reset");
  };
  await using lease = await take(s3, "a");
  assertEquals(lease?.isHeld, true);
});

Deno.test("[103] a lease is still held when only the response to its renewal was lost", async () => {
  const s3 = new MemoryS3();
  await using lease = await take(s3, "a");
  s3.now += 1000;
  s3.intercept = async (request) => {
    s3.intercept = () => undefined;
    await s3.fetch(request);
    throw new TypeError("connection reset");
  };
  await lease!.renew();
  assertEquals(lease!.isHeld, true);
  s3.now += TTL / 2;
  await lease!.renew();
  s3.now += TTL - 2000;
  assertEquals([lease!.isHeld, await take(s3, "b")], [true, undefined]);
});

Deno.test("[103] a lease that is given up late is not taken from the next process", async () => {
  const s3 = new MemoryS3();
  const lease = await takeLease({ client: s3.client(), key: "lease", ttl: TTL, owner: "a", isKept: true });
  let next: ObjectLease | undefined;
  s3.intercept = async () => {
    s3.intercept = () => undefined;
    s3.now += TTL + 2000;
    next = await take(s3, "b");
    return undefined;
  };
  await lease![Symbol.asyncDispose]();
  await using _next = next;
  assertEquals([next?.isHeld, await take(s3, "c")], [true, undefined]);
});

Deno.test("[103] no clock of a machine makes two processes hold a lease", async () => {
  for (const ahead of [-3_600_000, 0, 3_600_000]) {
    const s3 = new MemoryS3();
    let own = s3.now + ahead;
    const move = (milliseconds: number) => {
      s3.now += milliseconds;
      own += milliseconds;
    };
    const client = s3.client({ now: () => own });
    await client.size("probe");
    const options = { client, key: "lease", ttl: TTL, owner: "a", monotonic: () => s3.now };
    await using lease = await takeLease(options);
    assertEquals([lease?.isHeld, await take(s3, "b")], [true, undefined]);
    // A response that was made 25 s before it arrives tells an old time.
    s3.intercept = async (request) => {
      s3.intercept = () => undefined;
      const response = await s3.fetch(request);
      move(25_000);
      return response;
    };
    await client.size("slow");
    move(TTL - 23_000);
    assertEquals(lease!.isHeld, false, `${ahead}`);
    await using next = await take(s3, "b");
    assertEquals(next?.isHeld, true);
    // The clock of the holder is set back.
    own -= 3_600_000;
    assertEquals(lease!.isHeld, false);
  }
});

Deno.test("[103] takeLease() mends an object that the storage neither has nor accepts as new", async () => {
  const s3 = new MemoryS3();
  let isBroken = true;
  s3.intercept = ({ method, headers }) => {
    if (method !== "PUT" || !isBroken) return undefined;
    if (headers.get("if-none-match") === "*") return new Response("<Error/>", { status: 412 });
    isBroken = false;
    return undefined;
  };
  const options = { client: s3.client(), key: "lease", ttl: TTL, delay: () => Promise.resolve() };
  await using lease = await takeLease({ ...options, owner: "a" });
  assertEquals([lease?.isHeld, await takeLease({ ...options, owner: "b" })], [true, undefined]);
});

Deno.test("[103] takeLease() replaces a lease that cannot be read", async () => {
  const s3 = new MemoryS3();
  await s3.client().write("lease", new TextEncoder().encode("{"));
  await using lease = await take(s3, "a");
  assertEquals(lease?.isHeld, true);
});

Deno.test("[103] claimBlob() waits while another process downloads, and takes over when that was killed", async () => {
  const s3 = new MemoryS3();
  await using killed = await takeLease({ client: s3.client(), key: "lease", ttl: TTL, owner: "a" });
  let waits = 0;
  const delay = () => {
    waits++;
    s3.now += 10_000;
    return Promise.resolve();
  };
  const claim = { client: s3.client(), key: "lease", owner: "b", isStored: () => Promise.resolve(false), delay };
  await using taken = await claimBlob(claim) as ObjectLease;
  assertEquals([killed?.isHeld, taken.isHeld, waits], [false, true, 3]);
  const stored = await claimBlob({ ...claim, owner: "c", isStored: () => Promise.resolve(waits === 5), delay });
  assertEquals([stored, waits], ["stored", 5]);
});

Deno.test("[103] claimBlob() gives its lease up when it cannot find out whether the blob is stored", async () => {
  const s3 = new MemoryS3();
  const isStored = () => Promise.reject(new Error("503"));
  await assertRejects(() => claimBlob({ client: s3.client(), key: "lease", owner: "a", isStored }), Error, "503");
  assertEquals(s3.objects.size, 0);
});

for (const hasConditions of [true, false]) {
  Deno.test(`[103] probeConditions() finds that conditions are ${hasConditions ? "obeyed" : "ignored"}`, async () => {
    const s3 = new MemoryS3();
    s3.hasConditions = hasConditions;
    assertEquals(await probeConditions(s3.client(), "probe"), hasConditions);
    assertEquals(s3.objects.size, 0);
  });
}

Deno.test("[103] probeConditions() finds that conditions are not implemented", async () => {
  const s3 = new MemoryS3();
  s3.intercept = ({ headers }) => headers.has("if-none-match") ? new Response(null, { status: 501 }) : undefined;
  assertEquals(await probeConditions(s3.client(), "probe"), false);
});

for (const [status, code] of [[403, "SignatureDoesNotMatch"], [403, "AccessDenied"], [404, "NoSuchBucket"]] as const) {
  Deno.test(`[103] probeConditions() fails with what the storage answers to everything: ${status} ${code}`, async () => {
    const s3 = new MemoryS3();
    s3.intercept = () => new Response(`<Error><Code>${code}</Code></Error>`, { status });
    const message = `Cannot write probe: the object storage answered ${status} ${code}`;
    await assertRejects(() => probeConditions(s3.client(), "probe"), Error, message);
  });
}
