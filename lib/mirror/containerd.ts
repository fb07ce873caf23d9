import { describeFallback, type MergedFile, type Mirror, type MirrorClient } from "./mirror.ts";

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
  plan: (mirror) =>
    (mirror.hosts ?? [ALL]).map((host) => ({
      name: `${host}/hosts.toml`,
      merge: (current) => mergeHostsToml(mirror, host, current),
    })),
  listMirrors: (text) =>
    [...text.matchAll(/^[ \t]*\[[ \t]*host[ \t]*\.[ \t]*(?:"([^"\n]*)"|'([^'\n]*)')[ \t]*\]/gm)]
      .map(([, double, single]) => (double ?? single ?? "").replace(/\/+$/, "")),
};

// The header of a table. A line of an array of arrays may begin with a bracket too.
const TABLE = /^[ \t]*\[[ \t]*[A-Za-z_][^,\n]*\][ \t]*(?:#.*)?$/m;
const SERVER = /^[ \t]*server[ \t]*=.*$/m;

function mergeHostsToml(mirror: Mirror, host: string, current: string | undefined): MergedFile {
  const block = `[host."${mirror.url}"]\n  capabilities = ["pull", "resolve"]\n`;
  const server = mirror.isOnly ? `server = "${mirror.url}"\n` : "";
  if (current === undefined) {
    const whose = host === ALL ? "Images of every registry that has no folder of its own" : `Images of ${host}`;
    const head = `# ${whose} are pulled from crpe, ${describeFallback(mirror)}.\n`;
    return { text: `${head}${server}${server === "" ? "" : "\n"}${block}`, notes: [] };
  }
  const others = CONTAINERD.listMirrors(current).filter((url) => url !== mirror.url);
  const isFirst = CONTAINERD.listMirrors(current)[0] === mirror.url;
  if (!isFirst && CONTAINERD.listMirrors(current).includes(mirror.url)) {
    throw new Error(`it lists ${others[0]} before ${mirror.url}; move crpe's table to the front by hand`);
  }
  // The lines before the first table apply to the whole file. Hosts are tried in the order of their tables.
  const at = TABLE.exec(current)?.index ?? current.length;
  const head = withServer(current.slice(0, at), server);
  const gap = isFirst || head === "" || head.endsWith("\n\n") ? "" : head.endsWith("\n") ? "\n" : "\n\n";
  const rest = current.slice(at);
  return {
    text: `${head}${gap}${isFirst ? "" : block}${isFirst || rest === "" ? "" : "\n"}${rest}`,
    notes: isFirst || others.length === 0 ? [] : [`${others.join(", ")} of ${host} is kept, and is tried after crpe`],
  };
}

function withServer(head: string, server: string): string {
  if (server === "") return head;
  return SERVER.test(head) ? head.replace(SERVER, server.trimEnd()) : `${server}${head}`;
}

/** containerd's main configuration file, which sets the folder of registries (`config_path`). */
export const CONTAINERD_CONFIG = "/etc/containerd/config.toml";

/**
 * Explains what to change so that containerd reads the folder of registries; `undefined` when its configuration already
 * names the folder. From release 2.0 on containerd reads the folder by default.
 *
 * @param config the text of containerd's configuration, if any
 */
export function whyFolderUnread(config: string | undefined, folder: string): string | undefined {
  const paths = [...(config ?? "").matchAll(/^[ \t]*config_path[ \t]*=[ \t]*["']([^"'\n]*)["']/gm)]
    .flatMap(([, value = ""]) => value.split(":"));
  if (paths.some((path) => path.replace(/\/+$/, "") === folder)) return undefined;
  return `containerd before 2.0 reads ${folder} only if ${CONTAINERD_CONFIG} names it: ` +
    `[plugins."io.containerd.grpc.v1.cri".registry] with config_path = "${folder}"; restart containerd afterwards`;
}
