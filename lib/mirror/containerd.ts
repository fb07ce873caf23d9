import { parse } from "smol-toml";
import { CrpeError } from "../oci/error.ts";
import { planCaFile } from "./ca_file.ts";
import { asTable } from "./containerd_config.ts";
import { describeFallback, type ListedMirror, type MergedFile, type Mirror, type MirrorClient } from "./mirror.ts";

// containerd's name for all hosts without a folder of their own ("Registry Configuration", `_default`).
const ALL = "_default";

/**
 * containerd's `certs.d`: one folder per registry, with a `hosts.toml` (containerd, docs/hosts.md). containerd tries the
 * listed hosts first, and then the registry itself.
 */
export const CONTAINERD: MirrorClient = {
  name: "containerd",
  path: "/etc/containerd/certs.d",
  restart: "not needed; containerd reads the folder at every pull",
  plan: (mirror, { place }) =>
    (mirror.hosts ?? [ALL]).flatMap((host) => {
      const caFile = `${place}/${host}/ca.crt`;
      const hosts = {
        path: `${place}/${host}/hosts.toml`,
        merge: (current?: string) => mergeHostsToml({ ...mirror, host, caFile }, current),
      };
      return mirror.caCertificates === undefined ? [hosts] : [planCaFile(caFile, mirror.caCertificates), hosts];
    }),
  listPaths: (place) => [`${place}/*/hosts.toml`, `${place}/*/ca.crt`],
  listMirrors(text) {
    const hosts = parseHosts(text);
    return listHosts(text).map((header): ListedMirror => {
      const [caFile] = [asTable(hosts[header]).ca].flat().filter((file) => typeof file === "string");
      return { url: trimSlashes(header), caFile };
    });
  },
};

// The header of a table. A line of an array of arrays may begin with a bracket too.
const TABLE = /^[ \t]*\[[ \t]*[A-Za-z_][^,\n]*\][ \t]*(?:#.*)?$/m;
const HOST = /^[ \t]*\[[ \t]*host[ \t]*\.[ \t]*(?:"([^"\n]*)"|'([^'\n]*)')[ \t]*\]/gm;
const SERVER = /^[ \t]*server[ \t]*=.*$/m;

/** The mirror of one folder. */
interface FolderMirror extends Mirror {
  readonly host: string;
  /** The path of the file with the mirror's certificates, if it has any. */
  readonly caFile: string;
}

function mergeHostsToml(mirror: FolderMirror, current: string | undefined): MergedFile {
  const { host, url, isOnly } = mirror;
  const ca = mirror.caCertificates === undefined ? "" : `ca = ${JSON.stringify(mirror.caFile)}\n`;
  const block = `[host."${url}"]\n  capabilities = ["pull", "resolve"]\n${ca && `  ${ca}`}`;
  const server = isOnly ? `server = "${url}"\n${ca}` : "";
  if (current === undefined) {
    const whose = host === ALL ? "Images of every registry that has no folder of its own" : `Images of ${host}`;
    const head = `# ${whose} are pulled from crpe, ${describeFallback(mirror)}.\n`;
    return { text: `${head}${server}${server === "" ? "" : "\n"}${block}`, notes: [] };
  }
  const urls = listHosts(current).map(trimSlashes);
  const others = urls.filter((other) => other !== url);
  const isFirst = urls[0] === url;
  if (!isFirst && urls.includes(url)) {
    throw new CrpeError({
      reason: `it lists ${others[0]} before ${url}`,
      advice: "move crpe's table to the front by hand",
    });
  }
  // The lines before the first table apply to the whole file. Hosts are tried in the order of their tables.
  const at = TABLE.exec(current)?.index ?? current.length;
  const head = withServer(current.slice(0, at), server);
  const gap = isFirst || head === "" || head.endsWith("\n\n") ? "" : head.endsWith("\n") ? "\n" : "\n\n";
  const rest = isFirst ? withCa(current.slice(at), mirror, ca) : current.slice(at);
  const text = `${head}${gap}${isFirst ? "" : block}${isFirst || rest === "" ? "" : "\n"}${rest}`;
  const known = CONTAINERD.listMirrors(text)[0]?.caFile;
  if (ca !== "" && known !== mirror.caFile && known !== "ca.crt") {
    throw new CrpeError({
      reason: `it names other certificates for ${url}`,
      advice: "add those of --ca-file to them by hand",
    });
  }
  return {
    text,
    notes: isFirst || others.length === 0 ? [] : [`${others.join(", ")} of ${host} is kept, and is tried after crpe`],
  };
}

function withServer(head: string, server: string): string {
  if (server === "") return head;
  return SERVER.test(head) ? head.replace(SERVER, server.trimEnd()) : `${server}${head}`;
}

/** @param tables the text from the first table on, which is crpe's */
function withCa(tables: string, { url }: FolderMirror, ca: string): string {
  const known = CONTAINERD.listMirrors(tables)[0];
  if (ca === "" || known?.url !== url || known.caFile !== undefined) return tables;
  const end = tables.indexOf("\n");
  return end < 0 ? `${tables}\n  ${ca}` : `${tables.slice(0, end + 1)}  ${ca}${tables.slice(end + 1)}`;
}

// containerd tries the hosts in the order of the text, which the parsed document does not have.
function listHosts(text: string): string[] {
  return [...text.matchAll(HOST)].map(([, double, single]) => double ?? single ?? "");
}

function parseHosts(text: string): Readonly<Record<string, unknown>> {
  try {
    return asTable(parse(text).host);
  } catch {
    // containerd ignores such a file, and doctor reports its hosts nevertheless.
    return {};
  }
}

function trimSlashes(url: string): string {
  return url.replace(/\/+$/, "");
}
