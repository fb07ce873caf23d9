import { EndpointHealth } from "../../../../lib/upstream/transport/endpoint_health.ts";
import { TransportError, type TransportFailure } from "../../../../lib/upstream/transport/transport_error.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";

const ORIGIN = "http://registry.example";

/** Creates an endpoint, whose failures a test controls, and counts the probes. */
function open() {
  const world = { time: 0, probes: 0, failure: undefined as TransportFailure | undefined, isProbeSlow: false };
  const fail = () => {
    if (world.failure !== undefined) throw new TransportError(world.failure, "it failed");
  };
  const health = new EndpointHealth({
    origin: ORIGIN,
    now: () => world.time,
    probe: () => {
      world.probes++;
      return (world.isProbeSlow ? new Promise((resolve) => setTimeout(resolve, 1)) : Promise.resolve()).then(fail);
    },
  });
  const fetch = health.middleware(() => Promise.resolve().then(fail).then(() => new Response("ok")));
  const send = async (url = `${ORIGIN}/v2/`) => void await (await fetch(new Request(url))).text();
  return { world, health, send };
}

const FAILURES: [failure: TransportFailure, isOutage: boolean, isSlow: boolean][] = [
  ["timeout", true, true],
  ["refused", true, false],
  ["dns", true, false],
  ["unreachable", true, false],
  ["certificate", true, false],
  ["cut", false, false],
  ["stall", false, false],
];
for (const [failure, isOutage, isSlow] of FAILURES) {
  Deno.test(`[75] EndpointHealth ${isOutage ? "remembers" : "does not remember"} the failure ${failure}`, async () => {
    const { world, health, send } = open();
    world.failure = failure;
    await assertRejects(() => send(), TransportError);
    assertEquals([health.check() !== undefined, health.check()?.isSlow ?? false], [isOutage, isSlow]);
  });
}

Deno.test("[75] EndpointHealth ignores failures of other hosts", async () => {
  const { world, health, send } = open();
  world.failure = "timeout";
  await assertRejects(() => send("http://cdn.example/x"), TransportError);
  assertEquals(health.check(), undefined);
});

Deno.test("[75] EndpointHealth probes an endpoint at once after a time-out, because one request may have been slow", async () => {
  const { world, health, send } = open();
  world.failure = "timeout";
  world.isProbeSlow = true;
  await assertRejects(() => send(), TransportError);
  world.failure = undefined;
  assertEquals([await health.checkAgain(), world.probes], [undefined, 1]);
});

Deno.test("[75] EndpointHealth probes once when the delay has passed, and waits longer after each failed probe", async () => {
  const { world, health, send } = open();
  world.failure = "refused";
  await assertRejects(() => send(), TransportError);
  const delays: number[] = [];
  for (let i = 0; i < 5; i++) {
    const until = (await health.checkAgain())!.until;
    delays.push((until - world.time) / 1000);
    world.time = until - 1;
    await health.checkAgain();
    assertEquals(world.probes, i);
    world.time = until;
    await Promise.all([health.checkAgain(), health.checkAgain()]);
    assertEquals(world.probes, i + 1);
  }
  assertEquals(delays, [30, 60, 120, 120, 120]);
  world.failure = undefined;
  world.time += 120_000;
  assertEquals(await health.checkAgain(), undefined);
});

Deno.test("[75] EndpointHealth is healthy again after any response", async () => {
  const { world, health, send } = open();
  world.failure = "refused";
  await assertRejects(() => send(), TransportError);
  world.failure = undefined;
  await send();
  assertEquals([health.check(), world.probes], [undefined, 0]);
});
