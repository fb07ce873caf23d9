import type { RawRequest, RawResponse } from "./raw_http.ts";
import { basic } from "./upstream_answer.ts";

/** The login that an upstream requires. */
export type UpstreamAuth =
  | { readonly type: "basic"; readonly username: string; readonly password: string }
  | {
    readonly type: "bearer";
    /** By default tokens are given without a login. */
    readonly username?: string;
    readonly password?: string;
    /** The URL of another token server; by default `/token` of the upstream. */
    readonly realm?: string;
    readonly expiresIn?: number;
    /** Parameters to leave out of the challenge. */
    readonly omit?: readonly ("scope" | "service")[];
    /** The identity token that a `POST` to `/token` accepts. */
    readonly identityToken?: string;
  }
  /** Every request is refused, although tokens are given. */
  | { readonly type: "never" };

/** Checks the credentials of requests, and issues tokens. */
export class UpstreamLogin {
  readonly #server: { readonly url: string; readonly host: string };
  readonly #auth: UpstreamAuth | undefined;
  #tokens = 0;

  constructor(server: { readonly url: string; readonly host: string }, auth: UpstreamAuth | undefined) {
    this.#server = server;
    this.#auth = auth;
  }

  /** Gives the challenge (`WWW-Authenticate`) for a request, or `undefined` when its credentials are accepted. */
  challenge({ headers, url }: RawRequest): string | undefined {
    const auth = this.#auth;
    const sent = headers.get("authorization") ?? "";
    if (auth === undefined) return undefined;
    if (auth.type === "basic") {
      return sent === basic(auth) ? undefined : `Basic realm="fault upstream"`;
    }
    if (auth.type === "bearer" && /^Bearer token-\d+$/.test(sent)) return undefined;
    const omit = auth.type === "bearer" ? auth.omit ?? [] : [];
    const realm = auth.type === "bearer" && auth.realm !== undefined ? auth.realm : `${this.#server.url}/token`;
    const name = /^\/v2\/(.+)\/[^/]+\/[^/]+$/.exec(url.pathname)?.[1];
    return [
      `Bearer realm="${realm}"`,
      ...(omit.includes("service") ? [] : [`service="${this.#server.host}"`]),
      ...(omit.includes("scope") || name === undefined ? [] : [`scope="repository:${name}:pull"`]),
    ].join(",");
  }

  /** Answers a request for a token. */
  giveToken({ method, headers, body }: RawRequest): RawResponse {
    const auth = this.#auth;
    const answer = {
      token: `token-${++this.#tokens}`,
      expires_in: auth?.type === "bearer" ? auth.expiresIn : undefined,
    };
    if (auth?.type !== "bearer") return { status: 200, body: JSON.stringify(answer) };
    if (method === "POST") {
      if (auth.identityToken === undefined) return { status: 405 };
      const isRight = new URLSearchParams(body).get("refresh_token") === auth.identityToken;
      return isRight
        ? { status: 200, body: JSON.stringify({ ...answer, access_token: answer.token, token: undefined }) }
        : { status: 401 };
    }
    if (auth.username !== undefined && headers.get("authorization") !== basic(auth)) return { status: 401 };
    return { status: 200, body: JSON.stringify(answer) };
  }
}
