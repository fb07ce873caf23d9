import { describeFallback, type MergedFile, type Mirror, type MirrorClient } from "./mirror.ts";

// containerd's name for every host that has no folder of its own ("Registry Configuration", `_default`).
const ALL = "_default";

/**
 * containerd's `certs.d`: a folder a registry, with a `hosts.toml` (containerd, docs/hosts.md). The registry itself is
 * asked after the hosts that are listed.
 */
export const CONTAINERD: MirrorClient = {
  name: "containerd",
  path: "/etc/containerd/certs.d",
  restart: "nothing; containerd reads the folder at every pull",
  plan: (mirror) =>
    (mirror.hosts ?? [ALL]).map((host) => ({
      name: `${host}/hosts.toml`,
      merge: (current) => mergeHostsToml(mirror, host, current),
    })),
  listMirrors: (text) =>
    [...text.matchAll(/^[ \t]*\[[ \t]*host[ \t]*\.[ \t]*(?:"([^"\n]*)"|'([^'\n]*)')[ \t]*\]/gm)]
      .map(([, double, single]) => (double ?? single ?? "").replace(/\/+$/, "")),
};

// A table's header; a line of an array of arrays may begin with a bracket too.
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
    throw new Error(`it asks ${others[0]} before ${mirror.url}; put crpe's table in front of that one by hand`);
  }
  // What stands before the first table belongs to the file as a whole, and the hosts are asked in their order.
  const at = TABLE.exec(current)?.index ?? current.length;
  const head = withServer(current.slice(0, at), server);
  const gap = isFirst || head === "" || head.endsWith("\n\n") ? "" : head.endsWith("\n") ? "\n" : "\n\n";
  const rest = current.slice(at);
  return {
    text: `${head}${gap}${isFirst ? "" : block}${isFirst || rest === "" ? "" : "\n"}${rest}`,
    notes: isFirst || others.length === 0 ? [] : [`${others.join(", ")} of ${host} stays, and is asked after crpe`],
  };
}

function withServer(head: string, server: string): string {
  if (server === "") return head;
  return SERVER.test(head) ? head.replace(SERVER, server.trimEnd()) : `${server}${head}`;
}

/** Where containerd keeps the settings of which the folder of registries is one. */
export const CONTAINERD_CONFIG = "/etc/containerd/config.toml";

/**
 * What has to be done so that containerd reads the folder at all, or `undefined` where its settings name it. From
 * release 2.0 on that is so without them.
 *
 * @param config its settings, where there are any
 */
export function whyFolderUnread(config: string | undefined, folder: string): string | undefined {
  const paths = [...(config ?? "").matchAll(/^[ \t]*config_path[ \t]*=[ \t]*["']([^"'\n]*)["']/gm)]
    .flatMap(([, value = ""]) => value.split(":"));
  if (paths.some((path) => path.replace(/\/+$/, "") === folder)) return undefined;
  return `containerd before 2.0 reads ${folder} only where ${CONTAINERD_CONFIG} names it: ` +
    `[plugins."io.containerd.grpc.v1.cri".registry] with config_path = "${folder}"; restart containerd after that`;
}
