import { listFolder } from "../../files/read_if_present.ts";

/** File names that k3s or RKE2 write into their manifest folder themselves, up to the first dot. */
const RESERVED_STEMS: ReadonlySet<string> = new Set([
  ...["ccm", "coredns", "local-storage", "rolebindings", "runtimes", "traefik", "metrics-server"],
  // k3s: metrics-server/*.yaml
  ...["aggregated-metrics-reader", "auth-delegator", "auth-reader", "metrics-apiservice"],
  ...["metrics-server-deployment", "metrics-server-service", "resource-reader"],
  ...["rke2-canal", "rke2-cilium", "rke2-calico", "rke2-calico-crd", "rke2-flannel", "rke2-multus"],
  ...["rke2-coredns", "rke2-ingress-nginx", "rke2-traefik", "rke2-traefik-crd", "rke2-metrics-server"],
  ...["rke2-runtimeclasses", "rke2-snapshot-controller", "rke2-snapshot-controller-crd"],
  "rke2-snapshot-validation-webhook",
]);

const MANIFEST_FILE = /\.(?:ya?ml|json)(?:\.skip)?$/i;
const MAX_DEPTH = 8;
const MAX_ENTRIES = 20_000;

/** Tells whether k3s or RKE2 claim a file name for themselves; `stem` is the name up to its first dot. */
export function isReservedStem(stem: string): boolean {
  return RESERVED_STEMS.has(stem);
}

/** The part of a file name by which k3s names the Addon that the file brings: up to the first dot. */
export function stemOf(fileName: string): string {
  return fileName.split(".", 1)[0]!;
}

/**
 * Lists the manifest files, in the folder and below it, that k3s takes for the same Addon as `fileName`, `fileName` itself
 * left out: the deploy controller goes through subfolders and names an Addon by the file's base name up to the first dot,
 * so that `web.yml`, `web.json`, `web.extra.yaml` and `apps/web.yaml` prune each other's objects. A file with a leading dot
 * is ignored by k3s, and so is what a symbolic link to a folder leads to.
 *
 * @returns paths relative to the folder, sorted
 */
export async function findSameStem(folder: string, fileName: string): Promise<string[]> {
  const stem = stemOf(fileName);
  const found: string[] = [];
  let left = MAX_ENTRIES;
  const visit = async (below: string, depth: number) => {
    for (const { name, isDirectory } of await listFolder(`${folder}/${below}`) ?? []) {
      if (left-- === 0) throw new Error(`Cannot check ${folder}: it has more than ${MAX_ENTRIES} files`);
      if (name.startsWith(".")) continue;
      const path = below === "" ? name : `${below}/${name}`;
      if (isDirectory) {
        if (depth < MAX_DEPTH) await visit(path, depth + 1);
      } else if (MANIFEST_FILE.test(name) && stemOf(name) === stem && path !== fileName) found.push(path);
    }
  };
  await visit("", 0);
  return found.sort();
}
