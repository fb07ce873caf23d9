import { listFolder, readTextIfPresent } from "../../files/read_if_present.ts";
import { parseYaml } from "../../kubepkg/read_yaml.ts";
import { CorruptError } from "../../oci/error.ts";
import { isJsonObject } from "../../oci/json.ts";

const LIMITS = { maxBytes: 1024 * 1024, maxDepth: 32 };

/** The folders of a distribution of Kubernetes that polls a manifest folder. */
const DISTRIBUTIONS = [
  { manifests: "/var/lib/rancher/k3s/server/manifests", config: "/etc/rancher/k3s" },
  { manifests: "/var/lib/rancher/rke2/server/manifests", config: "/etc/rancher/rke2" },
];

/**
 * Lists the names that k3s or RKE2 is told to disable, by `disable:` in `config.yaml` and `config.yaml.d/*.yaml`: the deploy
 * controller deletes a file of such a name, and its objects, at each poll. A folder of another cluster has none.
 *
 * @param root the folder in which the machine's `/` is
 */
export async function listDisabledAddons(manifestsDir: string, root = ""): Promise<string[]> {
  const found: string[] = [];
  for (const { manifests, config } of DISTRIBUTIONS) {
    if (manifestsDir.replace(/\/+$/, "") !== `${root}${manifests}`) continue;
    const folder = `${root}${config}`;
    const parts = (await listFolder(`${folder}/config.yaml.d`) ?? []).map(({ name }) => name)
      .filter((name) => /\.ya?ml$/.test(name)).sort();
    for (const path of [`${folder}/config.yaml`, ...parts.map((name) => `${folder}/config.yaml.d/${name}`)]) {
      // A file that only root may read: then this check is left out, as is the one for flags of the service.
      const text = await readTextIfPresent(path).catch(() => undefined);
      if (text !== undefined) found.push(...parseDisabled(text));
    }
  }
  return [...new Set(found)].sort();
}

/** Reads `disable:` (or `disable+:`) of a k3s configuration: a list, or names separated by commas. */
export function parseDisabled(text: string): string[] {
  let config: unknown;
  try {
    config = parseYaml(new TextEncoder().encode(text), "config.yaml", LIMITS);
  } catch (error) {
    // k3s does not start with it either.
    if (error instanceof CorruptError) return [];
    throw error;
  }
  if (!isJsonObject(config)) return [];
  return [config.disable, config["disable+"]].flat().filter((value) => typeof value === "string")
    .flatMap((value) => value.split(",")).map((name) => name.trim()).filter((name) => name !== "");
}
