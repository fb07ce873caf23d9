import { AgentError } from "../../../../lib/agent/client/agent_error.ts";
import { adviseToCopyAgain, adviseToPushAgain } from "../../../../lib/cli/console/repeat_advice.ts";
import { cannot, type ErrorCode, RegistryError } from "../../../../lib/oci/error.ts";
import { TransportError, type TransportFailure } from "../../../../lib/upstream/transport/transport_error.ts";
import { assertEquals } from "../../../support/assert.ts";

const COPY_AGAIN = "run the same command again: what is there is not sent twice";
const COPIES: readonly (readonly [code: ErrorCode, failure?: TransportFailure, own?: string, advice?: string])[] = [
  ["UNAVAILABLE", "cut", undefined, COPY_AGAIN],
  ["UNAVAILABLE", undefined, undefined, COPY_AGAIN],
  ["UNAVAILABLE", "dns", "check its name", `check its name; ${COPY_AGAIN}`],
  ["TOOMANYREQUESTS", undefined, "try again in 120 s", `try again in 120 s; ${COPY_AGAIN}`],
  ["UNAVAILABLE", "authority", "name its CA file with --ca-file", "name its CA file with --ca-file"],
  ["UNAVAILABLE", "not-tls", "write http://", "write http://"],
  ["UNAVAILABLE", "certificate", undefined, undefined],
  ["UNAVAILABLE", "clock", undefined, undefined],
  ["DENIED", undefined, undefined, undefined],
  ["BAD_GATEWAY", undefined, "write https:// in its URL", "write https:// in its URL"],
];
for (const [code, failure, own, advice] of COPIES) {
  Deno.test(`[98] a copy that ends with ${code} ${failure ?? ""} advises ${advice}`, () => {
    const cause = failure && new TransportError(failure, "x");
    const error = new RegistryError(code, cannot("push a", "it fails", own), { cause, retryAfter: 120 });
    const advised = adviseToCopyAgain(error) as RegistryError;
    const { message, retryAfter } = advised;
    const end = advice === undefined ? "" : `; ${advice}`;
    assertEquals([advised.code, message, retryAfter], [code, `Cannot push a: it fails${end}`, 120]);
  });
}

const PUSH_AGAIN = "run the same command again to resume";
const PUSHES: readonly (readonly [isTransient: boolean, own?: string, advice?: string])[] = [
  [true, undefined, PUSH_AGAIN],
  [true, "name its CA file with --ca-file", `name its CA file with --ca-file; ${PUSH_AGAIN}`],
  [false, undefined, undefined],
  [false, "name the token's file", "name the token's file"],
];
for (const [isTransient, own, advice] of PUSHES) {
  Deno.test(`[26] a push that ${isTransient ? "may" : "cannot"} be resumed, with the advice ${own}, advises ${advice}`, () => {
    const error = adviseToPushAgain(
      new AgentError({ reason: "it fails", advice: own }, { isTransient }),
      "push a to b",
    );
    assertEquals(error.message, `Cannot push a to b: it fails${advice === undefined ? "" : `; ${advice}`}`);
  });
}
