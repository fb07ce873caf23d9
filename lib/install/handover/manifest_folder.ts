import { isAbsent, listFolder } from "../../files/if_present.ts";
import { computeDigest, type Digest } from "../../oci/digest.ts";
import { cannot, CrpeError } from "../../oci/error.ts";

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

const MANIFEST_FILE = /\.(?:ya?ml|json)$/i;
const MAX_ENTRIES = 20_000;
/** More than crpe writes for the largest package. */
const MAX_FILE_BYTES = 512 * 1024 * 1024;

/** What is at the path of a manifest file. */
export interface ManifestFile {
  /** Both are `undefined` for what crpe does not write: a folder, a link, a device, a file that is too large. */
  readonly text?: string;
  readonly digest?: Digest;
  readonly isFolder: boolean;
}

/** Reads a manifest file; `undefined` if there is none. */
export async function readManifestFile(path: string): Promise<ManifestFile | undefined> {
  try {
    const { isFile, isDirectory, size } = await Deno.lstat(path);
    if (!isFile || size > MAX_FILE_BYTES) return { isFolder: isDirectory };
    const bytes = await Deno.readFile(path);
    return { text: new TextDecoder().decode(bytes), digest: computeDigest(bytes), isFolder: false };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** When a file was written last; `undefined` if it does not exist, or if that is not known. */
export async function readWriteTime(path: string): Promise<Date | undefined> {
  return (await Deno.lstat(path).catch(() => undefined))?.mtime ?? undefined;
}

/** Tells whether k3s or RKE2 claim a file name for themselves; `stem` is the name up to its first dot. */
export function isReservedStem(stem: string): boolean {
  return RESERVED_STEMS.has(stem);
}

/** The name of a file without its folder. */
export function baseNameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** The part of a file name by which k3s names the Addon that the file brings: up to the first dot. */
export function stemOf(fileName: string): string {
  return fileName.split(".", 1)[0]!;
}

/** The folder that k3s polls, for a folder in it. */
export function watchedFolderOf(folder: string): string {
  return /^.*?\/server\/manifests(?=\/|$)/.exec(folder)?.[0] ?? folder;
}

/** Files in a manifest folder that get in the way of another one; paths relative to the folder, sorted. */
interface RivalFiles {
  /** k3s takes them for the same Addon. */
  readonly sameStem: readonly string[];
  /** k3s ignores the file because of them. */
  readonly skips: readonly string[];
}

/**
 * Finds the files, in the folder and below it, that get in the way of the manifest file `path`. The deploy controller goes
 * through subfolders and names an Addon by the file's base name up to the first dot, so that `web.yml`, `web.json`,
 * `web.extra.yaml` and `apps/web.yaml` prune each other's objects, and it ignores `web.yaml` if there is a `web.yaml.skip`.
 * It ignores files (not folders) with a leading dot, and follows a symbolic link to a folder, but none below it.
 *
 * @throws {Error} when the folder has too many files
 */
export async function findRivalFiles(
  folder: string,
  path: string,
  maxEntries: number = MAX_ENTRIES,
): Promise<RivalFiles> {
  const fileName = baseNameOf(path);
  const stem = stemOf(fileName);
  const sameStem: string[] = [];
  const skips: string[] = [];
  let left = maxEntries;
  for (const pending = [{ below: "", isLinked: false }]; pending.length > 0;) {
    const { below, isLinked } = pending.pop()!;
    for (const { name, isDirectory, isSymlink } of await listFolder(`${folder}/${below}`) ?? []) {
      if (left-- === 0) throw new CrpeError(cannot(`check ${folder}`, `it has more than ${maxEntries} files`));
      const relative = below === "" ? name : `${below}/${name}`;
      if (isDirectory) pending.push({ below: relative, isLinked });
      else if (isSymlink && !isLinked && await isFolder(`${folder}/${relative}`)) {
        pending.push({ below: relative, isLinked: true });
      } else if (name === `${fileName}.skip`) skips.push(relative);
      else if (MANIFEST_FILE.test(name) && stemOf(name) === stem && `${folder}/${relative}` !== path) {
        sameStem.push(relative);
      }
    }
  }
  return { sameStem: sameStem.sort(), skips: skips.sort() };
}

async function isFolder(path: string): Promise<boolean> {
  return (await Deno.stat(path).catch(() => undefined))?.isDirectory === true;
}
