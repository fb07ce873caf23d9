import { type Challenge, parseChallenges, selectChallenge } from "../../http/challenge.ts";
import type { RegistryError } from "../../oci/error.ts";
import type { Fetch, Middleware } from "../transport/middleware.ts";
import type { Credential } from "./docker_config.ts";
import { formatBasic } from "./token.ts";
import { type Authorization, serverOf, TokenSource, type TokenSourceOptions } from "./token_source.ts";

/** Options of an `Authenticator`. */
export interface AuthOptions extends TokenSourceOptions {
  /**
   * Returns the credential for a repository of the registry. It is called for each request, because the file that it is
   * read from may change.
   *
   * @param repository the name on the registry; empty for a request outside a repository
   */
  readonly credentialFor?: ((repository: string) => Credential | undefined) | undefined;
}

/** A request that needs authorization. */
interface Login {
  readonly next: Fetch;
  readonly request: Request;
  readonly url: URL;
  /** The repository; empty for a request outside a repository. */
  readonly repository: string;
  /** Values of `Authorization` that were refused for this request. */
  readonly refused: Set<string>;
  /** Whether a credential is configured; known once a challenge is answered. */
  hasCredential: boolean;
}

/** A token server that has failed for a request. */
interface Failure {
  readonly server: string;
  readonly error: unknown;
}

const REPOSITORY = /^\/v2\/(.+)\/(?:manifests|blobs|tags|referrers)\/[^/]+$/;
const MAX_CHALLENGES = 100;
const MAX_DENIED = 1000;

/**
 * Authenticates requests to one endpoint, and does so anonymously for registries that the endpoint redirects to.
 *
 * A request is first sent without a credential, and the challenge of its 401 response is answered. A challenge is
 * remembered only after its answer was accepted; later requests are then authorized in advance. When such a request is
 * refused, its token is renewed once, and if that does not help, everything that was remembered is dropped and the
 * request starts again without a credential. So a registry that moves its token server, or needs no login any more, is
 * usable at once (fault 72).
 */
export class Authenticator {
  readonly #options: AuthOptions;
  readonly #tokens: TokenSource;
  readonly #proven = new Map<string, Challenge>();
  // The authorization with which a repository was denied (403), although it was new.
  readonly #denied = new Map<string, string>();

  constructor(options: AuthOptions) {
    this.#options = options;
    this.#tokens = new TokenSource(options);
  }

  /** The reason why a configured credential was not used. */
  get withheld(): string | undefined {
    return this.#tokens.withheld;
  }

  /** The error of the token server when it refused the credential the last time that it was sent. */
  get refusedLogin(): RegistryError | undefined {
    return this.#tokens.refusedLogin;
  }

  /**
   * Returns the middleware for requests about a repository. It sends a request at most twice as long as no login has
   * worked, and at most twice more after one did; then it returns the 401.
   *
   * @param path the name of the repository on the registry; empty for a request outside a repository
   */
  forRepository(path: string): Middleware {
    return (next) => async (request) => {
      const url = new URL(request.url);
      const repository = REPOSITORY.exec(url.pathname)?.[1] ?? (this.#isOwn(url) ? path : "");
      const login: Login = { next, request, url, repository, refused: new Set(), hasCredential: false };
      const known = this.#proven.get(url.origin);
      const outcome = known === undefined ? undefined : await this.#sendAuthorized(login, known);
      if (outcome instanceof Response) return outcome;
      const hasFailed = outcome !== undefined || login.refused.size > 0;
      // Another request may have replaced it in the meantime.
      if (hasFailed && this.#proven.get(url.origin) === known) this.#proven.delete(url.origin);
      return await this.#sendFromScratch(login, outcome);
    };
  }

  /** Sends a request with a login that has worked before; the result is no response when it does not work any more. */
  async #sendAuthorized(login: Login, known: Challenge): Promise<Response | Failure | undefined> {
    const { next, request, url, refused } = login;
    let challenge = known;
    for (let isRenewal = false;; isRenewal = true) {
      let authorization: Authorization | undefined;
      try {
        authorization = await this.#answer(challenge, login);
      } catch (error) {
        return { server: serverOf(challenge), error };
      }
      // There is no credential any more, or no other one than that which was just refused.
      if (authorization === undefined || refused.has(authorization.value)) return undefined;
      const response = await next(withAuthorization(request, authorization.value));
      this.#reportLogin(login, response.status);
      if (response.status === 403 && !isRenewal && this.#mayHaveExpired(login, challenge, authorization)) {
        // Some registries answer 403, and not 401, to a token that has expired.
        refused.add(authorization.value);
        await response.body?.cancel();
        continue;
      }
      if (response.status !== 401) {
        this.#noteDenial(login, response, authorization);
        return response;
      }
      refused.add(authorization.value);
      await response.body?.cancel();
      const offered = selectChallenge(parseChallenges(response.headers.get("www-authenticate")), url);
      // Another token server is not believed yet: nvcr.io names one that expects a login when a token has expired.
      if (isRenewal || offered === undefined || serverOf(offered) !== serverOf(known)) return undefined;
      challenge = offered;
    }
  }

  async #sendFromScratch(login: Login, failure: Failure | undefined): Promise<Response> {
    const { next, request, url, refused } = login;
    const response = await next(request);
    if (response.status !== 401) return response;
    const challenge = selectChallenge(parseChallenges(response.headers.get("www-authenticate")), url) ??
      await this.#ping(login);
    if (challenge === undefined) return response;
    let authorization: Authorization | undefined;
    try {
      // A token server that did not answer a moment ago is not asked twice for one request.
      if (failure?.server === serverOf(challenge)) throw failure.error;
      authorization = await this.#answer(challenge, login);
    } catch (error) {
      await response.body?.cancel();
      this.#reportLogin(login, undefined);
      throw error;
    }
    if (authorization === undefined || refused.has(authorization.value)) return response;
    await response.body?.cancel();
    const second = await next(withAuthorization(request, authorization.value));
    this.#reportLogin(login, second.status);
    this.#noteDenial(login, second, authorization);
    if (isAccepted(second.status)) this.#remember(url.origin, challenge);
    else if (second.status === 401) this.#tokens.forget(url, login.repository);
    return second;
  }

