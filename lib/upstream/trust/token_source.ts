import type { Challenge } from "../../http/challenge.ts";
import { cannot, RegistryError } from "../../oci/error.ts";
import type { OnUpstreamEvent } from "../transport/events.ts";
import type { Fetch } from "../transport/middleware.ts";
import { TransportError } from "../transport/transport_error.ts";
import type { AddressCheck } from "./address_check.ts";
import { whyAddressRefused } from "./address_rule.ts";
import { isNamedHost, whyCredentialWithheld, whyRealmRefused } from "./credential_scope.ts";
import { type Credential, isSameCredential } from "./docker_config.ts";
import { LoginError } from "./login_error.ts";
import { requestToken, type Token } from "./token.ts";

/** Options of a `TokenSource`. */
export interface TokenSourceOptions {
  /** The endpoint that the credentials belong to. */
  readonly registry: URL;
  /** Hosts of token servers that the configuration names for this endpoint. */
  readonly tokenHosts?: readonly string[] | undefined;
  /** Sends a request to a token server. */
  readonly tokenFetch: Fetch;
  readonly checkAddress: AddressCheck;
  /** Whether content is pushed, so that a token must allow that too. */
  readonly isPush?: boolean | undefined;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** In milliseconds; see `StallGuard`. */
  readonly stallTimeout: number;
  readonly onEvent?: OnUpstreamEvent | undefined;
}

/** What a token is for. */
interface TokenPurpose {
  /** Names the token server, and the scope unless it is derived from the repository. */
  readonly challenge: Challenge;
  /** The registry that issued the challenge. */
  readonly asker: URL;
  /** The repository; empty for a request outside a repository. */
  readonly repository: string;
  readonly credential: Credential | undefined;
  /** Values of `Authorization` that the registry has just refused. */
  readonly refused: ReadonlySet<string>;
}

/** A value of `Authorization`. */
export interface Authorization {
  readonly value: string;
  /** Whether its token was requested for this request, and not kept from an earlier one. */
  readonly isNew: boolean;
}

/** A token, or the pending request for one. */
interface TokenEntry {
  readonly promise: Promise<Token>;
  readonly server: string;
  readonly credential: Credential | undefined;
  token?: Token;
}

const MAX_TOKENS = 1000;

/**
 * Requests bearer tokens and keeps them: one for each registry and repository, renewed before it expires, and not used
 * any longer when the token server or the credential changes. Concurrent requests share one token request.
 */
export class TokenSource {
  readonly #options: TokenSourceOptions;
  readonly #tokens = new Map<string, TokenEntry>();
  #withheld: string | undefined;
  #refusedLogin: RegistryError | undefined;

  constructor(options: TokenSourceOptions) {
    this.#options = options;
  }

  /** The reason why a configured credential was not used. */
  get withheld(): string | undefined {
    return this.#withheld;
  }

  /** The error of the token server when it refused the credential the last time that it was sent. */
  get refusedLogin(): RegistryError | undefined {
    return this.#refusedLogin;
  }

