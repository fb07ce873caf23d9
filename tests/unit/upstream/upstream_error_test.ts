import { type Attempt, errorOfResponse } from "../../../lib/upstream/upstream_error.ts";
import { assertEquals } from "../../support/assert.ts";

const READ: Attempt = { action: "read manifest 1 of r.test/app", host: "r.test", hasCredential: false, now: () => 0 };
const PUSH = { ...READ, isPush: true };
const HTTPS = " from r.test: the registry answers 400 (it speaks https; write https:// in its URL)";

for (
  const [what, attempt, body, said] of [
    ["Go's server for https", READ, "Client sent an HTTP request to an HTTPS server.\n", HTTPS],
    ["nginx for https", READ, "<center>The plain HTTP request was sent to HTTPS port</center>", HTTPS],
    ["Apache for https", READ, "You're speaking plain HTTP to an SSL-enabled server port.", HTTPS],
    [
      "a registry",
      READ,
      '{"errors":[{"code":"X","message":"no such thing"}]}',
      " from r.test: the registry answers 400 (no such thing)",
    ],
    ["something else", READ, "<html>", " from r.test: the registry answers 400"],
    ["a registry to a push", { ...PUSH, action: "push blob a" }, "", " to r.test: the registry answers 400"],
    [
      "a registry to a look-up before a push",
      { ...PUSH, action: "look up blob a" },
      "",
      " at r.test: the registry answers 400",
    ],
  ] as const
) {
  Deno.test(`errorOfResponse() says what the answer 400 of ${what} means`, async () => {
    const { message } = await errorOfResponse(new Response(body, { status: 400 }), attempt);
    assertEquals(message, `Cannot ${attempt.action}${said}`);
  });
}
