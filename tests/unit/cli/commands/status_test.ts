import { run } from "../../../../lib/cli/run.ts";
import { assertEquals } from "../../../support/assert.ts";
import { makeCertificate } from "../../../support/certificate.ts";
import { peerTest } from "../../../support/peers.ts";
import { TestFolder } from "../../../support/test_folder.ts";
import { createTestIo } from "../../../support/test_io.ts";

const DENIED = '{"errors":[{"code":"DENIED","message":"Cannot answer: \\"a.test\\" is not a name of this machine"}]}';
const ROWS: readonly [what: string, answer: () => Response, hasTls: boolean, reason: string][] = [
  [
    "a server that refuses the name",
    () => new Response(DENIED, { status: 403 }),
    false,
    'it answers 403: Cannot answer: "a.test" is not a name of this machine',
  ],
  ["a server without metrics", () => new Response("none", { status: 404 }), false, "it is not a crpe of this version"],
  ["another server", () => new Response("<html>"), false, "it is not a crpe of this version"],
  [
    "a certificate that is not trusted",
    () => new Response(),
    true,
    "its certificate is not known to be trusted (self-signed, or issued by an unknown authority); name its CA file with --ca-file",
  ],
];
for (const [what, answer, hasTls, reason] of ROWS) {
  peerTest(`crpe status says what is wrong with ${what}`, hasTls ? ["openssl"] : [], async () => {
    const tls = hasTls ? await makeCertificate() : {};
    await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {}, onError: answer, ...tls }, answer);
    const url = `${hasTls ? "https" : "http"}://127.0.0.1:${server.addr.port}`;
    const io = createTestIo();
    assertEquals([await run(["status", url], io), io.errText], [1, `crpe: Cannot ask ${url}: ${reason}\n`]);
  });
}

peerTest("crpe status --ca-file trusts a server of the site's own authority", ["openssl"], async () => {
  const { cert, key } = await makeCertificate();
  await using folder = await TestFolder.create();
  const ca = await folder.write("ca.pem", cert);
  const answer = () => new Response('crpe_build_info{version="1.2.3"} 1\n');
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {}, cert, key }, answer);
  const io = createTestIo();
  const address = `127.0.0.1:${server.addr.port}`;
  assertEquals([await run(["status", `https://${address}`, `--ca-file=${ca}`, "--json"], io), io.errText], [0, ""]);
  assertEquals(JSON.parse(io.outText).version, "1.2.3");
  assertEquals(await run(["status", `http://${address}`, `--ca-file=${ca}`], io), 2);
  assertEquals(await run(["status", `https://${address}`, "--ca-file=/nonexistent/ca.pem"], io), 1);
});

for (
  const [what, lines, line] of [
    ["does not look for any", [], undefined],
    ["has found none", ["crpe_found_peers 0"], "peers        none found"],
    [
      "has found",
      ["crpe_found_peers 2", 'crpe_found_peer{host="10.0.0.1:6060"} 1', 'crpe_found_peer{host="10.0.0.2:6060"} 1'],
      "peers        10.0.0.1:6060, 10.0.0.2:6060",
    ],
  ] as const
) {
  Deno.test(`[108] crpe status shows the peers that a server ${what}`, async () => {
    const answer = () => new Response(['crpe_build_info{version="1"} 1', ...lines, ""].join("\n"));
    await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, answer);
    const io = createTestIo();
    assertEquals(await run(["status", `http://127.0.0.1:${server.addr.port}`], io), 0);
    assertEquals(io.outText.split("\n").find((each) => each.startsWith("peers")), line);
  });
}

for (
  const [what, lines, line] of [
    ["that was not measured", [], "not known yet"],
    ["that was measured", ["crpe_store_bytes 2048", "crpe_store_blobs 3", "crpe_images 1"], "1 tag, 3 blobs, 2 KiB"],
    ["in a bucket", ["crpe_copies_bytes 2048"], "a bucket, 2 KiB of it copied to the machine"],
  ] as const
) {
  Deno.test(`crpe status shows a store ${what}`, async () => {
    const answer = () => new Response(['crpe_build_info{version="1"} 1', ...lines, ""].join("\n"));
    await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, answer);
    const io = createTestIo();
    assertEquals(await run(["status", `http://127.0.0.1:${server.addr.port}`], io), 0);
    assertEquals(io.outText.split("\n").find((each) => each.startsWith("store")), `store        ${line}`);
  });
}

const CONTROLS = `crpe_build_info{version="1\x1b[2J"} 1
crpe_cache_requests_total{outcome="hit\x1b[1m"} 1
crpe_link_open{host="a\x9b1m"} 0
crpe_upstream_requests_total{host="\u202eb"} 1
`;
const HEALTH = JSON.stringify({ reason: "full\r\x1b]0;x\x07" });

Deno.test("crpe status prints no control characters of a server", async () => {
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ url }) => {
    return new Response(url.endsWith("/metrics") ? CONTROLS : HEALTH);
  });
  const io = createTestIo();
  assertEquals(await run(["status", `http://127.0.0.1:${server.addr.port}`], io), 0);
  assertEquals(io.outText.match(/[^\n -~]/g), null);
  assertEquals(io.outText.match(/\\u[0-9a-f]{4}/g)?.length, 7);
});
