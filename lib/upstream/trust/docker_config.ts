import { cannot, CorruptError } from "../../oci/error.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";
import { normalizeHost } from "../../oci/reference.ts";

/** A credential for a registry. */
export interface Credential {
  readonly username?: string;
  readonly password?: string;
  /** An OAuth2 refresh token, which is exchanged for access tokens. */
  readonly identityToken?: string;
  /** A bearer token that is sent unchanged. */
  readonly registryToken?: string;
}

/** Reports whether two credentials are the same login. */
export function isSameCredential(a: Credential | undefined, b: Credential | undefined): boolean {
  return a === b ||
    (a?.username === b?.username && a?.password === b?.password && a?.identityToken === b?.identityToken &&
      a?.registryToken === b?.registryToken);
}

/** A credential, and the entry that it is from. */
interface FoundCredential {
  readonly credential: Credential;
  /** The number of path segments of the entry: the more, the more specific it is. */
  readonly depth: number;
}

/** The credentials of docker's `config.json` or podman's `auth.json`. */
export interface DockerConfig {
  /** Returns the credential for a repository: of the matching entries, the one with the longest path. */
  find(host: string, path?: string): FoundCredential | undefined;
  /** The hosts that have an entry. */
  readonly hosts: readonly string[];
  /** Credential helper programs (`credHelpers`, `credsStore`). crpe does not run them. */
  readonly helpers: readonly string[];
}

/**
 * Parses docker's `config.json` or podman's `auth.json` (containers-auth.json(5)). A key is a host with or without a
 * scheme, optionally followed by a path (`quay.io/team`); docker.io may have one of its old names
 * (`https://index.docker.io/v1/`). Invalid entries are ignored.
 *
 * @param what names the file in the error message
 * @throws {CorruptError} when the file is not a JSON object
 */
export function parseDockerConfig(bytes: Uint8Array, what = "the credentials file"): DockerConfig {
  const json = parseJson(bytes, what);
  if (!isJsonObject(json)) throw new CorruptError(cannot(`read ${what}`, "it is not a JSON object"));
  const entries = new Map<string, Credential>();
  for (const [key, value] of Object.entries(isJsonObject(json.auths) ? json.auths : {})) {
    const name = parseKey(key);
    const credential = isJsonObject(value) ? readCredential(value) : undefined;
    // `https://index.docker.io/v1/` and `docker.io` are the same host. If both are present, the first one is used.
    if (name !== undefined && credential !== undefined && !entries.has(name)) entries.set(name, credential);
  }
  return {
    find: (host, path = "") => findCredential(entries, normalizeHost(host), path),
    hosts: [...new Set([...entries.keys()].map((name) => name.split("/", 1)[0] as string))],
    helpers: readHelpers(json),
  };
}

function findCredential(
  entries: ReadonlyMap<string, Credential>,
  host: string,
  path: string,
): FoundCredential | undefined {
  const segments = path === "" ? [] : path.split("/");
  for (let depth = segments.length; depth >= 0; depth--) {
    const credential = entries.get([host, ...segments.slice(0, depth)].join("/"));
    if (credential !== undefined) return { credential, depth };
  }
  return undefined;
}

function parseKey(key: string): string | undefined {
  const bare = key.trim().replace(/^https?:\/\//i, "").replace(/\/(?:v[12]\/?)?$/, "");
  const [host = "", ...path] = bare.split("/");
  if (host === "") return undefined;
  return [normalizeHost(host), ...path].join("/");
}

function readCredential(entry: Record<string, unknown>): Credential | undefined {
  const text = (field: string) => typeof entry[field] === "string" ? entry[field] as string : "";
  let [username, password] = decodeAuth(text("auth"));
  username ||= text("username");
  password ||= text("password");
  let identityToken = text("identitytoken");
  // Docker stores an identity token as the password of the user `<token>`, where only user name and password fit.
  if (username === "<token>" && identityToken === "") identityToken = password;
  if (username === "<token>") username = password = "";
  const registryToken = text("registrytoken");
  if (password === "" && identityToken === "" && registryToken === "") return undefined;
  return {
    username: username || undefined,
    password: password || undefined,
    identityToken: identityToken || undefined,
    registryToken: registryToken || undefined,
  };
}

function decodeAuth(auth: string): [string, string] {
  let text: string;
  try {
    text = new TextDecoder().decode(Uint8Array.fromBase64(auth.trim()));
  } catch {
    return ["", ""];
  }
  const colon = text.indexOf(":");
  if (colon < 0) return ["", ""];
  // Old versions of docker pad with NUL.
  return [text.slice(0, colon), text.slice(colon + 1).replace(/\0+$/, "")];
}

function readHelpers(json: Record<string, unknown>): string[] {
  const helpers = new Set<string>();
  if (typeof json.credsStore === "string" && json.credsStore !== "") helpers.add(json.credsStore);
  for (const helper of Object.values(isJsonObject(json.credHelpers) ? json.credHelpers : {})) {
    if (typeof helper === "string" && helper !== "") helpers.add(helper);
  }
  return [...helpers];
}
