import type { EndpointClient } from "../../../lib/upstream/endpoint_client.ts";
import { QueryOutcome } from "../../../lib/upstream/query_outcome.ts";
import { TransportError } from "../../../lib/upstream/transport/transport_error.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const REASON = "Cannot read a.test/x from a.test: it did not answer; it is tried again in 7 s";
for (const [advice, message] of [[undefined, REASON], ["check the proxy", `${REASON}; check the proxy`]] as const) {
  Deno.test(`[75] an outage ${advice === undefined ? "without" : "with"} advice is one sentence`, () => {
    const outcome = new QueryOutcome("a.test/x");
    const failure = new TransportError("timeout", "it did not answer", { advice });
    outcome.addOutage({ host: "a.test" } as EndpointClient, { failure, isSlow: true, until: 7000 });
    const error = assertThrows(() => outcome.throwFailure(0), Error);
    assertEquals(error.message, message);
  });
}
