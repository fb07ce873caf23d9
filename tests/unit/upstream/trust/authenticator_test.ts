import { RegistryError } from "../../../../lib/oci/error.ts";
import type { Fetch } from "../../../../lib/upstream/transport/middleware.ts";
import { Authenticator, type AuthOptions } from "../../../../lib/upstream/trust/authenticator.ts";
import type { Credential } from "../../../../lib/upstream/trust/docker_config.ts";
import { type AddressClass, classifyHost } from "../../../../lib/upstream/trust/private_address.ts";
import { assert, assertEquals, assertRejects } from "../../../support/assert.ts";

const REGISTRY = "https://registry.example.com";
const MANIFEST = `${REGISTRY}/v2/team/app/manifests/1`;
const CHALLENGE = `Bearer realm="https://auth.example.com/token",service="reg",scope="repository:team/app:pull"`;
const ALICE = { username: "alice", password: "secret" };

type Answer = Response | ((request: Request) => Response | Promise<Response>);

interface World {
  readonly fetch: Fetch;
  readonly auth: Authenticator;
  /** The Authorization of each request to the registry. */
  readonly asked: (string | null)[];
  /** Requests to the token server. */
  readonly tokens: { url: URL; method: string; authorization: string | null; body: string }[];
  /** Sets the clock. */
  tick(milliseconds: number): void;
}

/** Creates a registry that accepts requests for which `isAccepted` is true, and a token server with numbered tokens. */
function createWorld(
  options: {
    challenge?: string | null;
    isAccepted?: (authorization: string | null) => boolean;
    token?: Answer;
    ping?: string;
    credential?: Credential | undefined;
    classOf?: (url: URL) => AddressClass;
  } & Partial<AuthOptions> = {},
): World {
  const { challenge = CHALLENGE, isAccepted = (sent) => /^Bearer t\d+$/.test(sent ?? "") } = options;
  const { classOf = (url: URL) => classifyHost(url.hostname) } = options;
  const asked: World["asked"] = [];
  const tokens: World["tokens"] = [];
  let time = 0;
  const registry: Fetch = (request) => {
    const url = new URL(request.url);
    const authorization = request.headers.get("authorization");
    if (url.pathname === "/v2/" && options.ping !== undefined) {
      asked.push("ping");
      return Promise.resolve(new Response(null, { status: 401, headers: { "www-authenticate": options.ping } }));
    }
    asked.push(authorization);
    if (isAccepted(authorization)) return Promise.resolve(new Response("ok"));
    const headers: Record<string, string> = challenge === null ? {} : { "www-authenticate": challenge };
    return Promise.resolve(new Response("no", { status: 401, headers }));
  };
  const tokenFetch: Fetch = async (request) => {
    const { method, headers } = request;
    tokens.push({
      url: new URL(request.url),
      method,
      authorization: headers.get("authorization"),
      body: await request.text(),
    });
    const { token = () => Response.json({ token: `t${tokens.length}` }) } = options;
    return await (typeof token === "function" ? token(request) : token.clone());
  };
  const auth = new Authenticator({
    registry: new URL(REGISTRY),
    checkAddress: (url) => Promise.resolve({ class: classOf(url), isResolved: true }),
    credentialFor: () => options.credential,
    now: () => time,
    stallTimeout: 1000,
    tokenFetch,
    ...options,
  });
  return { fetch: auth.forRepository("team/app")(registry), auth, asked, tokens, tick: (to) => time = to };
}

async function get(world: World, url = MANIFEST): Promise<number> {
  const response = await world.fetch(new Request(url));
  await response.body?.cancel();
  return response.status;
}

Deno.test("Authenticator sends no credential to a registry without a challenge", async () => {
  const world = createWorld({ isAccepted: () => true, credential: ALICE });
  assertEquals([await get(world), world.asked, world.tokens.length], [200, [null], 0]);
});

Deno.test("Authenticator requests an anonymous token and reuses it", async () => {
  const world = createWorld();
  assertEquals([await get(world), await get(world)], [200, 200]);
  assertEquals(world.asked, [null, "Bearer t1", "Bearer t1"]);
  const [token] = world.tokens;
  assertEquals(token?.authorization, null);
  assertEquals(token?.url.href, "https://auth.example.com/token?service=reg&scope=repository%3Ateam%2Fapp%3Apull");
});

