import { type ErrorCode, RegistryError, type RegistryErrorOptions } from "../../../lib/oci/error.ts";
import { answerError } from "../../../lib/registry/answer.ts";
import { assertEquals } from "../../support/assert.ts";

const ERRORS: [name: string, code: ErrorCode, options: RegistryErrorOptions, expected: string | undefined][] = [
  ["503 with a time", "UNAVAILABLE", { retryAfter: 29.2 }, "30"],
  ["503 without a time", "UNAVAILABLE", {}, "5"],
  ["503 with a time of zero", "UNAVAILABLE", { retryAfter: 0 }, "1"],
  ["429", "TOOMANYREQUESTS", { retryAfter: 60 }, "60"],
  ["502", "BAD_GATEWAY", {}, undefined],
  ["404", "MANIFEST_UNKNOWN", {}, undefined],
];
for (const [name, code, options, expected] of ERRORS) {
  Deno.test(`[76] answerError() ${expected === undefined ? "sends no Retry-After" : "sends Retry-After"} with ${name}`, () => {
    assertEquals(
      answerError(new RegistryError(code, "Cannot do it: a reason", options)).headers["retry-after"],
      expected,
    );
  });
}
