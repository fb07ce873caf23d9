import { type Challenge, parseChallenges, selectChallenge } from "../../http/challenge.ts";
import { RegistryError } from "../../oci/error.ts";
import type { OnUpstreamEvent } from "../transport/events.ts";
import type { Fetch, Middleware } from "../transport/middleware.ts";
import type { AddressCheck } from "./address_check.ts";
import { whyCredentialWithheld, whyRealmRefused } from "./credential_scope.ts";
import type { Credential } from "./docker_config.ts";
import { formatBasic, requestToken, type Token } from "./token.ts";

/** Options of an `Authenticator`. */
export interface AuthOptions {
  /** The endpoint that the credential belongs to. */
  readonly registry: URL;
  readonly credential?: Credential | undefined;
  /** Sends a request to a token server. */
  readonly tokenFetch: Fetch;
  readonly isPrivate: AddressCheck;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** In milliseconds; see `StallGuard`. */
  readonly stallTimeout: number;
  readonly onEvent?: OnUpstreamEvent | undefined;
}

/** What a request needs authorization for. */
interface AuthTarget {
  readonly url: URL;
  /** The repository; empty for a request outside a repository. */
  readonly repository: string;
}

/** A token, or the pending request for one. */
interface TokenEntry {
  readonly promise: Promise<Token>;
  token?: Token;
}

const REPOSITORY = /^\/v2\/(.+)\/(?:manifests|blobs|tags|referrers)\/[^/]+$/;
const MAX_TOKENS = 1000;

/**
 * Authenticates requests to one endpoint, and does so anonymously for registries that the endpoint redirects to. No
 * credential is sent before a 401 response; its challenge is answered, remembered, and applied in advance to later
 * requests. Tokens are kept per host and repository and renewed before they expire. Concurrent requests share one token
 * request.
 */
export class Authenticator {
  readonly #options: AuthOptions;
  readonly #challenges = new Map<string, Challenge>();
  readonly #tokens = new Map<string, TokenEntry>();
  #withheld: string | undefined;

  constructor(options: AuthOptions) {
    this.#options = options;
  }

  /** The reason why a configured credential was not used. */
  get withheld(): string | undefined {
    return this.#withheld;
  }