Deno.test("Authenticator logs in at the token server, not at the registry", async () => {
  const world = createWorld({ credential: ALICE });
  assertEquals(await get(world), 200);
  assertEquals(world.tokens[0]?.authorization, `Basic ${btoa("alice:secret")}`);
  assertEquals(world.asked, [null, "Bearer t1"]);
});

for (
  const [cuts, result] of [
    [1, [200, 2]],
    [2, ["Cannot log in to registry.example.com: its token server auth.example.com cannot be reached", 2]],
  ] as const
) {
  Deno.test(`[8] Authenticator requests a token once more when its transfer is cut, here ${cuts === 1 ? "once" : "twice"}`, async () => {
    const cut = () => new Response('{"token":"t', { headers: { "content-length": "100" } });
    const world: World = createWorld({
      token: () => world.tokens.length <= cuts ? cut() : Response.json({ token: `t${world.tokens.length}` }),
    });
    const status = await get(world).catch((error) => error.message.split(": the connection")[0]);
    assertEquals<unknown>([status, world.tokens.length], result);
  });
}

Deno.test("[8] Authenticator requests a token whose transfer stalls once: it would take as long again", async () => {
  const world: World = createWorld({ token: () => new Response(new ReadableStream()), stallTimeout: 20 });
  await assertRejects(() => get(world), RegistryError, "its token server auth.example.com cannot be reached");
  assertEquals(world.tokens.length, 1);
});

Deno.test("Authenticator keeps one token per repository", async () => {
  const world = createWorld();
  await get(world);
  // The realm is already known, so no 401 is needed to request a token with another scope.
  await get(world, `${REGISTRY}/v2/team/other/blobs/x`);
  assertEquals(world.asked, [null, "Bearer t1", "Bearer t2"]);
  assertEquals(world.tokens[1]?.url.searchParams.get("scope"), "repository:team/other:pull");
});

const CHALLENGES: [name: string, challenge: string, scope: string | null, service: string | null][] = [
  [
    "adds a missing scope",
    `Bearer realm="https://auth.example.com/t",service="s"`,
    "repository:team/app:pull",
    "s",
  ],
  [
    "replaces an empty scope",
    `Bearer realm="https://auth.example.com/t",scope=""`,
    "repository:team/app:pull",
    null,
  ],
  [
    "accepts a challenge without a service",
    `Bearer realm="https://auth.example.com/t",scope="repository:x:pull"`,
    "repository:x:pull",
    null,
  ],
  [
    "keeps the query of the realm",
    `Bearer realm="https://auth.example.com/t?a=b",scope="s:x:pull"`,
    "s:x:pull",
    null,
  ],
];
for (const [name, challenge, scope, service] of CHALLENGES) {
  Deno.test(`Authenticator ${name}`, async () => {
    const world = createWorld({ challenge });
    assertEquals(await get(world), 200);
    const query = world.tokens[0]!.url.searchParams;
    assertEquals([query.get("scope"), query.get("service")], [scope, service]);
    if (challenge.includes("a=b")) assertEquals(query.get("a"), "b");
  });
}

Deno.test("Authenticator requests a token that allows a push too, also for what the challenge does not ask", async () => {
  const rows: [scope: string | undefined, expected: string[]][] = [
    [undefined, ["repository:team/app:pull,push"]],
    ["repository:team/app:pull", ["repository:team/app:pull,push"]],
    ["repository:team/app:pull,push", ["repository:team/app:pull,push"]],
    ["repository:base:pull repository:team/app:pull,push", ["repository:team/app:pull,push", "repository:base:pull"]],
    ["repository:alias/app:pull", ["repository:alias/app:pull,push"]],
    ["aws", ["aws"]],
  ];
  for (const [scope, expected] of rows) {
    const parameter = scope === undefined ? "" : `,scope="${scope}"`;
    const challenge = `Bearer realm="https://auth.example.com/t"${parameter}`;
    const world = createWorld({ challenge, isPush: true });
    assertEquals(await get(world), 200);
    assertEquals(world.tokens[0]!.url.searchParams.getAll("scope"), expected);
  }
});

