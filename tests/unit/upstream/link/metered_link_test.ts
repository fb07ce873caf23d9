import type { LinkLimits } from "../../../../lib/upstream/link/link_limits.ts";
import { type LinkLedger, MeteredLink } from "../../../../lib/upstream/link/metered_link.ts";
import { LinkClosedError } from "../../../../lib/upstream/transport/transport_error.ts";
import { assert, assertEquals, assertRejects } from "../../../support/assert.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const MIDNIGHT = new Date(2026, 10, 28).getTime();
const HOUR = 3_600_000;

/** A clock that moves only when all that runs is asleep. */
class Clock {
  time = 0;
  readonly #sleepers: { at: number; wake: () => void }[] = [];
  readonly sleep = (milliseconds: number) =>
    new Promise<void>((wake) => void this.#sleepers.push({ at: this.time + milliseconds, wake }));

  async run<T>(work: Promise<T>): Promise<T> {
    let isDone = false;
    work.finally(() => isDone = true).catch(() => {});
    while (!isDone) {
      // Streams of this process need no more than turns of the microtask queue.
      for (let turn = 0; turn < 100; turn++) await undefined;
      this.#sleepers.sort((one, other) => one.at - other.at);
      const next = this.#sleepers.shift();
      if (next === undefined) continue;
      this.time = Math.max(this.time, next.at);
      next.wake();
    }
    return await work;
  }
}

class MemoryLedger implements LinkLedger {
  readonly claimed = new Map<string, number>();
  failure: Error | undefined;
  // deno-lint-ignore require-await
  async claim(...[{ host, bytes: limit }, { name }, bytes]: Parameters<LinkLedger["claim"]>): Promise<number> {
    if (this.failure !== undefined) throw this.failure;
    const before = this.claimed.get(`${host} ${name}`) ?? 0;
    const granted = Math.min(bytes, limit - before);
    this.claimed.set(`${host} ${name}`, before + granted);
    return granted;
  }
  // deno-lint-ignore require-await
  async release(...[{ host }, { name }, bytes]: Parameters<LinkLedger["release"]>): Promise<void> {
    this.claimed.set(`${host} ${name}`, this.claimed.get(`${host} ${name}`)! - bytes);
  }
  read(...[{ host }, { name }]: Parameters<LinkLedger["read"]>): Promise<number> {
    return Promise.resolve(this.claimed.get(`${host} ${name}`) ?? 0);
  }
}

function open(limits: Partial<LinkLimits>, { chunk = 16 * KIB } = {}) {
  const clock = new Clock();
  const ledger = new MemoryLedger();
  const link = new MeteredLink({
    limits: { budgets: [], windows: [], ...limits },
    ledger,
    now: () => clock.time,
    wallClock: () => MIDNIGHT + clock.time,
    sleep: clock.sleep,
  });
  let sent = 0;
  const server = (size: number) => () => {
    let left = size;
    const body = new ReadableStream<Uint8Array>({
      type: "bytes",
      pull(controller) {
        const bytes = Math.min(chunk, left);
        left -= bytes;
        sent += bytes;
        if (bytes === 0) controller.close();
        else controller.enqueue(new Uint8Array(bytes));
        if (bytes === 0) (controller as ReadableByteStreamController).byobRequest?.respond(0);
      },
    }, { highWaterMark: 0 });
    return Promise.resolve(new Response(body));
  };
  /** Receives a body. @returns the bytes that were received, and the error that ended it */
  const receive = async (size: number, host = "registry.test", onBytes = (_: number) => {}) => {
    let bytes = 0;
    try {
      const response = await link.metered(host, server(size))(new Request("https://registry.test/"));
      for await (const piece of response.body!) onBytes(bytes += piece.length);
      return { bytes };
    } catch (error) {
      return { bytes, error: error as Error };
    }
  };
  return { link, clock, ledger, receive, sent: () => sent };
}

Deno.test("[101] concurrent transfers share the rate, and all get the same part of it", async () => {
  const { clock, receive } = open({ rate: 64 * KIB });
  const got = [0, 0, 0];
  let spread = 0;
  const all = got.map((_, index) =>
    receive(MIB, "registry.test", (bytes) => {
      got[index] = bytes;
      if (Math.max(...got) < MIB) spread = Math.max(spread, Math.max(...got) - Math.min(...got));
    })
  );
  assertEquals((await clock.run(Promise.all(all))).map(({ bytes }) => bytes), [MIB, MIB, MIB]);
  // The first read is not waited for.
  assert(Math.abs(clock.time - 48_000) <= 200, `${clock.time} ms`);
  assert(spread <= 8 * KIB, `${spread} bytes between the fastest and the slowest`);
});

Deno.test("[101] a budget is kept within one chunk over a day, and is full again on the next", async () => {
  const budget = { bytes: 10 * MIB, period: "day" } as const;
  const { clock, receive, link, ledger, sent } = open({ rate: 64 * KIB, budgets: [budget] });
  const errors: unknown[] = [];
  // A client asks for 3 MiB every hour of two days.
  const byDay = [0, 0];
  for (let hour = 0; hour < 48; hour++) {
    clock.time = Math.max(clock.time, hour * HOUR);
    const { bytes, error } = await clock.run(receive(3 * MIB));
    byDay[Math.floor(hour / 24)]! += bytes;
    if (error !== undefined) errors.push(error);
  }
  assertEquals(byDay, [10 * MIB, 10 * MIB]);
  assert(sent() <= 20 * MIB + 2 * 64 * KIB, `${sent()} bytes were sent`);
  assert(errors.every((error) => error instanceof LinkClosedError));
  assertEquals((errors[0] as Error).message, "the budget of 10 MiB a day is used, until 2026-11-29 00:00");
  assertEquals(await link.readUse(), [{ ...budget, used: 10 * MIB, end: MIDNIGHT + 48 * HOUR }]);
  await link[Symbol.asyncDispose]();
  assertEquals(ledger.claimed.get("undefined 2026-11-29"), 10 * MIB);
});

Deno.test("[101] a budget of one registry does not limit another; what was claimed and not used is given back", async () => {
  const { clock, receive, link, ledger } = open({ budgets: [{ host: "ghcr.io", bytes: 2 * MIB, period: "month" }] });
  assertEquals((await clock.run(receive(3 * MIB, "docker.io"))).bytes, 3 * MIB);
  assertEquals(await link.closedUntil("ghcr.io"), undefined);
  assertEquals((await clock.run(receive(100 * KIB, "ghcr.io"))).bytes, 100 * KIB);
  assertEquals((await link.readUse())[0]!.used, 100 * KIB);
  await link[Symbol.asyncDispose]();
  assertEquals([...ledger.claimed.values()], [100 * KIB]);
  const { bytes, error } = await clock.run(receive(3 * MIB, "ghcr.io"));
  assertEquals([bytes, error?.message], [
    2 * MIB - 100 * KIB,
    "the budget of ghcr.io of 2 MiB a month is used, until 2026-12-01 00:00",
  ]);
  assertEquals(await link.closedUntil("ghcr.io"), new Date(2026, 11, 1).getTime());
  assertEquals(await link.closedUntil("docker.io"), undefined);
});

Deno.test("[101] outside of its windows nothing is sent, and a transfer stops when the window ends", async () => {
  const { clock, receive, link, sent } = open({ rate: MIB, windows: [{ from: 60, to: 61 }] });
  const early = await clock.run(receive(MIB));
  assertEquals([early.bytes, sent()], [0, 0]);
  assert(early.error instanceof LinkClosedError);
  assertEquals(early.error.message, "upstreams are used only from 01:00-01:01, so not before 2026-11-28 01:00");
  assertEquals([early.error.retryAfter, early.error.failure], [3600, "closed"]);
  clock.time = HOUR;
  assertEquals(await link.closedUntil(), undefined);
  const { bytes, error } = await clock.run(receive(100 * MIB));
  assert(bytes >= 59 * MIB && bytes <= 60 * MIB + 64 * KIB, `${bytes}`);
  assert(error instanceof LinkClosedError);
  assertEquals(error.until, MIDNIGHT + 25 * HOUR);
});

Deno.test("[101] what cannot be counted is not received", async () => {
  const { clock, receive, ledger, sent } = open({ budgets: [{ bytes: MIB, period: "day" }] });
  ledger.failure = new Error("the disk is full");
  const { error } = await clock.run(receive(KIB));
  assertEquals([error?.message, sent()], ["what is received cannot be counted (the disk is full)", 0]);
});

Deno.test("[101] a clock that is set back does not fill a budget again", async () => {
  const { clock, receive } = open({ budgets: [{ bytes: MIB, period: "day" }] });
  clock.time = 24 * HOUR;
  assertEquals((await clock.run(receive(2 * MIB))).bytes, MIB);
  clock.time = 0;
  assertEquals((await clock.run(receive(2 * MIB))).bytes, 0);
});

Deno.test("a response without a body, and a reader that stops, use nothing more", async () => {
  const { link, clock, receive } = open({ budgets: [{ bytes: MIB, period: "day" }] });
  const response = await link.metered("a.test", () => Promise.resolve(new Response(null, { status: 204 })))(
    new Request("https://a.test/"),
  );
  assertEquals([response.status, response.body], [204, null]);
  const aborted = new Request("https://a.test/", { signal: AbortSignal.abort(new Error("stopped")) });
  await assertRejects(
    () => link.metered("a.test", () => Promise.resolve(new Response("a")))(aborted),
    Error,
    "stopped",
  );
  const body =
    (await link.metered("a.test", () => Promise.resolve(new Response("abc")))(new Request("https://a.test/")))
      .body!;
  await body.cancel();
  assertEquals((await link.readUse())[0]!.used, 0);
  assertEquals((await clock.run(receive(MIB))).bytes, MIB);
});
