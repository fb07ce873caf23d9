import { ifPresent, listFolder } from "../../files/if_present.ts";
import { parseYamlDocuments } from "../../kubepkg/read_yaml.ts";
import { unlessCorrupt } from "../../oci/error.ts";
import { isJsonObject } from "../../oci/json.ts";

const LIMITS = { maxBytes: 1024 * 1024, maxDepth: 32 };
const FOLDERS = ["/etc/rancher/k3s", "/etc/rancher/rke2"];

/**
 * Lists the names that the k3s or RKE2 of this machine is told to disable, by `disable:` in `config.yaml` and
 * `config.yaml.d/*.yaml`: the deploy controller deletes a file of such a name, and its objects, at each poll.
 *
 * @param root the folder in which the machine's `/` is
 */
export async function listDisabledAddons(root = ""): Promise<string[]> {
  const found = new Set<string>();
  for (const folder of FOLDERS.map((path) => `${root}${path}`)) {
    const parts = (await listFolder(`${folder}/config.yaml.d`).catch(() => undefined) ?? []).map(({ name }) => name)
      .filter((name) => /\.ya?ml$/i.test(name)).sort();
    const texts: string[] = [];
    for (const path of [`${folder}/config.yaml`, ...parts.map((name) => `${folder}/config.yaml.d/${name}`)]) {
      // A file that only root may read: then this check is left out, as is the one for flags of the service.
      const text = await ifPresent(Deno.readTextFile(path)).catch(() => undefined);
      if (text !== undefined) texts.push(text);
    }
    for (const name of parseDisabled(texts)) found.add(name);
  }
  return [...found].sort();
}

/**
 * Reads `disable` of a k3s configuration: a list, or names separated by commas. A later file replaces what an earlier one
 * has, and `disable+` adds to it.
 *
 * @param texts the files in the order in which k3s reads them
 */
export function parseDisabled(texts: readonly string[]): string[] {
  let names: string[] = [];
  for (const text of texts) {
    for (const [key, value] of Object.entries(parseConfig(text))) {
      if (key === "disable") names = splitNames(value);
      else if (key === "disable+") names.push(...splitNames(value));
    }
  }
  return names;
}

function parseConfig(text: string): Record<string, unknown> {
  // k3s does not start with a file that is damaged either, and of others it reads the first document.
  const documents = unlessCorrupt(() => parseYamlDocuments(new TextEncoder().encode(text), "config.yaml", LIMITS));
  const config = documents?.[0];
  return isJsonObject(config) ? config : {};
}

function splitNames(value: unknown): string[] {
  return [value].flat().filter((it) => typeof it === "string")
    .flatMap((it) => it.split(",")).map((name) => name.trim()).filter((name) => name !== "");
}
