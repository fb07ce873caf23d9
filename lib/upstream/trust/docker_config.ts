import { CorruptError } from "../../oci/error.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";
import { normalizeHost } from "../../oci/reference.ts";

/** What logs in to a registry. */
export interface Credential {
  readonly username?: string;
  readonly password?: string;
  /** A refresh token of OAuth2, to be traded for access tokens. */
  readonly identityToken?: string;
  /** A bearer token to be sent as it is. */
  readonly registryToken?: string;
}

/** The credentials of docker's `config.json` or podman's `auth.json`. */
export interface DockerConfig {
  /** The credential for a repository: of the entries that fit, the one with the longest path. */
  credentialFor(host: string, path?: string): Credential | undefined;
  /** Hosts that have an entry. */
  readonly hosts: readonly string[];
  /** Programs that hold further credentials (`credHelpers`, `credsStore`). They are not run. */
  readonly helpers: readonly string[];
}

/**
 * Reads docker's `config.json` or podman's `auth.json` (containers-auth.json(5)). Keys are hosts with or without
 * scheme, docker.io under its old names (`https://index.docker.io/v1/`), and may go on with a path (`quay.io/team`).
 *
 * @throws {CorruptError} when it is no JSON object; what is wrong inside an entry makes that entry absent
 */
export function parseDockerConfig(bytes: Uint8Array, what = "the credentials file"): DockerConfig {
  const json = parseJson(bytes, what);
  if (!isJsonObject(json)) throw new CorruptError(`Cannot read ${what}: it is not a JSON object`);
  const entries = new Map<string, Credential>();
  for (const [key, value] of Object.entries(isJsonObject(json.auths) ? json.auths : {})) {
    const name = parseKey(key);
    const credential = isJsonObject(value) ? readCredential(value) : undefined;
    // `https://index.docker.io/v1/` and `docker.io` may both be there; the first is as good as the second.
    if (name !== undefined && credential !== undefined && !entries.has(name)) entries.set(name, credential);
  }
  return {
    credentialFor: (host, path = "") => findCredential(entries, normalizeHost(host), path),
    hosts: [...new Set([...entries.keys()].map((name) => name.split("/", 1)[0] as string))],
    helpers: readHelpers(json),
  };
}

function findCredential(entries: ReadonlyMap<string, Credential>, host: string, path: string): Credential | undefined {
  let name = path === "" ? host : `${host}/${path}`;
  for (;;) {
    const found = entries.get(name);
    if (found !== undefined) return found;
    const slash = name.lastIndexOf("/");
    if (slash < 0) return undefined;
    name = name.slice(0, slash);
  }
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
  // Docker's way to put an identity token where only a user name and a password fit.
  if (username === "<token>" && identityToken === "") identityToken = password;
  if (username === "<token>") username = password = "";
  const registryToken = text("registrytoken");
  if (password === "" && identityToken === "" && registryToken === "") return undefined;
  return {
    ...(username === "" ? {} : { username }),
    ...(password === "" ? {} : { password }),
    ...(identityToken === "" ? {} : { identityToken }),
    ...(registryToken === "" ? {} : { registryToken }),
  };
}

function decodeAuth(auth: string): [string, string] {
  let text: string;
  try {
    text = new TextDecoder().decode(Uint8Array.from(atob(auth.trim()), (c) => c.charCodeAt(0)));
  } catch {
    return ["", ""];
  }
  const colon = text.indexOf(":");
  if (colon < 0) return ["", ""];
  // Old dockers pad with NUL.
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
