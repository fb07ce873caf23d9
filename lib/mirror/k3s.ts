// @ts-types="../std/yaml.d.ts"
import { parse } from "@std/yaml";
import { isJsonObject } from "../oci/json.ts";
import { insertEndpoint } from "./k3s_text.ts";
import { describeFallback, type MergedFile, type Mirror, type MirrorClient } from "./mirror.ts";

// Every registry that has no entry of its own (k3s, "Private Registry Configuration").
const ALL = "*";
const ALL_NOTE =
  'k3s knows "*" since v1.26.13, v1.27.10, v1.28.6 and v1.29.1; an older one needs the registries named with --host';

/** k3s' `registries.yaml`, from which it writes containerd's configuration when it starts. */
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
 * Puts the mirror in front of the endpoints of its hosts. The text is changed line by line: comments stay, and so does
 * everything else as it is written, such as a password that looks like a number. What comes out is read again and held
 * against what it has to mean; a file that this cannot be done to is left alone.
 */
function mergeRegistries(mirror: Mirror, current: string | undefined): MergedFile {
  const hosts = mirror.hosts ?? [ALL];
  const start = current === undefined ? `# Images are pulled from crpe, ${describeFallback(mirror)}.\n` : current;
  const notes: string[] = [];
  let text = start;
  for (const host of hosts) {
    const before = parseYaml(text);
    const endpoints = readEndpoints(readMirrors(before)[host]);
    if (isAt(endpoints[0], mirror.url)) continue;
    const changed = insertEndpoint(text, host, mirror.url);
    if (changed === undefined || !means(changed, withEndpoint(before, host, mirror.url))) {
      throw new Error(
        `it is written in a way that crpe cannot change safely; add ${mirror.url} in front of the endpoints of ${host} by hand`,
      );
    }
    text = changed;
    if (endpoints.length > 0) notes.push(`${endpoints.join(", ")} of ${host} stays, and is asked after crpe`);
  }
  return { text, notes: [...notes, ...listUncovered(parseYaml(start), mirror)] };
}

function means(text: string, expected: Yaml): boolean {
  try {
    return isSame(parseYaml(text), expected);
  } catch {
    return false;
  }
}

// An entry of its own takes a registry out of what `*` says.
function listUncovered(registries: Yaml, { hosts, url }: Mirror): string[] {
  if (hosts !== undefined) return [];
  const uncovered = Object.entries(readMirrors(registries))
    .filter(([host, entry]) => host !== ALL && !readEndpoints(entry).some((endpoint) => isAt(endpoint, url)))
    .map(([host]) => `${host} has an entry of its own, which stays as it is; --host ${host} puts crpe in front of it`);
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
    // Every scalar as the text that it is: nothing has to be understood but the mirrors.
    document = parse(text, { schema: "failsafe" }) ?? {};
  } catch {
    // The parser quotes the document, and what it quotes may be a password.
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

function isAt(endpoint: string | undefined, url: string): boolean {
  return endpoint?.replace(/\/+$/, "") === url;
}

function isSame(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((value, i) => isSame(value, b[i]));
  if (!isJsonObject(a) || !isJsonObject(b)) return (a || "") === (b || "");
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => isSame(a[key], b[key]));
}
