import { RegistryError } from "../../../../lib/oci/error.ts";
import type { Fetch } from "../../../../lib/upstream/transport/middleware.ts";
import { TransportError } from "../../../../lib/upstream/transport/transport_error.ts";
import { Authenticator } from "../../../../lib/upstream/trust/authenticator.ts";
import type { Credential } from "../../../../lib/upstream/trust/docker_config.ts";
import { classifyHost } from "../../../../lib/upstream/trust/private_address.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";

// How each registry logs in, as it was observed. A row is a registry and what must hold.

/** The state of a registry, which a step may change. */
interface State {
  /** The tokens that the registry accepts end in this number. */
  era: number;
  credential: Credential | undefined;
  /** Milliseconds of the monotonic clock. */
  time: number;
  mode: string;
}

/** A request, as a registry sees it. */
interface Seen {
  readonly method: string;
  readonly url: URL;
  readonly authorization: string;
  readonly body: string;
  readonly state: State;
}

interface Quirk {
  readonly name: string;
  readonly registry: string;
  readonly credential?: Credential;
  readonly tokenHosts?: readonly string[];
  /** Answers a request to the registry; `undefined`: it is accepted. */
  readonly serve: (seen: Seen) => Response | undefined;
  /** Answers a request to a token server; an error is thrown. */
  readonly token?: (seen: Seen) => Response | Error;
  /** Changes the state before a request, or not, and the trace that is expected then. */
  readonly steps: readonly (readonly [change: (state: State) => void, repository: string, trace: string])[];
}

const ALICE = { username: "alice", password: "secret" };
const SAME = () => {};
const basic = (user: string, password: string) => `Basic ${btoa(`${user}:${password}`)}`;
const refuse = (challenge?: string) =>
  new Response("no", { status: 401, headers: challenge === undefined ? {} : { "www-authenticate": challenge } });
/** Issues tokens that name their era, and the user they were issued to. */
const issue = ({ state, authorization }: Seen) =>
  Response.json({ token: `${authorization === "" ? "anonymous" : "user"}-${state.era}`, expires_in: 300 });
/** Accepts tokens of the era. */
const withToken = (challenge: string | ((seen: Seen) => string)) => (seen: Seen) =>
  seen.authorization.startsWith("Bearer ") && seen.authorization.endsWith(`-${seen.state.era}`)
    ? undefined
    : refuse(typeof challenge === "string" ? challenge : challenge(seen));
const repositoryOf = ({ url }: Seen) => /^\/v2\/(.+)\/manifests\//.exec(url.pathname)?.[1];

