import { formatHostSegment } from "../oci/reference.ts";
import { planCaFile } from "./ca_file.ts";
import { addressOf, describeFallback, folderOf, type ListedMirror, type Mirror, type MirrorClient } from "./mirror.ts";
import { cannot, UsageError } from "../oci/error.ts";

const FOLDER = "/etc/containers/registries.conf.d";

/** CRI-O. It shares its configuration file with podman. */
export const CRIO: MirrorClient = {
  name: "crio",
  path: `${FOLDER}/50-crpe.conf`,
  restart: "systemctl reload crio",
  plan(mirror, { place, wellKnown }) {
    const hosts = mirror.hosts ?? wellKnown;
    const unnameable = hosts.find((host) => host.startsWith("["));
    if (unnameable !== undefined) {
      throw new UsageError(cannot(`configure ${unnameable}`, "an IPv6 address cannot be part of a mirror's location"));
    }
    const file = { path: place, merge: () => ({ text: formatRegistriesConf(mirror, hosts), notes: [] }) };
    if (mirror.caCertificates === undefined) return [file];
    return [planCaFile(`${certificatesFolder(place)}/${addressOf(mirror)}/ca.crt`, mirror.caCertificates), file];
  },
  listPaths: (place) => [place, `${certificatesFolder(place)}/*/ca.crt`],
  listMirrors: listLocations,
  certificatesFolder,
};

// containers-certs.d(5): next to `registries.conf.d`, also in a user's folder.
function certificatesFolder(place: string): string {
  return `${folderOf(folderOf(place))}/certs.d`;
}

/** podman. The file also applies to buildah and skopeo. */
export const PODMAN: MirrorClient = {
  ...CRIO,
  name: "podman",
  restart: "not needed; podman reads the file at every pull",
};

/**
 * Formats a drop-in of `registries.conf` (containers-registries.conf(5)). These clients append the rest of an image's
 * name to the mirror's `location`, so the upstream host is part of the location's path. There is no prefix for all hosts.
 */
function formatRegistriesConf(mirror: Mirror, hosts: readonly string[]): string {
  const address = addressOf(mirror);
  const insecure = mirror.url.startsWith("http:") ? "insecure = true\n" : "";
  const entries = hosts.map((host) => {
    const location = `location = "${address}/${formatHostSegment(host)}"\n${insecure}`;
    const place = mirror.isOnly ? location : `location = "${host}"\n\n[[registry.mirror]]\n${location}`;
    return `\n[[registry]]\nprefix = "${host}"\n${place}`;
  });
  return `# Images are pulled from crpe, ${describeFallback(mirror)}.\n${entries.join("")}`;
}

// Considers only entries as crpe writes them, with the host in the location's path. Others need not be mirrors.
function listLocations(text: string): ListedMirror[] {
  const found = new Set<string>();
  for (const table of text.split(/^(?=[ \t]*\[\[)/m)) {
    const location = /^[ \t]*location[ \t]*=[ \t]*["']([^"'/\n]+)\/[^"'\n]+["']/m.exec(table)?.[1];
    const isInsecure = /^[ \t]*insecure[ \t]*=[ \t]*true\b/m.test(table);
    if (location !== undefined) found.add(`${isInsecure ? "http" : "https"}://${location}`);
  }
  return [...found].map((url) => ({ url }));
}

/** Lists the registries for which a `registries.conf` or a drop-in of it has entries. */
export function listRegistries(text: string): string[] {
  const tables = text.split(/^(?=[ \t]*\[)/m).filter((table) => /^[ \t]*\[\[[ \t]*registry[ \t]*\]\]/.test(table));
  return tables.flatMap((table) => {
    const value = (key: string) => new RegExp(`^[ \\t]*${key}[ \\t]*=[ \\t]*["']([^"'\\n]+)["']`, "m").exec(table)?.[1];
    return value("prefix") ?? value("location") ?? [];
  });
}