  /**
   * Returns the `Authorization` with a token.
   *
   * @throws {RegistryError} as `requestToken`; `UNAVAILABLE` when the token server cannot be reached; `BAD_GATEWAY` when
   *   it must not be contacted
   */
  async authorize(purpose: TokenPurpose): Promise<Authorization> {
    const { challenge, asker, repository, credential, refused } = purpose;
    const key = `${asker.origin} ${repository}`;
    const server = serverOf(challenge);
    const held = this.#tokens.get(key);
    const isUsable = held !== undefined && held.server === server && isSameCredential(held.credential, credential) &&
      (held.token === undefined ||
        this.#options.now() < held.token.renewAt && !refused.has(`Bearer ${held.token.value}`));
    const entry = isUsable ? held : { promise: this.#request(purpose), server, credential };
    if (!isUsable) this.#keep(key, entry);
    const isNew = entry.token === undefined;
    return { value: `Bearer ${(await entry.promise).value}`, isNew };
  }

  /** Drops a token that was refused right after it was issued. */
  forget(asker: URL, repository: string): void {
    this.#tokens.delete(`${asker.origin} ${repository}`);
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

  async #request({ challenge, asker, repository, credential: configured }: TokenPurpose): Promise<Token> {
    const { tokenHosts = [], checkAddress, onEvent, tokenFetch: fetch, stallTimeout, now } = this.#options;
    const realm = new URL(challenge.parameters.get("realm")!);
    // An administrator who names the token server has decided about its address.
    const isNamed = this.#isOwn(asker) && isNamedHost(tokenHosts, realm);
    const refused = whyRealmRefused(asker, realm) ??
      (isNamed ? undefined : await whyAddressRefused(asker, realm, checkAddress));
    if (refused !== undefined) {
      onEvent?.({ type: "refused", host: asker.host, reason: refused });
      throw new RegistryError("BAD_GATEWAY", cannot(`log in to ${asker.host} with its token server`, refused));
    }
    const withheld = configured && whyCredentialWithheld(asker, realm, this.#isOwn(asker) ? tokenHosts : []);
    if (withheld !== undefined) this.#report(asker, `the credential was not sent to the token server: ${withheld}`);
    const credential = withheld === undefined ? configured : undefined;
    const request = {
      realm,
      service: challenge.parameters.get("service") || undefined,
      scope: scopeOf(challenge, repository, this.#options.isPush === true),
      credential,
      registryHost: asker.host,
    };
    const ask = (as: Credential | undefined) =>
      requestToken({ ...request, credential: as }, { fetch, stallTimeout, now });
    try {
      const token = await ask(credential);
      if (credential !== undefined) this.#withheld = this.#refusedLogin = undefined;
      return token;
    } catch (error) {
      if (error instanceof TransportError) {
        const reason = `its token server ${realm.host} cannot be reached: ${error.reason}`;
        throw new LoginError(cannot(`log in to ${asker.host}`, reason, error.advice), { cause: error });
      }
      if (credential === undefined || !(error instanceof RegistryError) || error.code !== "DENIED") throw error;
      this.#refusedLogin = error;
      // A wrong or expired login must not take away what needs no login.
      const anonymous = await ask(undefined).catch(() => undefined);
      if (anonymous === undefined) throw error;
      this.#report(asker, `${realm.host} refuses the user name or the password (or token)`);
      return anonymous;
    }
  }

  #report(asker: URL, reason: string): void {
    if (this.#withheld !== reason) this.#options.onEvent?.({ type: "refused", host: asker.host, reason });
    this.#withheld = reason;
  }

  #isOwn(asker: URL): boolean {
    return asker.origin === this.#options.registry.origin;
  }
}

/** Identifies the token server of a challenge. */
export function serverOf({ scheme, parameters }: Challenge): string {
  return [scheme, parameters.get("realm") ?? "", parameters.get("service") ?? ""].join(" ");
}

// An empty scope means the same as no scope: the client must determine it.
function scopeOf({ parameters }: Challenge, repository: string, isPush: boolean): string | undefined {
  const given = parameters.get("scope") || undefined;
  if (repository === "") return given;
  if (!isPush) return given ?? `repository:${repository}:pull`;
  return withPush(given?.split(" ").filter((scope) => scope !== "") ?? [], repository);
}

// The challenge of a HEAD asks for a pull alone. It may have another name for the repository; the other repositories of a
// challenge are those that blobs are mounted from. Another kind of scope is for the whole registry: that of ECR Public is
// `aws`.
function withPush(scopes: readonly string[], repository: string): string {
  const own = scopes.find((scope) => scope.startsWith(`repository:${repository}:`)) ??
    scopes.find((scope) => scope.startsWith("repository:")) ??
    (scopes.length === 0 ? `repository:${repository}:pull` : undefined);
  if (own === undefined) return scopes.join(" ");
  const actions = own.lastIndexOf(":");
  return [`${own.slice(0, actions)}:pull,push`, ...scopes.filter((scope) => scope !== own)].join(" ");
}