const LIVES: [name: string, answer: Record<string, unknown>, kept: number, renewed: number][] = [
  ["60 s when no lifetime is given", {}, 50_000, 60_000],
  ["at least 60 s", { expires_in: 5 }, 50_000, 60_000],
  ["its stated lifetime", { expires_in: 300 }, 250_000, 300_000],
  ["60 s when the stated lifetime is not a number", { expires_in: "300" }, 50_000, 60_000],
];
for (const [name, answer, kept, renewed] of LIVES) {
  Deno.test(`Authenticator keeps a token for ${name}, and renews it before it expires`, async () => {
    let given = 0;
    const world = createWorld({ token: () => Response.json({ access_token: `t${++given}`, ...answer }) });
    await get(world);
    world.tick(kept);
    await get(world);
    assertEquals(given, 1);
    world.tick(renewed);
    assertEquals(await get(world), 200);
    assertEquals([given, world.asked.at(-1), world.asked.length], [2, "Bearer t2", 4]);
  });
}

Deno.test("Authenticator sends one token request for concurrent requests", async () => {
  const gate = Promise.withResolvers<void>();
  const world = createWorld({
    token: async () => {
      await gate.promise;
      return Response.json({ token: "t1" });
    },
  });
  const all = Array.from({ length: 20 }, () => get(world));
  await new Promise((resolve) => setTimeout(resolve, 5));
  gate.resolve();
  assertEquals(new Set(await Promise.all(all)), new Set([200]));
  assertEquals(world.tokens.length, 1);
});

Deno.test("Authenticator requests a token again after a failed token request", async () => {
  let asked = 0;
  const world = createWorld({
    token: () => ++asked === 1 ? new Response(null, { status: 500 }) : Response.json({ token: "t1" }),
  });
  await assertRejects(() => get(world), RegistryError, "auth.example.com answers 500");
  assertEquals(await get(world), 200);
});

Deno.test("Authenticator renews a refused token once", async () => {
  let valid = "Bearer t1";
  const world = createWorld({ isAccepted: (sent) => sent === valid });
  await get(world);
  valid = "Bearer t2";
  assertEquals(await get(world), 200);
  assertEquals(world.asked, [null, "Bearer t1", "Bearer t1", "Bearer t2"]);
});

Deno.test("[14] Authenticator tries twice and then returns the 401", async () => {
  const world = createWorld({ isAccepted: () => false });
  assertEquals([await get(world), world.asked], [401, [null, "Bearer t1"]]);
  assertEquals([await get(world), world.asked.slice(2)], [401, [null, "Bearer t2"]]);
});

Deno.test("Authenticator sends Basic only after a challenge, and then with the first request", async () => {
  const basic = `Basic ${btoa("alice:secret")}`;
  const world = createWorld({
    challenge: `Basic realm="ECR"`,
    credential: ALICE,
    isAccepted: (sent) => sent === basic,
  });
  assertEquals([await get(world), await get(world)], [200, 200]);
  assertEquals(world.asked, [null, basic, basic]);
});

Deno.test("[14] Authenticator sends Basic once for a request, and not without a password", async () => {
  const world = createWorld({ challenge: `Basic realm="x"`, credential: ALICE, isAccepted: () => false });
  assertEquals([await get(world), world.asked.length], [401, 2]);
  // A login that has never worked is not sent in advance.
  assertEquals([await get(world), world.asked.length, world.asked[2]], [401, 4, null]);
  const anonymous = createWorld({ challenge: `Basic realm="x"`, isAccepted: () => false });
  assertEquals([await get(anonymous), anonymous.asked], [401, [null]]);
});

Deno.test("Authenticator uses the challenge of /v2/ when the 401 of a request has none", async () => {
  const world = createWorld({ challenge: null, ping: CHALLENGE });
  assertEquals([await get(world), await get(world)], [200, 200]);
  assertEquals(world.asked, [null, "ping", "Bearer t1", "Bearer t1"]);
});

Deno.test("Authenticator exchanges an identity token with a POST", async () => {
  const world = createWorld({ credential: { identityToken: "idt" }, token: Response.json({ access_token: "t1" }) });
  assertEquals(await get(world), 200);
  assertEquals(world.tokens.map(({ method, authorization }) => [method, authorization]), [["POST", null]]);
  assertEquals(Object.fromEntries(new URLSearchParams(world.tokens[0]!.body)), {
    grant_type: "refresh_token",
    client_id: "crpe",
    service: "reg",
    scope: "repository:team/app:pull",
    refresh_token: "idt",
  });
});

