type Handler = (request: Request) => Response | Promise<Response>;

/** A login with a password. */
export interface Login {
  readonly username: string;
  readonly password: string;
}

/**
 * Requires tokens for a registry, and issues them for a login at `/token` (distribution's "Token Authentication").
 *
 * @param actions what a token must allow. The challenge asks for `pull` only, as that of a GET
 */
export function withBearerAuth(handler: Handler, { username, password }: Login, actions = "pull"): Handler {
  const tokens = new Set<string>();
  return (request) => {
    const url = new URL(request.url);
    if (url.pathname === "/token") {
      if (request.headers.get("authorization") !== `Basic ${btoa(`${username}:${password}`)}`) return refuse();
      const token = crypto.randomUUID();
      tokens.add(`${token} ${url.searchParams.get("scope")}`);
      return Response.json({ token, expires_in: 300 });
    }
    const repository = /^\/v2\/(.+)\/(?:manifests|blobs|tags|referrers)\//.exec(url.pathname)?.[1];
    const scope = `repository:${repository}:`;
    const token = /^Bearer (.+)$/.exec(request.headers.get("authorization") ?? "")?.[1];
    if (tokens.has(`${token} ${scope}${actions}`)) return handler(request);
    const challenge = `Bearer realm="${url.origin}/token",service="demo"${repository ? `,scope="${scope}pull"` : ""}`;
    return refuse({ "www-authenticate": challenge });
  };
}

function refuse(headers: Record<string, string> = {}): Response {
  return Response.json({ errors: [{ code: "UNAUTHORIZED", message: "login first" }] }, { status: 401, headers });
}
