import { CorruptError, RegistryError } from "../../oci/error.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";
import { readBoundedBody } from "../transport/bounded_body.ts";
import type { Fetch } from "../transport/middleware.ts";
import type { Credential } from "./docker_config.ts";

/** What a token server is asked for. */
export interface TokenRequest {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: string | undefined;
  /** Absent: an anonymous token is asked for. */
  readonly credential: Credential | undefined;
  /** The registry's host, for the error. */
  readonly registryHost: string;
  readonly signal?: AbortSignal | undefined;
}

/** What requesting tokens needs from outside. */
export interface TokenOptions {
  readonly fetch: Fetch;
  readonly stallTimeout: number;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
}

/** A bearer token. */
export interface Token {
  readonly value: string;
  /** On the monotonic clock, in milliseconds, when it should be renewed. */
  readonly renewAt: number;
}

const MAX_TOKEN_BYTES = 1024 * 1024;
// Distribution's token specification: a client may count on 60 s, whatever is said.
const MIN_LIFE_SECONDS = 60;
const MAX_LIFE_SECONDS = 24 * 60 * 60;
// A token is renewed this part of its life before it ends: a request under way must not outlive it.
const RENEWAL_MARGIN = 0.15;
const OAUTH_FALLBACK = new Set([400, 401, 404, 405]);
const CLIENT_ID = "crpe";

/** The `Authorization` of a user name and a password (RFC 7617, UTF-8). */
export function formatBasic(username: string, password: string): string {
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  return `Basic ${btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))}`;
}

/**
 * Gets a bearer token (distribution's "Token Authentication Specification" and "Oauth2 Token Authentication").
 *
 * @throws {RegistryError} `DENIED` with status 404 when the login or the access is refused
 */
export async function requestToken(request: TokenRequest, options: TokenOptions): Promise<Token> {
  const askedAt = options.now();
  const response = await askByOauth(request, options.fetch) ?? await askByGet(request, options.fetch);
  if (!response.ok) {
    await response.body?.cancel();
    throw errorOfTokenStatus(request, response.status);
  }
  const what = `the token of ${request.realm.host}`;
  const { stallTimeout, now } = options;
  const bytes = await readBoundedBody(response, { maxBytes: MAX_TOKEN_BYTES, what, stallTimeout, now });
  const { value, life } = parseToken(bytes, what);
  return { value, renewAt: askedAt + life * 1000 * (1 - RENEWAL_MARGIN) };
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
  // Servers of the first kind know no POST, and say so in many ways.
  if (!OAUTH_FALLBACK.has(response.status)) return response;
  await response.body?.cancel();
  return undefined;
}

function askByGet(request: TokenRequest, fetch: Fetch): Promise<Response> {
  const { realm, service, scope, credential, signal } = request;
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set("service", service);
  if (scope !== undefined) url.searchParams.set("scope", scope);
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
  let json: unknown;
  try {
    json = parseJson(bytes, what, { maxBytes: MAX_TOKEN_BYTES, maxDepth: 32 });
  } catch (error) {
    // The reason that the JSON parser gives quotes the text, which may be most of a token.
    if (error instanceof CorruptError) throw new RegistryError("BAD_GATEWAY", `Cannot read ${what}: it is no JSON`);
    throw error;
  }
  const { token, access_token, expires_in } = isJsonObject(json) ? json : {};
  const value = [token, access_token].find((text) => typeof text === "string" && text !== "");
  if (typeof value !== "string" || !/^[\x21-\x7e]+$/.test(value)) {
    throw new RegistryError("BAD_GATEWAY", `Cannot read ${what}: it has no token`);
  }
  const seconds = typeof expires_in === "number" && expires_in > 0 ? expires_in : MIN_LIFE_SECONDS;
  return { value, life: Math.min(Math.max(seconds, MIN_LIFE_SECONDS), MAX_LIFE_SECONDS) };
}

function errorOfTokenStatus(request: TokenRequest, status: number): RegistryError {
  const { realm, registryHost, credential } = request;
  const asked = `Cannot log in to ${registryHost}`;
  if (status === 401 || status === 403) {
    const reason = credential === undefined
      ? `${realm.host} gives no token without a login: the image does not exist, or needs one`
      : `${realm.host} refuses the user name or the password (or token)`;
    // 404: a mirror's client is to go on to the next host at once.
    return new RegistryError("DENIED", `${asked}: ${reason}`, { status: 404 });
  }
  if (status === 429) return new RegistryError("TOOMANYREQUESTS", `${asked}: ${realm.host} is asked too often`);
  const reason = `${realm.host} answers ${status}`;
  return new RegistryError(status >= 500 ? "UNAVAILABLE" : "BAD_GATEWAY", `${asked}: ${reason}`);
}