  /** The middleware. It sends each request at most twice, and returns the 401 if the second try fails as well. */
  readonly middleware: Middleware = (next) => async (request) => {
    const url = new URL(request.url);
    const target = { url, repository: REPOSITORY.exec(url.pathname)?.[1] ?? "" };
    const known = this.#challenges.get(url.origin);
    const first = known === undefined ? undefined : await this.#answer(known, target, undefined);
    const response = await next(withAuthorization(request, first));
    if (response.status !== 401) return response;

    const challenge = selectChallenge(parseChallenges(response.headers.get("www-authenticate"))) ?? known ??
      await this.#ping(next, url, request.signal);
    if (challenge === undefined) return response;
    this.#challenges.set(url.origin, withoutScope(challenge));
    const second = await this.#answer(challenge, target, first).catch(async (error) => {
      await response.body?.cancel();
      throw error;
    });
    // There is no credential, or the same one was just refused.
    if (second === undefined || (second === first && challenge.scheme === "basic")) return response;
    await response.body?.cancel();
    return await next(withAuthorization(request, second));
  };

  /**
   * Returns the `Authorization` for a challenge; `undefined` when there is no credential.
   *
   * @param refused the value that was just refused
   */
  async #answer(
    challenge: Challenge,
    target: AuthTarget,
    refused: string | undefined,
  ): Promise<string | undefined> {
    if (challenge.scheme === "bearer") return await this.#bearer(challenge, target, refused);
    const { username, password } = this.#credentialFor(target.url) ?? {};
    return password === undefined ? undefined : formatBasic(username ?? "", password);
  }

  async #bearer(challenge: Challenge, target: AuthTarget, refused: string | undefined): Promise<string> {
    const { url, repository } = target;
    const registryToken = this.#credentialFor(url)?.registryToken;
    if (registryToken !== undefined) return `Bearer ${registryToken}`;
    const key = `${url.origin} ${repository}`;
    let entry = this.#tokens.get(key);
    if (entry === undefined || this.#isStale(entry, refused)) {
      entry = { promise: this.#requestToken(challenge, target) };
      this.#keep(key, entry);
    }
    return `Bearer ${(await entry.promise).value}`;
  }

  #isStale({ token }: TokenEntry, refused: string | undefined): boolean {
    return token !== undefined && (this.#options.now() >= token.renewAt || `Bearer ${token.value}` === refused);
  }

  #keep(key: string, entry: TokenEntry): void {
    // The oldest entry is evicted: a Map keeps the order of insertion.
    this.#tokens.delete(key);
    if (this.#tokens.size >= MAX_TOKENS) this.#tokens.delete(this.#tokens.keys().next().value!);
    this.#tokens.set(key, entry);
    entry.promise.then((token) => entry.token = token, () => {
      if (this.#tokens.get(key) === entry) this.#tokens.delete(key);
    });
  }

  async #requestToken(challenge: Challenge, { url, repository }: AuthTarget): Promise<Token> {
    const { registry, isPrivate, onEvent, tokenFetch: fetch, stallTimeout, now } = this.#options;
    const realm = new URL(challenge.parameters.get("realm")!);
    const asker = url.origin === registry.origin ? registry : new URL(url.origin);
    let refused = whyRealmRefused(asker, realm);
    if (
      refused === undefined && realm.hostname !== asker.hostname && await isPrivate(realm) && !await isPrivate(asker)
    ) {
      refused = `${realm.host} resolves to a private address, but ${asker.host} is a public registry`;
    }
    if (refused !== undefined) {
      onEvent?.({ type: "refused", host: asker.host, reason: refused });
      throw new RegistryError("BAD_GATEWAY", `Cannot log in to ${asker.host} with its token server: ${refused}`);
    }
    let credential = this.#credentialFor(url);
    const withheld = credential === undefined ? undefined : whyCredentialWithheld(asker, realm);
    if (withheld !== undefined) {
      this.#withheld = `the credential was not sent to the token server: ${withheld}`;
      onEvent?.({ type: "refused", host: asker.host, reason: this.#withheld });
      credential = undefined;
    }
    // An empty scope means the same as no scope: the client must determine it.
    const scope = challenge.parameters.get("scope") ||
      (repository === "" ? undefined : `repository:${repository}:pull`);
    const service = challenge.parameters.get("service") || undefined;
    return await requestToken({ realm, service, scope, credential, registryHost: asker.host }, {
      fetch,
      stallTimeout,
      now,
    });
  }

  /** Returns the credential only for the origin of the registry, and not for other origins reached by a redirect. */
  #credentialFor(url: URL): Credential | undefined {
    return url.origin === this.#options.registry.origin ? this.#options.credential : undefined;
  }

  /** Reads the challenge of `/v2/`, because some registries send it only there. */
  async #ping(next: Fetch, url: URL, signal: AbortSignal): Promise<Challenge | undefined> {
    if (url.origin !== this.#options.registry.origin || url.pathname === "/v2/") return undefined;
    const headers = { "accept-encoding": "identity" };
    const response = await next(new Request(new URL("/v2/", url), { headers, signal, redirect: "manual" }));
    await response.body?.cancel();
    if (response.status !== 401) return undefined;
    return selectChallenge(parseChallenges(response.headers.get("www-authenticate")));
  }
}

/** Removes the scope of a challenge, so that the rest applies to other repositories too. */
function withoutScope({ scheme, parameters }: Challenge): Challenge {
  return { scheme, parameters: new Map([...parameters].filter(([name]) => name !== "scope")) };
}

function withAuthorization(request: Request, authorization: string | undefined): Request {
  if (authorization === undefined) return request;
  const headers = new Headers(request.headers);
  headers.set("authorization", authorization);
  return new Request(request, { headers });
}
