import { adviseOn } from "../../../lib/doctor/advice.ts";
import { cannot, RegistryError } from "../../../lib/oci/error.ts";
import { TransportError, type TransportFailure } from "../../../lib/upstream/transport/transport_error.ts";
import { errorOfResponse, toUpstreamError } from "../../../lib/upstream/upstream_error.ts";
import { assertStringIncludes } from "../../support/assert.ts";

const attempt = (login: { readonly hasCredential?: boolean; readonly withheld?: string } = {}) => ({
  action: "read manifest 1 of a/b",
  host: "registry.test",
  now: () => 0,
  hasCredential: false,
  ...login,
});
const unreached = (failure: TransportFailure) => toUpstreamError(new TransportError(failure, "a reason"), attempt());
const answered = (status: number, login = {}) => errorOfResponse(new Response(null, { status }), attempt(login));

for (
  const [what, error, advice] of [
    ["a name that is not found", unreached("dns"), "check the name, and this machine's network"],
    ["an unknown authority", unreached("authority"), "name its CA"],
    ["no TLS", unreached("not-tls"), "write http:// if it has no TLS"],
    ["a wrong clock", unreached("clock"), "set this machine's clock"],
    ["a refused connection", unreached("refused"), "check that the registry runs"],
    ["a stalled transfer", unreached("stall"), "check that the registry runs"],
    ["a closed link", unreached("closed"), "change --window or --budget"],
    ["something that is not HTTP", unreached("not-http"), "check its address"],
    [
      "a failure behind another error",
      new RegistryError("UNAVAILABLE", cannot("log in"), { cause: new TransportError("dns", "a reason") }),
      "check the name",
    ],
    ["a denial without a login", await answered(401), "log in to the registry"],
    ["a denial with a login", await answered(403, { hasCredential: true }), "correct the user name"],
    [
      "a login that the token server refuses",
      await answered(401, { withheld: "it is refused", isLoginRefused: true }),
      "correct the user name",
    ],
    ["a login that was not sent", await answered(401, { withheld: "name it in token-hosts" }), "check the name"],
    ["a limit", await answered(429), "wait, or log in"],
    ["an unusual status", await answered(418), "check its address"],
  ] as const
) {
  Deno.test(`adviseOn() says what to do about ${what}`, () => assertStringIncludes(adviseOn(error), advice));
}
