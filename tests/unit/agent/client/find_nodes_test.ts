import { findNodes, parseNodeHeader } from "../../../../lib/agent/client/find_nodes.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { makeKubePkg } from "../../../support/kubepkg.ts";
import { withoutUndefined } from "../../../support/without_undefined.ts";

const HEADER = "line4-pi; platforms=linux/arm64,linux/amd64";
const NODE = { id: "line4-pi", platforms: ["linux/arm64", "linux/amd64"] };

for (
  const [text, expected] of [
    [HEADER, NODE],
    ["pi", { id: "pi", platforms: [] }],
    ["pi;platforms=", { id: "pi", platforms: [] }],
    ["pi ; x=1; platforms=linux/arm/v7", { id: "pi", platforms: ["linux/arm/v7"] }],
    ["pi; platforms=linux/amd64,\x1b[31m,<b>", { id: "pi", platforms: ["linux/amd64"] }],
    ["", undefined],
    ["; platforms=linux/amd64", undefined],
    ["a b; platforms=linux/amd64", undefined],
    ["pi\x1b[31m", undefined],
    ["x".repeat(254), undefined],
    [`pi; platforms=${"linux/amd64,".repeat(1000)}`, undefined],
  ] as const
) {
  Deno.test(`parseNodeHeader(${JSON.stringify(text.slice(0, 50))})`, () => {
    assertEquals(withoutUndefined(parseNodeHeader(text)), expected as ReturnType<typeof parseNodeHeader>);
  });
}

type Answer = (request: Request) => Response | Promise<Response>;

async function find(answers: Record<string, Answer>, addresses = Object.keys(answers)) {
  const asked: string[] = [];
  let [now, most] = [0, 0];
  const nodes = await findNodes(addresses, {
    fetch: async (request) => {
      const { host, pathname } = new URL(request.url);
      asked.push(`${request.method} ${host}${pathname}`);
      most = Math.max(most, ++now);
      try {
        // No answer comes before the other requests are sent.
        await new Promise((resolve) => setTimeout(resolve));
        const answer = answers[host];
        if (answer === undefined) throw new TypeError("connection refused");
        return await answer(request);
      } finally {
        now--;
      }
    },
    // The signal aborts after 50 ms instead of a second, so that the test does not wait.
    timeout: (milliseconds) => (assertEquals(milliseconds, 1000), AbortSignal.timeout(50)),
  });
  return { nodes, asked, most: () => most };
}

const agent = (packages: BodyInit | null, header = HEADER, status = 200): Answer => ({ method }) => {
  return new Response(method === "HEAD" ? null : packages, {
    status: method === "HEAD" ? 200 : status,
    headers: { "x-node-agent": header },
  });
};

Deno.test("findNodes() returns id, address, platforms and packages, in the order of the addresses", async () => {
  const list = JSON.stringify([makeKubePkg({}, { name: "web", version: "1.2.0" }), makeKubePkg({})]);
  const { nodes, asked } = await find(
    { "10.0.0.2:36060": agent(list), "10.0.0.9:36060": agent("[]", "b") },
    ["10.0.0.1:36060", "10.0.0.2:36060", "10.0.0.9:36060"],
  );
  const packages = [{ name: "web", version: "1.2.0" }, { name: "line4", version: "1.0.0" }];
  assertEquals(withoutUndefined(nodes), [
    { ...NODE, address: "10.0.0.2:36060", packages },
    { id: "b", platforms: [], address: "10.0.0.9:36060", packages: [] },
  ]);
  assertEquals(asked.filter((line) => line.startsWith("GET")).length, 2);
  assert(asked.includes("HEAD 10.0.0.1:36060/kubepkgs"));
});

Deno.test("findNodes() asks 64 addresses at a time", async () => {
  const addresses = Array.from({ length: 254 }, (_, i) => `10.0.0.${i + 1}:1`);
  const { asked, most } = await find({}, addresses);
  assertEquals([asked.length, most()], [254, 64]);
});

Deno.test("findNodes() ignores addresses that do not respond as an agent", async () => {
  const { nodes } = await find({
    "a:1": () => new Response(null, { status: 404, headers: { "x-node-agent": HEADER } }),
    "b:1": () => new Response(null),
    "c:1": () => new Response(null, { status: 302, headers: { location: "http://d:1/", "x-node-agent": HEADER } }),
    "e:1": ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
  });
  assertEquals(nodes, []);
});

const endless = () =>
  new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull: (controller) => controller.enqueue(new Uint8Array(1024 * 1024).fill(0x20)),
  });

for (
  const [what, body, status] of [
    ["text that is not JSON", "<html>", 200],
    ["JSON that is not a list", "{}", 200],
    ["an error", "[]", 500],
    ["an endless body", undefined, 200],
    ["JSON that is nested too deeply", "[".repeat(100_000), 200],
  ] as const
) {
  Deno.test(`findNodes() returns no packages for an agent that responds with ${what}`, async () => {
    const { nodes } = await find({ "a:1": agent(body ?? endless(), HEADER, status) });
    assertEquals(nodes, [{ ...NODE, address: "a:1", packages: undefined, secure: undefined }]);
  });
}

Deno.test("findNodes() skips packages that are not valid, and lists at most 1000", async () => {
  const list = [null, 5, {}, { metadata: { name: "../x" }, spec: { version: "1.0.0" } }, {
    metadata: { name: "web" },
    spec: { version: "\x1b[31m" },
  }, makeKubePkg({})];
  const { nodes } = await find({ "a:1": agent(JSON.stringify(list)) });
  assertEquals(withoutUndefined(nodes[0]?.packages), [{ name: "line4", version: "1.0.0" }]);
  const many = await find({ "a:1": agent(JSON.stringify(Array(2000).fill(makeKubePkg({})))) });
  assertEquals(many.nodes[0]?.packages?.length, 1000);
});
