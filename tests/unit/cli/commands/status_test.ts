import { run } from "../../../../lib/cli/run.ts";
import { assertEquals } from "../../../support/assert.ts";
import { makeCertificate } from "../../../support/certificate.ts";
import { createTestIo } from "../../../support/test_io.ts";

const { cert, key } = await makeCertificate();
const DENIED = '{"errors":[{"code":"DENIED","message":"Cannot answer: \\"a.test\\" is not a name of this machine"}]}';
const ROWS: readonly [what: string, answer: () => Response, tls: object, reason: string][] = [
  [
    "a server that refuses the name",
    () => new Response(DENIED, { status: 403 }),
    {},
    'it answers 403: Cannot answer: "a.test" is not a name of this machine',
  ],
  ["a server without metrics", () => new Response("none", { status: 404 }), {}, "it is not a crpe of this version"],
  ["another server", () => new Response("<html>"), {}, "it is not a crpe of this version"],
  [
    "a certificate that is not trusted",
    () => new Response(),
    { cert, key },
    "its certificate is not known to be trusted (self-signed, or issued by an unknown authority)",
  ],
];
for (const [what, answer, tls, reason] of ROWS) {
  Deno.test(`crpe status says what is wrong with ${what}`, async () => {
    await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {}, onError: answer, ...tls }, answer);
    const url = `${"cert" in tls ? "https" : "http"}://127.0.0.1:${server.addr.port}`;
    const io = createTestIo();
    assertEquals([await run(["status", url], io), io.errText], [1, `crpe: Cannot ask ${url}: ${reason}\n`]);
  });
}
