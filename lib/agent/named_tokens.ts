import { createHash, timingSafeEqual } from "node:crypto";
import { cannot, RefusedError } from "../oci/error.ts";
import { isJsonObject } from "../oci/json.ts";
import { ListFile } from "./list_file.ts";

/** What a token allows. Each scope includes the ones before it. */
export const SCOPES = ["read", "import", "admin"] as const;
/** What a token allows. */
export type Scope = typeof SCOPES[number];

/** A token with a name. The token itself is not kept, only its hash. */
interface NamedToken {
  readonly name: string;
  readonly scope: Scope;
  /** When it was created, as ISO 8601 in UTC. */
  readonly created: string;
  /** When it ends, as ISO 8601 in UTC; absent if it does not end. */
  readonly expires?: string;
  /** The SHA-256 of the token in hex. 256 random bits cannot be guessed, so that a fast hash is enough. */
  readonly hash: string;
}

/** The name of the token that a server makes at its first start, or has from `--token-file`. */
export const FIRST_TOKEN = "first";

const TOKEN_BYTES = 32;
const MAX_TOKENS = 200;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const HASH = /^[0-9a-f]{64}$/;

/** Reports whether a word is a scope. */
export function isScope(word: unknown): word is Scope {
  return SCOPES.some((scope) => scope === word);
}

/** Returns the SHA-256 of a token. */
export function hashToken(token: string): Uint8Array {
  return createHash("sha256").update(token).digest();
}

/**
 * The tokens that have a name, a scope and perhaps an end: `kubepkg/.tokens.json` in the data folder, readable by its owner
 * only. The file is read for each request with such a token, so that a revoked one is refused at once.
 */
export class NamedTokens {
  readonly #file: ListFile<NamedToken>;

  /** @param data the data folder */
  constructor(data: string) {
    this.#file = new ListFile(data, {
      name: "tokens",
      isItem: isNamedToken,
      problem: "it is no list of tokens; delete it, and create them again",
    });
  }

  /** Lists the tokens in the order of their names. @throws {CorruptError} for a file that cannot be read */
  async list(): Promise<NamedToken[]> {
    return await this.#file.read();
  }

  /** Finds the token that a client has sent, in a time that does not depend on its bytes. */
  async find(token: string): Promise<NamedToken | undefined> {
    const hash = hashToken(token);
    let found: NamedToken | undefined;
    for (const known of await this.list()) {
      if (timingSafeEqual(hash, Uint8Array.fromHex(known.hash))) found = known;
    }
    return found;
  }

  /**
   * Creates a token.
   *
   * @param options.expires when it ends, in milliseconds since 1970
   * @returns the token, which is known only now
   * @throws {RefusedError} when the name is not valid or in use, or there are too many tokens
   */
  async create(
    name: string,
    { scope, expires, now = Date.now }: { scope: Scope; expires?: number | undefined; now?: () => number },
  ): Promise<string> {
    if (!NAME.test(name) || name === FIRST_TOKEN) {
      const reason = name === FIRST_TOKEN
        ? "it is the name of the token that the server makes itself"
        : "a name has 1 to 63 letters, digits, dots, dashes and underscores, and begins with a letter or a digit";
      throw new RefusedError(cannot(`create the token ${JSON.stringify(name)}`, reason));
    }
    const token = crypto.getRandomValues(new Uint8Array(TOKEN_BYTES)).toBase64({
      alphabet: "base64url",
      omitPadding: true,
    });
    await this.#file.change((tokens) => {
      if (tokens.some((known) => known.name === name)) {
        throw new RefusedError(cannot(`create the token ${name}`, "there is one of that name", "revoke it first"));
      }
      if (tokens.length >= MAX_TOKENS) {
        throw new RefusedError(
          cannot(`create the token ${name}`, `there are ${MAX_TOKENS} tokens`, "revoke some first"),
        );
      }
      const added: NamedToken = {
        name,
        scope,
        created: new Date(now()).toISOString(),
        expires: expires === undefined ? undefined : new Date(expires).toISOString(),
        hash: hashToken(token).toHex(),
      };
      return [...tokens, added].sort((a, b) => a.name < b.name ? -1 : 1);
    });
    return token;
  }

  /** Revokes a token. @returns the token; `undefined` if there is none of that name */
  async revoke(name: string): Promise<NamedToken | undefined> {
    let revoked: NamedToken | undefined;
    await this.#file.change((tokens) => {
      revoked = tokens.find((known) => known.name === name);
      return tokens.filter((known) => known !== revoked);
    });
    return revoked;
  }
}

function isNamedToken(value: unknown): value is NamedToken {
  if (!isJsonObject(value)) return false;
  const { name, scope, created, expires, hash } = value;
  const isTime = (text: unknown) => typeof text === "string" && !Number.isNaN(Date.parse(text));
  return typeof name === "string" && NAME.test(name) && isScope(scope) && isTime(created) &&
    (expires === undefined || isTime(expires)) && typeof hash === "string" && HASH.test(hash);
}
