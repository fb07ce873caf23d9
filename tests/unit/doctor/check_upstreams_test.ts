import { AnswerRecord } from "../../../lib/doctor/answer_record.ts";
import { checkUpstreams } from "../../../lib/doctor/check_upstreams.ts";
import { createEndpointSelector } from "../../../lib/upstream/endpoints.ts";
import { UpstreamSource } from "../../../lib/upstream/upstream_source.ts";
import { assertEquals, assertStringIncludes } from "../../support/assert.ts";

type Answer = (request: Request) => Response | Promise<Response>;

/** Checks upstreams whose answers are given by host. */
async function check(answers: Record<string, Answer>, hosts = Object.keys(answers), unasked: string[] = []) {
  const asked: string[] = [];
  const record = new AnswerRecord((request) => {
    const { host, pathname } = new URL(request.url);
    asked.push(`${request.method} ${host}${pathname}`);
    const answer = answers[host === "registry-1.docker.io" ? "docker.io" : host];
    return answer === undefined ? Promise.reject(new TypeError("dns error")) : Promise.resolve(answer(request));
  }, Date.now);
  const source = new UpstreamSource({
    fetch: record.fetch,
    sleep: () => Promise.resolve(),
    endpointsOf: createEndpointSelector(hosts.map((host) => ({
      host,
      ...host === "login.test" ? { credential: { username: "robot", password: "secret" } } : {},
    }))),
  });
  return { findings: await checkUpstreams({ source, hosts, record, unasked }), asked };
}

const unauthorized = () => new Response(null, { status: 401, headers: { "www-authenticate": 'Basic realm="x"' } });
const withLogin: Answer = (request) => request.headers.has("authorization") ? new Response("{}") : unauthorized();

const cases: [what: string, host: string, answer: Answer, status: string, message: string, advice?: string][] = [
  ["an upstream that answers", "a.test", () => new Response("{}"), "ok", "https://a.test: it answers"],
  ["an upstream that wants a login", "a.test", unauthorized, "ok", "wants a login; none is configured"],
  ["an upstream that accepts the login", "login.test", withLogin, "ok", "it accepts the login"],
  [
    "an upstream that refuses the login",
    "login.test",
    unauthorized,
    "broken",
    "refuses the login",
    "correct the user name",
  ],
  [
    "an upstream that is down",
    "a.test",
    () => new Response(null, { status: 503 }),
    "broken",
    "answers 503",
    "check its address",
  ],
  [
    "a server that is not a registry",
    "a.test",
    () => new Response("hi", { status: 404 }),
    "broken",
    "answers 404",
    "check its address",
  ],
  [
    "an upstream with an unknown name",
    "a.test",
    () => Promise.reject(new TypeError("dns error: failed to lookup address")),
    "broken",
    "not found in the DNS",
    "name server",
  ],
  [
    "an upstream with a self-signed certificate",
    "a.test",
    () => Promise.reject(new TypeError("invalid peer certificate: UnknownIssuer")),
    "broken",
    "certificate is not known to be trusted",
    "ca-file",
  ],
  [
    "an upstream with a certificate that is not yet valid",
    "a.test",
    () => Promise.reject(new TypeError("invalid peer certificate: NotValidYet")),
    "broken",
    "not yet valid",
    "clock",
  ],
];
for (const [what, host, answer, status, message, advice = ""] of cases) {
  Deno.test(`checkUpstreams() reports ${what}`, async () => {
    const { findings } = await check({ [host]: answer });
    assertEquals(findings.map((finding) => [finding.step, finding.status as string]), [[`upstream ${host}`, status]]);
    assertStringIncludes(findings[0]!.message, message);
    assertStringIncludes(findings[0]!.advice ?? "", advice);
    assertEquals(JSON.stringify(findings).includes("secret"), false);
  });
}

Deno.test("checkUpstreams() reads Docker Hub's rate limit with a HEAD request", async () => {
  for (const [remaining, status] of [["98;w=21600", "ok"], ["0;w=21600", "warning"]]) {
    const headers = { "ratelimit-limit": "100;w=21600", "ratelimit-remaining": remaining! };
    const { findings, asked } = await check({
      "docker.io": (request) =>
        new Response(request.method === "HEAD" ? null : "{}", { headers: request.url.endsWith("/v2/") ? {} : headers }),
    });
    assertEquals(findings[0]?.status as string, status);
    assertStringIncludes(findings[0]!.message, "of 100 pulls left, per 6 h");
    assertEquals(asked.slice(0, 2), [
      "GET registry-1.docker.io/v2/",
      "HEAD registry-1.docker.io/v2/ratelimitpreview/test/manifests/latest",
    ]);
  }
});

Deno.test("checkUpstreams() joins upstreams that fail for the same reason", async () => {
  const { findings } = await check({ "ok.test": () => new Response("{}") }, ["ok.test", "a.test", "b.test", "c.test"]);
  assertEquals(findings.map(({ step, status }) => `${step} ${status}`), ["upstream ok.test ok", "upstreams broken"]);
  assertStringIncludes(findings[1]!.message, "a.test, b.test, c.test: ");
});

Deno.test("checkUpstreams() asks no public registry that is not configured", async () => {
  const { findings, asked } = await check({}, [], ["docker.io", "quay.io"]);
  assertEquals([findings.map(({ step, status }) => `${step} ${status}`), asked], [["upstreams skipped"], []]);
  assertStringIncludes(findings[0]!.message, "docker.io, quay.io may be used, but none of them is configured");
  assertStringIncludes(findings[0]!.advice!, "crpe doctor --upstream=docker.io");
  const some = await check({ "ok.test": () => new Response("{}") }, ["ok.test"], ["docker.io"]);
  assertEquals(some.findings.map(({ status }) => status as string), ["ok", "skipped"]);
});

Deno.test("checkUpstreams() reports that no upstream is named, or that any is allowed", async () => {
  const [none] = (await check({}, [])).findings;
  assertEquals([none?.status as string, none?.advice], [
    "warning",
    "name one with --upstream, or start crpe with --offline",
  ]);
  const { findings, asked } = await check({}, ["*"]);
  assertEquals([findings.map(({ step }) => step), asked], [["upstream *"], []]);
});