for (const status of [400, 401, 404, 405]) {
  Deno.test(`Authenticator falls back to GET when the POST is answered with ${status}`, async () => {
    const world = createWorld({
      credential: { username: "alice", identityToken: "idt" },
      token: (request) => request.method === "POST" ? new Response("no", { status }) : Response.json({ token: "t1" }),
    });
    assertEquals(await get(world), 200);
    assertEquals(world.tokens.map(({ method }) => method), ["POST", "GET"]);
    assertEquals(world.tokens[1]?.authorization, `Basic ${btoa("alice:idt")}`);
  });
}

Deno.test("Authenticator sends a registry token unchanged", async () => {
  const world = createWorld({ credential: { registryToken: "t99" } });
  assertEquals([await get(world), world.tokens.length, world.asked], [200, 0, [null, "Bearer t99"]]);
});

const BAD_TOKENS: [
  name: string,
  answer: Response,
  credential: typeof ALICE | undefined,
  code: string,
  message: string,
][] = [
  ["a wrong password", new Response(null, { status: 401 }), ALICE, "DENIED", "refuses the user name or the password"],
  ["no anonymous access", new Response(null, { status: 403 }), undefined, "DENIED", "does not exist, or needs a login"],
  ["too many requests", new Response(null, { status: 429 }), undefined, "TOOMANYREQUESTS", "limits how often"],
  ["a broken server", new Response(null, { status: 502 }), undefined, "UNAVAILABLE", "answers 502"],
  ["a response that is not JSON", new Response("t1-SECRET"), undefined, "BAD_GATEWAY", "it is not JSON"],
  ["a response without a token", Response.json({ expires_in: 60 }), undefined, "BAD_GATEWAY", "it has no token"],
  ["a token of several lines", Response.json({ token: "a\r\nx: y" }), undefined, "BAD_GATEWAY", "it has no token"],
  [
    "a token that is too large",
    new Response("x".repeat(1024 * 1024 + 1)),
    undefined,
    "BAD_GATEWAY",
    "1048576 bytes allowed",
  ],
];
for (const [name, answer, credential, code, message] of BAD_TOKENS) {
  Deno.test(`Authenticator reports a failed token request: ${name}`, async () => {
    const world = createWorld({ token: answer, credential });
    const error = await assertRejects(() => get(world), RegistryError, message);
    assertEquals(error.code, code);
    assert(!error.message.includes("SECRET"));
    await answer.body?.cancel();
  });
}

const REALMS: [name: string, realm: string, outcome: "withheld" | "refused"][] = [
  ["another domain", "https://auth.evil.example/token", "withheld"],
  ["plain http", "http://auth.example.com/token", "refused"],
  ["a private address", "https://10.0.0.1/token", "refused"],
  ["the metadata service", "https://169.254.169.254/token", "refused"],
];
for (const [name, realm, outcome] of REALMS) {
  Deno.test(`[60] Authenticator sends no credential to a realm at ${name}`, async () => {
    const world = createWorld({ challenge: `Bearer realm="${realm}"`, credential: ALICE });
    if (outcome === "refused") {
      await assertRejects(() => get(world), RegistryError, "Cannot log in to registry.example.com");
      assertEquals(world.tokens.length, 0);
    } else {
      await get(world);
      assertEquals(world.tokens.map(({ authorization }) => authorization), [null]);
      assert(world.auth.withheld?.includes("does not belong to registry.example.com"), world.auth.withheld);
    }
  });
}

Deno.test("[60] Authenticator sends no credential to a realm that resolves to a private address", async () => {
  const world = createWorld({
    credential: ALICE,
    classOf: (url) => url.hostname === "auth.example.com" ? "private" : "public",
  });
  await assertRejects(() => get(world), RegistryError, "auth.example.com is a private address");
  assertEquals(world.tokens.length, 0);
});

for (const challenge of [`Basic realm="x"`, CHALLENGE]) {
  Deno.test(`[60] Authenticator sends no credential to another origin that asks for ${challenge.slice(0, 6)}`, async () => {
    const world = createWorld({ challenge, credential: ALICE, isAccepted: (sent) => sent === "Bearer t1" });
    await get(world, "https://cdn.example.com/v2/team/app/blobs/x");
    assert(!world.asked.some((sent) => sent?.startsWith("Basic")));
    assertEquals(world.tokens.map(({ authorization }) => authorization), challenge === CHALLENGE ? [null] : []);
  });
}
