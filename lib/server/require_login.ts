import { cannot, RegistryError } from "../oci/error.ts";
import { normalizeHost, splitRepository } from "../oci/reference.ts";
import { respondError } from "../registry/answer.ts";
import { matchRoute, type Route } from "../registry/route.ts";
import type { Login } from "./htpasswd.ts";

/** Options of `createLoginCheck`. */
interface LoginCheckOptions {
  /**
   * Checks a user and a password.
   *
   * @param client the address of the client
   * @throws {RegistryError} `UNAVAILABLE`, when too many checks are waiting
   */
  readonly check: (login: Login, client?: string) => Promise<boolean>;
  /** The hosts whose repositories need a login. If empty, every request to the registry needs one. */
  readonly privateHosts: readonly string[];
}

/** The outcome of a check: the response to refuse with, or headers to add to the response of the registry. */
type LoginVerdict = { readonly refusal: Response } | { readonly headers: Readonly<Record<string, string>> };

// RFC 7617. The realm is shown by browsers.
const CHALLENGE = { "www-authenticate": 'Basic realm="crpe", charset="UTF-8"' } as const;
const MAX_HEADER_LENGTH = 4096;

/**
 * Creates the check of logins for a registry. Requests that do not belong to the registry's API (`/healthz`) need none.
 */
export function createLoginCheck(
  { check, privateHosts }: LoginCheckOptions,
): (request: Request, client?: string) => Promise<LoginVerdict> {
  const hosts = new Set(privateHosts.map(withoutDefaultPort));
  return async (request, client) => {
    const { method } = request;
    const place = placeOf(request.url);
    if (place === "open") return { headers: {} };
    const login = parseBasic(request.headers.get("authorization"));
    if (login === "malformed") return { refusal: refuse(method, "the header Authorization is not a Basic login") };
    if (login !== undefined) {
      try {
        if (await check(login, client)) return { headers: {} };
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error;
        return { refusal: respondError(error, method) };
      }
      return { refusal: refuse(method, "the user name or the password is wrong") };
    }
    const isPrivate = hosts.size === 0 || place === "all" ||
      typeof place === "object" && hosts.has(withoutDefaultPort(place.host));
    if (isPrivate) return { refusal: refuse(method, "it needs a login", "use docker login or its like") };
    // Clients log in because of this response, if at all: podman reads the challenge of a success too.
    return { headers: place === "ping" ? CHALLENGE : {} };
  };
}

/**
 * Returns what a request is about: the repositories of a host, `all` repositories, the version check (`ping`), or what
 * is `open` to all clients. The URL is read by the same function as in the registry, so that both see the same.
 */
function placeOf(url: string): { readonly host: string } | "all" | "ping" | "open" {
  let route: Route | undefined;
  try {
    route = matchRoute(url);
  } catch {
    // The registry refuses such a request.
    return "ping";
  }
  // Not part of the registry API, which responds with 404.
  if (route === undefined) return "open";
  switch (route.kind) {
    case "health":
    case "root":
      return "open";
    case "catalog":
      return "all";
    case "ping": {
      const host = route.ns ?? route.host;
      return host === undefined ? "ping" : { host };
    }
    default:
      return { host: splitRepository(route.repo).host };
  }
}

// Of a host without a dot, repositories are kept under two names, `reg` and `reg:443`, which are one registry.
function withoutDefaultPort(host: string): string {
  return normalizeHost(host).replace(/:(?:443|80)$/, "");
}

function parseBasic(header: string | null): Login | "malformed" | undefined {
  if (header === null || header === "") return undefined;
  const [, encoded] = /^basic +([A-Za-z0-9+/=_-]+) *$/i.exec(header) ?? [];
  if (encoded === undefined || header.length > MAX_HEADER_LENGTH) return "malformed";
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.fromBase64(encoded));
    const colon = text.indexOf(":");
    if (colon < 0) return "malformed";
    const login = { user: text.slice(0, colon), password: text.slice(colon + 1) };
    // Some clients answer a challenge with an empty login if they have none.
    return login.user === "" && login.password === "" ? undefined : login;
  } catch {
    return "malformed";
  }
}

function refuse(method: string, reason: string, advice?: string): Response {
  const error = new RegistryError("UNAUTHORIZED", cannot("answer", reason, advice));
  return respondError(error, method, { ...CHALLENGE, "docker-distribution-api-version": "registry/2.0" });
}
