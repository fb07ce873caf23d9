import { timingSafeEqual } from "node:crypto";
import { cannot, CorruptError, RegistryError } from "../oci/error.ts";
import { FIRST_TOKEN, hashToken, type NamedTokens, type Scope, SCOPES } from "./named_tokens.ts";
import { readSwitch } from "./request_body.ts";

/** The token that a request has. */
export interface Caller {
  /** The name of the token. */
  readonly token: string;
  readonly scope: Scope;
}

/** What a request needs a token for. */
export interface TokenQuestion {
  readonly scope: Scope;
  /** What would be done, for the error: `import`. */
  readonly action: string;
}

// The switches of an import that overrule the version rule, or delete data.
const OVERRULING = ["force", "prune-data"];

/** Returns what a request that imports a bundle needs a token for. */
export function questionOfImport({ searchParams }: URL): TokenQuestion {
  const overruled = OVERRULING.find((name) => readSwitch(searchParams, name));
  return overruled === undefined
    ? { scope: "import", action: "import" }
    : { scope: "admin", action: `import with ${overruled}` };
}

/** The tokens that a server accepts: its own first one, which may do everything, and those with a name. */
export class ApiTokens {
  /** `undefined` if the data folder is not writable. */
  readonly first: string | undefined;
  readonly #named: NamedTokens | undefined;
  readonly #now: () => number;

  constructor(first: string | undefined, named?: NamedTokens, now: () => number = Date.now) {
    this.first = first;
    this.#named = named;
    this.#now = now;
  }

  /**
   * Checks that a request has a token (RFC 6750, 2.1) that allows something.
   *
   * @throws {RegistryError} `UNAUTHORIZED` without a valid token, `DENIED` if its scope is too small, `UNAVAILABLE` if the
   *   server has no tokens
   */
  async check(headers: Headers, { scope, action }: TokenQuestion): Promise<Caller> {
    const refuse = (reason: string, advice?: string) =>
      new RegistryError("UNAUTHORIZED", cannot(action, reason, advice));
    const [, given] = /^bearer +([^ ]+) *$/i.exec(headers.get("authorization") ?? "") ?? [];
    if (this.first === undefined && this.#named === undefined) {
      throw new RegistryError("UNAVAILABLE", cannot(action, "the data folder is not writable, so there is no token"));
    }
    if (!headers.has("authorization")) {
      throw refuse("the token of this server is required, as Authorization: Bearer TOKEN");
    }
    const caller = given === undefined ? undefined : await this.#find(given, action);
    if (caller === undefined) throw refuse("the token is not the one of this server");
    if (caller === "expired") throw refuse("the token has expired", "crpe token create makes another one");
    if (SCOPES.indexOf(caller.scope) >= SCOPES.indexOf(scope)) return caller;
    throw new RegistryError(
      "DENIED",
      cannot(action, `the token ${caller.token} has the scope ${caller.scope}, and this needs ${scope}`),
    );
  }

  async #find(given: string, action: string): Promise<Caller | "expired" | undefined> {
    if (this.first !== undefined && timingSafeEqual(hashToken(given), hashToken(this.first))) {
      return { token: FIRST_TOKEN, scope: "admin" };
    }
    const found = await this.#named?.find(given).catch((cause) => {
      if (!(cause instanceof CorruptError)) throw cause;
      throw new RegistryError("UNAVAILABLE", cannot(action, "the list of tokens cannot be read"), { cause });
    });
    if (found === undefined) return undefined;
    if (found.expires !== undefined && Date.parse(found.expires) <= this.#now()) return "expired";
    return { token: found.name, scope: found.scope };
  }
}
