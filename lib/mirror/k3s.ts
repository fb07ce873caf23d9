// @ts-types="../std/yaml.d.ts"
import { parse } from "@std/yaml";
import { isJsonObject } from "../oci/json.ts";
import { insertEndpoint } from "./k3s_text.ts";
import { describeFallback, type MergedFile, type Mirror, type MirrorClient } from "./mirror.ts";

// All registries without an entry of their own (k3s, "Private Registry Configuration").
const ALL = "*";
const ALL_NOTE =
  'k3s supports "*" since v1.26.13, v1.27.10, v1.28.6 and v1.29.1; for older versions name the registries with --host';

/** k3s' `registries.yaml`. k3s generates containerd's configuration from it at its start. */
export const K3S: MirrorClient = {
  name: "k3s",
  path: "/etc/rancher/k3s/registries.yaml",
  restart: "systemctl restart k3s (on an agent node: k3s-agent)",
  plan(mirror) {
    if (mirror.isOnly) {
      throw new TypeError(
        "Cannot keep k3s from asking the registry itself in registries.yaml: start it with --disable-default-registry-endpoint",
      );
    }
    return [{ name: "", merge: (current) => mergeRegistries(mirror, current) }];
  },
  listMirrors(text) {
    const found = Object.values(readMirrors(parseYaml(text))).flatMap(readEndpoints);
    return [...new Set(found.map((url) => url.replace(/\/+$/, "")))];
  },
};

type Yaml = Readonly<Record<string, unknown>>;

/**
 * Puts the mirror in front of the endpoints of its hosts. The text is edited line by line, which preserves comments and
 * the spelling of every other value, such as a password that looks like a number. The result is parsed again and compared
 * with the expected document.
 *
 * @throws {Error} when the text cannot be edited so that it has the expected meaning
 */
function mergeRegistries(mirror: Mirror, current: string | undefined): MergedFile {
  const hosts = mirror.hosts ?? [ALL];
  const start = current === undefined ? `# Images are pulled from crpe, ${describeFallback(mirror)}.\n` : current;
  const notes: string[] = [];
  let text = start;
  for (const host of hosts) {
    const before = parseYaml(text);
    const endpoints = readEndpoints(readMirrors(before)[host]);
    if (isSameUrl(endpoints[0], mirror.url)) continue;
    const changed = insertEndpoint(text, host, mirror.url);
    if (changed === undefined || !parsesTo(changed, withEndpoint(before, host, mirror.url))) {
      throw new Error(
        `it is written in a way that crpe cannot change safely; add ${mirror.url} in front of the endpoints of ${host} by hand`,
      );
    }
    text = changed;
    if (endpoints.length > 0) notes.push(`${endpoints.join(", ")} of ${host} is kept, and is tried after crpe`);
  }
  return { text, notes: [...notes, ...listUncovered(parseYaml(start), mirror)] };
}

function parsesTo(text: string, expected: Yaml): boolean {
  try {
    return isSame(parseYaml(text), expected);
  } catch {
    return false;
  }
}

// A registry with an entry of its own is not covered by `*`.
function listUncovered(registries: Yaml, { hosts, url }: Mirror): string[] {
  if (hosts !== undefined) return [];
  const uncovered = Object.entries(readMirrors(registries))
    .filter(([host, entry]) => host !== ALL && !readEndpoints(entry).some((endpoint) => isSameUrl(endpoint, url)))
    .map(([host]) =>
      `${host} has an entry of its own, which is kept unchanged; --host ${host} puts crpe in front of it`
    );
  return [...uncovered, ALL_NOTE];
}

function withEndpoint(registries: Yaml, host: string, url: string): Yaml {
  const mirrors = readMirrors(registries);
  const entry = isJsonObject(mirrors[host]) ? mirrors[host] : {};
  const endpoint = [url, ...readEndpoints(entry)];
  return { ...registries, mirrors: { ...mirrors, [host]: { ...entry, endpoint } } };
}

function parseYaml(text: string): Yaml {
  let document: unknown;
  try {
    // The failsafe schema keeps every scalar as text: only the mirrors need to be interpreted.
    document = parse(text, { schema: "failsafe" }) ?? {};
  } catch {
    // The parser's message is dropped: it quotes the document, and the quoted part may be a password.
    throw new Error("it is not YAML");
  }
  if (document === "") return {};
  if (!isJsonObject(document)) throw new Error("it is not a YAML mapping");
  return document;
}

function readMirrors(registries: Yaml): Yaml {
  const { mirrors } = registries;
  if (mirrors === undefined || mirrors === null || mirrors === "") return {};
  if (!isJsonObject(mirrors)) throw new Error("its mirrors are not a mapping");
  return mirrors;
}

function readEndpoints(entry: unknown): string[] {
  const endpoints = isJsonObject(entry) ? entry.endpoint ?? [] : [];
  if (Array.isArray(endpoints) && endpoints.every((url) => typeof url === "string")) return endpoints;
  return endpoints === "" ? [] : [String(endpoints)];
}

function isSameUrl(endpoint: string | undefined, url: string): boolean {
  return endpoint?.replace(/\/+$/, "") === url;
}

function isSame(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((value, i) => isSame(value, b[i]));
  if (!isJsonObject(a) || !isJsonObject(b)) return (a || "") === (b || "");
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => isSame(a[key], b[key]));
}