const HUB = 'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"';
const QUIRKS: readonly Quirk[] = [
  {
    name: "Docker Hub: an anonymous token for each repository",
    registry: "https://registry-1.docker.io",
    serve: withToken((seen) => `${HUB},scope="repository:${repositoryOf(seen)}:pull"`),
    token: issue,
    steps: [
      [SAME, "library/nginx", "- 401, token auth.docker.io repository:library/nginx:pull, anonymous-1 200"],
      [SAME, "library/nginx", "anonymous-1 200"],
      [SAME, "library/redis", "token auth.docker.io repository:library/redis:pull, anonymous-1 200"],
    ],
  },
  {
    name: "Docker Hub: public images stay available with a wrong or expired password",
    registry: "https://registry-1.docker.io",
    credential: ALICE,
    serve: withToken(HUB),
    token: (seen) => seen.authorization === "" ? issue(seen) : refuse(),
    steps: [[
      SAME,
      "a",
      "- 401, token auth.docker.io repository:a:pull alice:secret, token auth.docker.io repository:a:pull, anonymous-1 200",
    ]],
  },
  {
    name: "GHCR: the scope of /v2/ is an example and not used, and an expired token is answered with 403",
    registry: "https://ghcr.io",
    credential: ALICE,
    serve: (seen) => {
      if (seen.url.pathname === "/v2/") {
        return refuse('Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:user/image:pull"');
      }
      if (seen.authorization === "") return refuse();
      return seen.authorization === `Bearer user-${seen.state.era}` ? undefined : new Response("no", { status: 403 });
    },
    token: issue,
    steps: [
      [SAME, "o/app", "- 401, ping 401, token ghcr.io repository:o/app:pull alice:secret, user-1 200"],
      [(state) => state.era = 2, "o/app", "user-1 403, token ghcr.io repository:o/app:pull alice:secret, user-2 200"],
    ],
  },
  {
    name: "GHCR: a repository that a login may not read is asked for once with each token",
    registry: "https://ghcr.io",
    credential: ALICE,
    serve: (seen) => {
      if (seen.authorization === "") return refuse('Bearer realm="https://ghcr.io/token",service="ghcr.io"');
      return repositoryOf(seen) === "o/secret" ? new Response("no", { status: 403 }) : undefined;
    },
    token: issue,
    steps: [
      [SAME, "o/app", "- 401, token ghcr.io repository:o/app:pull alice:secret, user-1 200"],
      [SAME, "o/secret", "token ghcr.io repository:o/secret:pull alice:secret, user-1 403"],
      [SAME, "o/secret", "user-1 403"],
    ],
  },
  {
    name: "GitLab: the token server is another host of the domain, and the scope has a quoted comma",
    registry: "https://registry.gitlab.com",
    credential: ALICE,
    serve: withToken(
      'Bearer realm="https://gitlab.com/jwt/auth",service="container_registry",scope="repository:g/p:pull,push"',
    ),
    token: issue,
    steps: [
      [SAME, "g/p", "- 401, token gitlab.com repository:g/p:pull,push alice:secret, user-1 200"],
      [SAME, "g/q", "token gitlab.com repository:g/q:pull alice:secret, user-1 200"],
    ],
  },
  {
    name: "quay: the challenge has no scope",
    registry: "https://quay.io",
    serve: withToken('Bearer realm="https://quay.io/v2/auth",service="quay.io"'),
    token: issue,
    steps: [[SAME, "o/app", "- 401, token quay.io repository:o/app:pull, anonymous-1 200"]],
  },
  {
    name: "ECR: Basic only, with a password of 12 hours that a helper renews in a file",
    registry: "https://1234.dkr.ecr.eu-west-1.amazonaws.com",
    credential: { username: "AWS", password: "pw-1" },
    serve: ({ authorization, state }) =>
      authorization === basic("AWS", `pw-${state.era}`) ? undefined : refuse('Basic realm="https://1234.dkr.ecr/"'),
    steps: [
      [SAME, "a", "- 401, AWS:pw-1 200"],
      [SAME, "b", "AWS:pw-1 200"],
      // The password has expired, and is not sent again for this request.
      [(state) => state.era = 2, "b", "AWS:pw-1 401, - 401"],
      [(state) => state.credential = { username: "AWS", password: "pw-2" }, "b", "- 401, AWS:pw-2 200"],
      [(state) => (state.era = 3, state.credential = { username: "AWS", password: "pw-3" }), "b", "AWS:pw-3 200"],
    ],
  },
  {
    name: "ECR Public: Basic is refused before it is asked for, and one scope is for all",
    registry: "https://public.ecr.aws",
    credential: { username: "AWS", password: "pw" },
    serve: (seen) =>
      seen.authorization.startsWith("Basic")
        ? new Response("no", { status: 400 })
        : withToken('Bearer realm="https://public.ecr.aws/token/",service="public.ecr.aws",scope="aws"')(seen),
    token: issue,
    steps: [
      [SAME, "a/b", "- 401, token public.ecr.aws aws AWS:pw, user-1 200"],
      [SAME, "c/d", "token public.ecr.aws aws AWS:pw, user-1 200"],
    ],
  },
  {
    name: "Artifact Registry: a service account's key as the password",
    registry: "https://europe-docker.pkg.dev",
    credential: { username: "_json_key", password: '{"type":"service_account"}' },
    serve: withToken('Bearer realm="https://europe-docker.pkg.dev/v2/token",service="europe-docker.pkg.dev"'),
    token: issue,
    steps: [[
      SAME,
      "p/r/i",
      '- 401, token europe-docker.pkg.dev repository:p/r/i:pull _json_key:{"type":"service_account"}, user-1 200',
    ]],
  },
  {
    name: "ACR: an identity token is exchanged with a POST",
    registry: "https://acme.azurecr.io",
    credential: { username: "00000000-0000-0000-0000-000000000000", identityToken: "refresh" },
    serve: withToken(
      'Bearer realm="https://acme.azurecr.io/oauth2/token",service="acme.azurecr.io",scope="repository:a:pull"',
    ),
    token: ({ method, body, state }) => {
      const form = new URLSearchParams(body);
      const isRight = method === "POST" && form.get("grant_type") === "refresh_token" &&
        form.get("refresh_token") === "refresh";
      return isRight ? Response.json({ access_token: `user-${state.era}` }) : refuse();
    },
    steps: [[SAME, "a", "- 401, token acme.azurecr.io repository:a:pull, user-1 200"]],
  },
  {
    name: "nvcr.io: an expired anonymous token leads to a token server that wants a login",
    registry: "https://nvcr.io",
    serve: withToken(({ authorization }) =>
      authorization === ""
        ? 'Bearer realm="https://nvcr.io/proxy_auth",scope="repository:nvidia/cuda:pull"'
        : 'Bearer realm="https://authn.nvidia.com/token",service="registry",error="invalid_token"'
    ),
    token: (seen) => seen.url.host === "nvcr.io" ? issue(seen) : refuse(),
    steps: [
      [SAME, "nvidia/cuda", "- 401, token nvcr.io repository:nvidia/cuda:pull, anonymous-1 200"],
      [
        (state) => state.era = 2,
        "nvidia/cuda",
        "anonymous-1 401, - 401, token nvcr.io repository:nvidia/cuda:pull, anonymous-2 200",
      ],
      [SAME, "nvidia/cuda", "anonymous-2 200"],
    ],
  },
  {
    name: "Harbor: 401 without a challenge, and a token server on its own host",
    registry: "https://harbor.example.com",
    credential: ALICE,
    serve: (seen) => {
      if (seen.url.pathname === "/v2/") {
        return refuse('Bearer realm="https://harbor.example.com/service/token",service="harbor-registry"');
      }
      return seen.authorization === `Bearer user-${seen.state.era}` ? undefined : refuse();
    },
    token: issue,
    steps: [
      [SAME, "l/app", "- 401, ping 401, token harbor.example.com repository:l/app:pull alice:secret, user-1 200"],
      [SAME, "l/app", "user-1 200"],
      [
        (state) => state.era = 2,
        "l/app",
        "user-1 401, - 401, ping 401, token harbor.example.com repository:l/app:pull alice:secret, user-2 200",
      ],
    ],
  },
  {
    name: "Harbor behind a proxy: a relative realm is on the registry",
    registry: "https://harbor.example.com:8443",
    serve: withToken('Bearer realm="/service/token",service="harbor-registry"'),
    token: issue,
    steps: [[SAME, "l/app", "- 401, token harbor.example.com:8443 repository:l/app:pull, anonymous-1 200"]],
  },
  {
    name: "Nexus: Basic and Bearer are offered together, and anonymous access is turned on later",
    registry: "https://nexus.example.com",
    credential: ALICE,
    serve: (seen) =>
      seen.state.mode === "open" && seen.authorization === "" ? undefined : withToken(
        'BASIC realm="Sonatype Nexus Repository Manager", Bearer realm="https://nexus.example.com/v2/token",service="https://nexus.example.com/v2/token"',
      )(seen),
    token: (seen) => seen.state.mode === "open" ? new Response("gone", { status: 404 }) : issue(seen),
    steps: [
      [SAME, "app", "- 401, token nexus.example.com repository:app:pull alice:secret, user-1 200"],
      [
        (state) => (state.mode = "open", state.era = 2),
        "app",
        "user-1 401, token nexus.example.com repository:app:pull alice:secret, - 200",
      ],
      [SAME, "other", "- 200"],
    ],
  },
  {
    name: "Alibaba: the token server is of another domain that is known",
    registry: "https://acme-registry.cn-shanghai.cr.aliyuncs.com",
    credential: ALICE,
    serve: withToken(
      'Bearer realm="https://dockerauth-ee.cn-shanghai.aliyuncs.com/auth",service="registry.aliyuncs.com:cn-shanghai:1"',
    ),
    token: issue,
    steps: [[
      SAME,
      "n/app",
      "- 401, token dockerauth-ee.cn-shanghai.aliyuncs.com repository:n/app:pull alice:secret, user-1 200",
    ]],
  },
  {
    name: "Alibaba under an own domain: the configuration names the token server",
    registry: "https://images.example.cn",
    credential: ALICE,
    tokenHosts: ["dockerauth.cn-shanghai.aliyuncs.com"],
    serve: withToken('Bearer realm="https://dockerauth.cn-shanghai.aliyuncs.com/auth",service="s"'),
    token: issue,
    steps: [[
      SAME,
      "n/app",
      "- 401, token dockerauth.cn-shanghai.aliyuncs.com repository:n/app:pull alice:secret, user-1 200",
    ]],
  },
  {
    name: "any registry: the token server has moved",
    registry: "https://registry.example.com",
    serve: withToken(({ state }) => `Bearer realm="https://auth${state.era}.example.com/token"`),
    token: (seen) => seen.url.host === `auth${seen.state.era}.example.com` ? issue(seen) : new Error("refused"),
    steps: [
      [SAME, "a", "- 401, token auth1.example.com repository:a:pull, anonymous-1 200"],
      [
        (state) => state.era = 2,
        "a",
        "anonymous-1 401, - 401, token auth2.example.com repository:a:pull, anonymous-2 200",
      ],
      [
        (state) => state.era = 3,
        "b",
        "token auth2.example.com repository:b:pull, - 401, token auth3.example.com repository:b:pull, anonymous-3 200",
      ],
    ],
  },
  {
    name: "any registry: one bad 401 names a token server that does not exist",
    registry: "https://registry.example.com",
    serve: ({ state }) => state.mode === "bad" ? refuse('Bearer realm="https://auth.example.com/token"') : undefined,
    token: () => new Error("refused"),
    steps: [
      [(state) => state.mode = "bad", "a", "- 401, token auth.example.com repository:a:pull, UNAVAILABLE"],
      [(state) => state.mode = "good", "a", "- 200"],
    ],
  },
  {
    name: "any registry: a token server that is dead is asked once for a request, and again for the next one",
    registry: "https://registry.example.com",
    serve: withToken('Bearer realm="https://auth.example.com/token"'),
    token: (seen) => seen.state.mode === "dead" ? new Error("refused") : issue(seen),
    steps: [
      [SAME, "a", "- 401, token auth.example.com repository:a:pull, anonymous-1 200"],
      [(state) => state.mode = "dead", "b", "token auth.example.com repository:b:pull, - 401, UNAVAILABLE"],
      [(state) => state.mode = "", "b", "- 401, token auth.example.com repository:b:pull, anonymous-1 200"],
    ],
  },
  {
    name: "any registry: a failure of the registry is no proof of a login",
    registry: "https://registry.example.com",
    serve: (seen) =>
      seen.authorization === ""
        ? refuse('Bearer realm="https://auth.example.com/token"')
        : new Response("", { status: 502 }),
    token: issue,
    steps: [
      [SAME, "a", "- 401, token auth.example.com repository:a:pull, anonymous-1 502"],
      [SAME, "a", "- 401, anonymous-1 502"],
    ],
  },
  {
    name: "any registry: repositories with and without a login do not disturb each other",
    registry: "https://registry.example.com",
    serve: (seen) =>
      repositoryOf(seen) === "public" || seen.authorization === basic("alice", "secret") ? undefined : refuse("Basic"),
    steps: [
      [(state) => state.credential = ALICE, "private", "- 401, alice:secret 200"],
      [(state) => state.credential = undefined, "public", "- 200"],
      [(state) => state.credential = ALICE, "private", "alice:secret 200"],
    ],
  },
];

