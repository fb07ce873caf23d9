import { DeniedError } from "./denied_error.ts";
import { cannot, RegistryError, unlessCorrupt } from "../../oci/error.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";
import { readBoundedBody } from "../transport/bounded_body.ts";
import type { Fetch } from "../transport/middleware.ts";
import { TransportError } from "../transport/transport_error.ts";
import type { Credential } from "./docker_config.ts";
import { LoginError } from "./login_error.ts";

/** A request for a token. */
interface TokenRequest {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: string | undefined;
  /** `undefined`: an anonymous token is requested. */
  readonly credential: Credential | undefined;
  /** The host of the registry, for error messages. */
  readonly registryHost: string;
  readonly signal?: AbortSignal | undefined;
}

/** Options of `requestToken`. */
interface TokenOptions {
  readonly fetch: Fetch;
  /** In milliseconds; see `StallGuard`. */
  readonly stallTimeout: number;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
}

/** A bearer token. */
export interface Token {
  readonly value: string;
  /** When the token should be renewed: a time of the monotonic clock, in milliseconds. */
  readonly renewAt: number;
}

const MAX_TOKEN_BYTES = 1024 * 1024;
// Distribution's token specification: a token is valid for at least 60 s, whatever the response states.
const MIN_LIFE_SECONDS = 60;
const MAX_LIFE_SECONDS = 24 * 60 * 60;
// A token is renewed when this fraction of its lifetime is left, so that it does not expire during a request.
const RENEWAL_MARGIN = 0.15;
const OAUTH_FALLBACK = new Set([400, 401, 404, 405]);
const CLIENT_ID = "crpe";
const MAX_TRIES = 2;

/** Formats an `Authorization` header of the Basic scheme (RFC 7617, with UTF-8). */
export function formatBasic(username: string, password: string): string {
  return `Basic ${new TextEncoder().encode(`${username}:${password}`).toBase64()}`;
}

/**
 * Requests a bearer token (distribution, "Token Authentication Specification" and "Oauth2 Token Authentication"). One whose
 * transfer is cut is requested once more; one that stalls would take as long again.
 *
 * @throws {RegistryError} `DENIED` with status 404 when the login or the access is refused; `TOOMANYREQUESTS`,
 *   `UNAVAILABLE` or `BAD_GATEWAY` for any other failure of the token server
 */
export async function requestToken(request: TokenRequest, options: TokenOptions): Promise<Token> {
  const what = `the token of ${request.realm.host}`;
  const { stallTimeout, now, fetch } = options;
  for (let tries = 1;; tries++) {
    const requestedAt = now();
    const response = await askByOauth(request, fetch) ?? await askByGet(request, fetch);
    if (!response.ok) {
      await response.body?.cancel();
      throw errorOfTokenStatus(request, response.status);
    }
    try {
      const bytes = await readBoundedBody(response, { maxBytes: MAX_TOKEN_BYTES, what, stallTimeout, now });
      const { value, life } = parseToken(bytes, what);
      return { value, renewAt: requestedAt + life * 1000 * (1 - RENEWAL_MARGIN) };
    } catch (error) {
      const isCut = error instanceof TransportError && error.failure === "cut";
      if (!isCut || tries >= MAX_TRIES) throw error;
    }
  }
}

async function askByOauth(request: TokenRequest, fetch: Fetch): Promise<Response | undefined> {
  const { realm, service, scope, credential, signal } = request;
  if (credential?.identityToken === undefined) return undefined;
  const form = new URLSearchParams({ grant_type: "refresh_token", client_id: CLIENT_ID });
  if (scope !== undefined) form.set("scope", scope);
  if (service !== undefined) form.set("service", service);
  form.set("refresh_token", credential.identityToken);
  const headers = {
    "accept": "application/json",
    "accept-encoding": "identity",
    "content-type": "application/x-www-form-urlencoded",
  };
  const response = await fetch(new Request(realm, { method: "POST", headers, body: form.toString(), signal }));
  // Servers that support only GET answer a POST with any of these statuses.
  if (!OAUTH_FALLBACK.has(response.status)) return response;
  await response.body?.cancel();
  return undefined;
}

function askByGet(request: TokenRequest, fetch: Fetch): Promise<Response> {
  const { realm, service, scope, credential, signal } = request;
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set("service", service);
  // Several scopes are several parameters.
  for (const each of scope?.split(" ") ?? []) url.searchParams.append("scope", each);
  const headers = new Headers({ "accept": "application/json", "accept-encoding": "identity" });
  const secret = credential?.password ?? credential?.identityToken;
  if (secret !== undefined) {
    const username = credential?.username ?? (credential?.identityToken === undefined ? "" : "<token>");
    headers.set("authorization", formatBasic(username, secret));
    if (username !== "" && username !== "<token>") url.searchParams.set("account", username);
  }
  return fetch(new Request(url, { headers, signal }));
}

function parseToken(bytes: Uint8Array, what: string): { value: string; life: number } {
  const json = unlessCorrupt(() => parseJson(bytes, what, { maxBytes: MAX_TOKEN_BYTES, maxDepth: 32 }));
  // The reason of the JSON parser is omitted: it may quote a part of the token.
  if (json === undefined) throw new RegistryError("BAD_GATEWAY", cannot(`read ${what}`, "it is not JSON"));
  const { token, access_token, expires_in } = isJsonObject(json) ? json : {};
  const value = [token, access_token].find((text) => typeof text === "string" && text !== "");
  if (typeof value !== "string" || !/^[\x21-\x7e]+$/.test(value)) {
    throw new RegistryError("BAD_GATEWAY", cannot(`read ${what}`, "it has no token"));
  }
  const seconds = typeof expires_in === "number" && expires_in > 0 ? expires_in : MIN_LIFE_SECONDS;
  return { value, life: Math.min(Math.max(seconds, MIN_LIFE_SECONDS), MAX_LIFE_SECONDS) };
}

function errorOfTokenStatus(request: TokenRequest, status: number): RegistryError {
  const { realm, registryHost, credential } = request;
  const fail = (reason: string) => cannot(`log in to ${registryHost}`, reason);
  if (status === 401 || status === 403) {
    const reason = credential === undefined
      ? `${realm.host} issues no token without a login: the image does not exist, or needs a login`
      : `${realm.host} refuses the user name or the password (or token)`;
    return new DeniedError(fail(reason), { isLoginRefused: credential !== undefined });
  }
  if (status === 429) {
    return new RegistryError("TOOMANYREQUESTS", fail(`${realm.host} limits how often a token can be requested`));
  }
  const reason = `${realm.host} answers ${status}`;
  return status >= 500 ? new LoginError(fail(reason)) : new RegistryError("BAD_GATEWAY", fail(reason));
}