  /** Returns the `Authorization` for a challenge; `undefined` when there is no credential. */
  async #answer(challenge: Challenge, login: Login): Promise<Authorization | undefined> {
    const { url, repository, refused } = login;
    const credential = this.#isOwn(url) ? this.#options.credentialFor?.(repository) : undefined;
    login.hasCredential = credential !== undefined;
    if (challenge.scheme !== "bearer") {
      if (credential?.password === undefined) return undefined;
      return { value: formatBasic(credential.username ?? "", credential.password), isNew: false };
    }
    if (credential?.registryToken !== undefined) return { value: `Bearer ${credential.registryToken}`, isNew: false };
    const asker = this.#isOwn(url) ? this.#options.registry : new URL(url.origin);
    return await this.#tokens.authorize({ challenge, asker, repository, credential, refused });
  }

  // A token server that refuses a login may give an anonymous token instead, with which the registry answers.
  #reportLogin({ url, hasCredential }: Login, status: number | undefined): void {
    if (!hasCredential) return;
    const isRefused = status === 401 || this.refusedLogin !== undefined;
    if (!isRefused && (status === undefined || !isAccepted(status))) return;
    this.#options.onEvent?.({ type: "login", host: url.host, isAccepted: !isRefused });
  }

  #mayHaveExpired({ url, repository }: Login, { scheme }: Challenge, { value, isNew }: Authorization): boolean {
    return scheme === "bearer" && !isNew && this.#denied.get(`${url.origin} ${repository}`) !== value;
  }

  #noteDenial({ url, repository }: Login, { status }: Response, { value }: Authorization): void {
    if (status !== 403) return;
    if (this.#denied.size >= MAX_DENIED) this.#denied.clear();
    this.#denied.set(`${url.origin} ${repository}`, value);
  }

  #remember(origin: string, { scheme, parameters }: Challenge): void {
    if (this.#proven.size >= MAX_CHALLENGES) this.#proven.clear();
    // The scope of one repository does not fit others, which derive theirs. Another scope is for the whole registry: that
    // of ECR Public is `aws`.
    const isOfRepository = /(?:^|\s)repository:/.test(parameters.get("scope") ?? "");
    const kept = [...parameters].filter(([name]) => name !== "scope" || !isOfRepository);
    this.#proven.set(origin, { scheme, parameters: new Map(kept) });
  }

  #isOwn(url: URL): boolean {
    return url.origin === this.#options.registry.origin;
  }

  /** Reads the challenge of `/v2/`, because some registries send it only there. Its scope is not the repository's. */
  async #ping({ next, url, request: { signal } }: Login): Promise<Challenge | undefined> {
    if (!this.#isOwn(url) || url.pathname === "/v2/") return undefined;
    const headers = { "accept-encoding": "identity" };
    const response = await next(new Request(new URL("/v2/", url), { headers, signal, redirect: "manual" }));
    await response.body?.cancel();
    if (response.status !== 401) return undefined;
    const challenge = selectChallenge(parseChallenges(response.headers.get("www-authenticate")), url);
    const parameters = [...challenge?.parameters ?? []].filter(([name]) => name !== "scope");
    return challenge && { scheme: challenge.scheme, parameters: new Map(parameters) };
  }
}

// Whether a response shows that the login is right. A refusal or a failure of the server says nothing about it.
function isAccepted(status: number): boolean {
  return status < 500 && ![401, 403, 407, 408, 429].includes(status);
}

function withAuthorization(request: Request, authorization: string): Request {
  const headers = new Headers(request.headers);
  headers.set("authorization", authorization);
  return new Request(request, { headers });
}