for (const quirk of QUIRKS) {
  Deno.test(`[72] Authenticator: ${quirk.name}`, async () => {
    const { trace, get, state } = openRegistry(quirk);
    for (const [change, repository, expected] of quirk.steps) {
      change(state);
      trace.length = 0;
      await get(repository);
      assertEquals(trace.join(", "), expected);
    }
  });
}

Deno.test("[72] Authenticator names the token server that cannot be reached", async () => {
  const { request } = openRegistry({
    name: "",
    registry: "https://registry.example.com",
    serve: withToken('Bearer realm="https://auth.example.com/token"'),
    token: () => new Error("refused"),
    steps: [],
  });
  const error = await assertRejects(() => request("a"), RegistryError);
  assertEquals(error.code, "UNAVAILABLE");
  assertStringIncludes(error.message, "registry.example.com: its token server auth.example.com cannot be reached");
});

Deno.test("[72] Authenticator asks for the token server's host when the credential is withheld", async () => {
  const { get, auth } = openRegistry({
    name: "",
    registry: "https://registry.example.com",
    credential: ALICE,
    serve: withToken('Bearer realm="https://auth.vendor.example/token"'),
    token: issue,
    steps: [],
  });
  await get("a");
  assertStringIncludes(auth.withheld ?? "", "name it in token-hosts of the configuration");
});

