import { isJsonObject } from "../oci/json.ts";
import { planCaFile } from "./ca_file.ts";
import { insertEndpoint, setNestedValue } from "./k3s_text.ts";
import {
  addressOf,
  describeFallback,
  folderOf,
  type ListedMirror,
  type MergedFile,
  type Mirror,
  type MirrorClient,
} from "./mirror.ts";
import { parseRegistries, refuseTabs, type Yaml } from "./parse_registries.ts";
import { cannot, CrpeError, UsageError } from "../oci/error.ts";

// All registries without an entry of their own (k3s, "Private Registry Configuration").
const ALL = "*";
const ALL_NOTE =
  'k3s supports "*" since v1.26.13, v1.27.10, v1.28.6 and v1.29.1; for older versions name the registries with --host';

/** k3s' `registries.yaml`. k3s generates containerd's configuration from it at its start. */
export const K3S: MirrorClient = {
  name: "k3s",
  path: "/etc/rancher/k3s/registries.yaml",
  restart: "systemctl restart k3s (on an agent node: k3s-agent)",
  plan(mirror, { place }) {
    if (mirror.isOnly) {
      throw new UsageError(
        cannot(
          "keep k3s from asking the registry itself in registries.yaml",
          "start it with --disable-default-registry-endpoint",
        ),
      );
    }
    const caFile = caFileIn(folderOf(place));
    const file = {
      path: place,
      merge(current?: string) {
        const merged = mergeRegistries(mirror, current);
        return mirror.caCertificates === undefined ? merged : mergeCaFile(mirror, caFile, merged);
      },
    };
    return mirror.caCertificates === undefined ? [file] : [planCaFile(caFile, mirror.caCertificates), file];
  },
  listPaths: (place) => [place, caFileIn(folderOf(place))],
  listMirrors(text) {
    const registries = parseRegistries(text);
    const found = new Map<string, ListedMirror>();
    for (const [host, entry] of Object.entries(readMirrors(registries))) {
      const problem = explainRewrite(host, entry);
      for (const url of readEndpoints(entry).map((url) => url.replace(/\/+$/, ""))) {
        if (found.get(url)?.problem !== undefined) continue;
        const caFile = readCaFile(registries, url);
        found.set(url, { url, ...(caFile && { caFile }), ...(problem && { problem }) });
      }
    }
    return [...found.values()];
  },
};

function caFileIn(folder: string): string {
  return `${folder}/crpe-ca.crt`;
}

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
  const given = parseRegistries(start);
  refuseTabs(start);
  let text = start;
  for (const host of hosts) {
    const before = parseRegistries(text);
    const endpoints = readEndpoints(readMirrors(before)[host]);
    const problem = explainRewrite(host, readMirrors(before)[host]);
    if (problem !== undefined) throw new CrpeError(problem);
    if (isSameUrl(endpoints[0], mirror.url)) continue;
    const changed = insertEndpoint(text, host, mirror.url);
    if (changed === undefined || !parsesTo(changed, withEndpoint(before, host, mirror.url))) {
      throw new CrpeError({
        reason: "it is written in a way that crpe cannot change safely",
        advice: `add ${mirror.url} in front of the endpoints of ${host} by hand`,
      });
    }
    text = changed;
    if (endpoints.length > 0) notes.push(`${endpoints.join(", ")} of ${host} is kept, and is tried after crpe`);
  }
  return { text, notes: [...notes, ...listUncovered(given, mirror)] };
}

// k3s copies the rewrite rules of an entry to each of its endpoints. crpe cannot undo them, and would look for images
// under names that its store and its upstreams do not have.
function explainRewrite(host: string, entry: unknown): string | undefined {
  const rewrite = isJsonObject(entry) ? entry.rewrite : undefined;
  if (!isJsonObject(rewrite) || Object.keys(rewrite).length === 0) return undefined;
  const name = host === ALL ? "HOST" : host;
  return `${
    JSON.stringify(host)
  } has rewrite, which k3s applies to every endpoint, so that crpe would be asked for other ` +
    `names; remove rewrite and the endpoint it is for, and start crpe with --upstream=${name}=URL/PATH, which puts PATH ` +
    "in front of the names instead";
}

/** Names the file of certificates that k3s must trust for the mirror. */
function mergeCaFile(mirror: Mirror, caFile: string, { text, notes }: MergedFile): MergedFile {
  const before = parseRegistries(text);
  const host = addressOf(mirror);
  const known = readCaFile(before, mirror.url);
  if (known === caFile) return { text, notes };
  const changed = known === undefined ? setNestedValue(text, ["configs", host, "tls", "ca_file"], caFile) : undefined;
  if (changed === undefined || !parsesTo(changed, withCaFile(before, host, caFile))) {
    const reason = known === undefined ? "it is written in a way that crpe cannot change safely" : `it names ${known}`;
    throw new CrpeError({
      reason,
      advice: `set ca_file of tls of configs ${
        JSON.stringify(host)
      } to ${caFile} by hand, or run this again without --ca-file`,
    });
  }
  return { text: changed, notes };
}

function withCaFile(registries: Yaml, host: string, caFile: string): Yaml {
  const configs = asMapping(registries.configs);
  const config = asMapping(configs[host]);
  const tls = { ...asMapping(config.tls), ca_file: caFile };
  return { ...registries, configs: { ...configs, [host]: { ...config, tls } } };
}

function readCaFile(registries: Yaml, url: string): string | undefined {
  if (!URL.canParse(url)) return undefined;
  const { host, hostname } = new URL(url);
  const configs = asMapping(registries.configs);
  const tls = asMapping(asMapping(configs[host] ?? configs[hostname]).tls);
  return typeof tls.ca_file === "string" && tls.ca_file !== "" ? tls.ca_file : undefined;
}

function asMapping(value: unknown): Yaml {
  return isJsonObject(value) ? value : {};
}

function parsesTo(text: string, expected: Yaml): boolean {
  try {
    return isSame(parseRegistries(text), expected);
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

function readMirrors(registries: Yaml): Yaml {
  const { mirrors } = registries;
  if (mirrors === undefined || mirrors === null || mirrors === "") return {};
  if (!isJsonObject(mirrors)) throw new CrpeError("its mirrors are not a mapping");
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
