import { askNode, redeemCode } from "../../../../lib/agent/client/ask_node.ts";
import { RefusedError } from "../../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";

type Answers = Readonly<Record<string, readonly [status: number, body: string]>>;

function startAgent(answers: Answers) {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ url }) => {
    const [status, body] = answers[new URL(url).pathname] ?? [404, '{"errors":[{"code":"NOT_FOUND"}]}'];
    return new Response(body, { status });
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  return { url, [Symbol.asyncDispose]: () => server.shutdown() };
}

const STATUS: Answers = {
  "/api/status": [200, '{"node":"gate-2","version":"0.1.0","platforms":["linux/arm64"],"freeBytes":5}'],
};
const HOSTILE = {
  name: "web",
  namespace: null,
  version: 1,
  images: ["a", null],
  objects: "9",
  earlier: {},
  handedOver: "yes",
};
const ROWS: readonly (readonly [title: string, answers: Answers, expected: Record<string, unknown>])[] = [
  ["an agent with its page", { ...STATUS, "/api/packages": [200, '{"packages":[{"name":"line4"}]}'] }, {
    state: "ready",
    node: "gate-2",
    version: "0.1.0",
    platforms: ["linux/arm64"],
    freeBytes: 5,
    packages: [{ name: "line4", handedOver: false, removing: false }],
    canChange: true,
  }],
  ["an agent whose fields have other types, without them", {
    "/api/status": [200, '{"node":{},"version":1,"platforms":"x","freeBytes":"5"}'],
    "/api/packages": [200, JSON.stringify({ packages: [null, 5, [], {}, HOSTILE] })],
  }, {
    state: "ready",
    packages: [{ name: "web", images: ["a"], handedOver: false, removing: false }],
    canChange: true,
  }],
  ["an agent whose platforms have other types", {
    "/api/status": [200, '{"platforms":["linux/arm64",null,{}]}'],
    "/api/packages": [200, '{"packages":[]}'],
  }, { state: "ready", platforms: ["linux/arm64"], packages: [], canChange: true }],
  ["a server whose state is no object", {
    "/api/status": [200, "null"],
    "/api/packages": [200, '{"packages":[]}'],
  }, {
    state: "unreachable",
    reason: "it answered an unknown list; is that the address of a crpe agent?",
    packages: [],
    canChange: false,
  }],
  ["an agent without its page", {
    "/kubepkgs": [
      200,
      '[{"metadata":{"name":"line4","namespace":"shop"},"spec":{"version":"1.0.0"}},{"metadata":{"name":"x"},"error":"e"}]',
    ],
  }, {
    state: "ready",
    packages: [
      { name: "line4", namespace: "shop", version: "1.0.0", handedOver: false, removing: false },
      { name: "x", handedOver: false, removing: false, error: "e" },
    ],
    canChange: false,
  }],
  ["an agent with another token", { "/api/status": [401, "{}"], "/api/packages": [401, "{}"] }, {
    state: "denied",
    reason: "it does not accept the token",
    packages: [],
    canChange: false,
  }],
  ["another server", {}, {
    state: "unreachable",
    reason: "it answered an unknown list; is that the address of a crpe agent?",
    packages: [],
    canChange: false,
  }],
  ["a web site", { "/api/status": [200, "<html>"], "/api/packages": [200, "<html>"] }, {
    state: "unreachable",
    reason: "it answered something other than JSON; is that the address of a crpe agent?",
    packages: [],
    canChange: false,
  }],
  ["a server with another API", { ...STATUS, "/api/packages": [200, "{}"] }, {
    state: "unreachable",
    reason: "it answered an unknown list; is that the address of a crpe agent?",
    packages: [],
    canChange: false,
  }],
];
for (const [title, answers, expected] of ROWS) {
  Deno.test(`askNode() describes ${title}`, async () => {
    await using agent = startAgent(answers);
    // As the page gets it: without the fields that are undefined.
    const state = JSON.parse(JSON.stringify(await askNode({ url: agent.url, token: "t" })));
    assertEquals(state, { url: agent.url, ...expected });
  });
}

Deno.test("askNode() describes an address without a server", async () => {
  const { state, reason } = await askNode({ url: "http://127.0.0.1:1", token: "t" });
  assertEquals([state, reason], ["unreachable", "the connection was refused"]);
});

Deno.test("redeemCode() returns the token, or says why there is none", async () => {
  await using good = startAgent({ "/api/session": [200, '{"token":"abc"}'] });
  assertEquals(await redeemCode({ url: good.url }, "code"), "abc");
  await using bad = startAgent({ "/api/session": [401, '{"errors":[{"message":"the code has expired"}]}'] });
  await assertRejects(() => redeemCode({ url: bad.url }, "code"), RefusedError, "the code: the code has expired");
  for (const document of ["{}", '{"token":1}', '{"token":"a\\nb"}', '{"token":""}', "[]"]) {
    await using other = startAgent({ "/api/session": [200, document] });
    await assertRejects(() => redeemCode({ url: other.url }, "code"), RefusedError, "it does not accept the code");
  }
});