/** Opens a registry; the trace has the authorization and the status of each request, and the requests for tokens. */
function openRegistry({ registry, credential, tokenHosts, serve, token }: Quirk) {
  const state: State = { era: 1, credential, time: 0, mode: "" };
  const trace: string[] = [];
  const look = async (request: Request): Promise<Seen> => ({
    method: request.method,
    url: new URL(request.url),
    authorization: request.headers.get("authorization") ?? "",
    body: await request.text(),
    state,
  });
  const next: Fetch = async (request) => {
    const seen = await look(request);
    const response = serve(seen) ?? new Response("ok");
    const what = seen.url.pathname === "/v2/" ? "ping" : show(seen.authorization);
    trace.push(`${what} ${response.status}`);
    return response;
  };
  const auth = new Authenticator({
    registry: new URL(registry),
    credentialFor: () => state.credential,
    tokenHosts,
    checkAddress: (url) => Promise.resolve({ class: classifyHost(url.hostname), isResolved: true }),
    now: () => state.time,
    stallTimeout: 1000,
    tokenFetch: async (request) => {
      const seen = await look(request);
      const scope = seen.url.searchParams.get("scope") ?? new URLSearchParams(seen.body).get("scope");
      const login = seen.authorization === "" ? [] : [show(seen.authorization)];
      trace.push(["token", seen.url.host, scope, ...login].join(" "));
      const answer = token?.(seen) ?? new Error("refused");
      if (answer instanceof Error) throw new TransportError("refused", "the connection was refused");
      return answer;
    },
  });
  const request = async (repository: string) => {
    const response = await auth.forRepository(repository)(next)(
      new Request(`${registry}/v2/${repository}/manifests/1`),
    );
    await response.body?.cancel();
  };
  const get = async (repository: string) => {
    try {
      await request(repository);
    } catch (error) {
      trace.push((error as RegistryError).code);
    }
  };
  return { state, trace, get, request, auth };
}

function show(authorization: string): string {
  const [scheme, value = ""] = authorization.split(" ");
  if (scheme === "") return "-";
  return scheme === "Basic" ? atob(value) : value;
}
