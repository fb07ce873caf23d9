import { createHash } from "node:crypto";

const BLOBS = "docker/registry/v2/blobs";
const REPOSITORIES = "docker/registry/v2/repositories";

interface Described {
  readonly digest: string;
  readonly size: number;
}

/**
 * Checks the files of a data folder without the code under test: the hash of each blob matches its name, and each tag
 * leads to a complete image.
 *
 * @param fail throws an error with a message
 */
export function checkStore(data: string, fail: (message: string) => never): void {
  const files = listFiles(data);
  const sizes = new Map<string, number>();
  for (const file of files) {
    if (!file.startsWith(`${BLOBS}/`)) continue;
    const [, algorithm, start, hex] =
      /^([a-z0-9]+)\/([0-9a-f]{2})\/([0-9a-f]+)\/data$/.exec(file.slice(BLOBS.length + 1)) ??
        fail(`${file} is among the blobs`);
    if (hashOfFile(`${data}/${file}`, algorithm) !== hex || !hex!.startsWith(start!)) fail(`${file} has another hash`);
    sizes.set(`${algorithm}:${hex}`, Deno.statSync(`${data}/${file}`).size);
  }
  const readBlob = (digest: string) => {
    const [algorithm, hex = ""] = digest.split(":");
    return Deno.readTextFileSync(`${data}/${BLOBS}/${algorithm}/${hex.slice(0, 2)}/${hex}/data`);
  };
  const checkWhole = (digest: string, what: string): void => {
    if (!sizes.has(digest)) fail(`${what} is missing ${digest}`);
    const manifest = JSON.parse(readBlob(digest));
    const children: readonly Described[] = manifest.manifests ?? [];
    const carried = children.filter((child) => sizes.has(child.digest));
    if (children.length > 0 && carried.length === 0) fail(`${what} has no child of ${digest}`);
    for (const child of carried) {
      // The store may have the manifest of a platform that is not carried as a plain blob, outside of any repository.
      if (sizes.get(child.digest) !== child.size) fail(`${what} has ${child.digest} with another size`);
      checkWhole(child.digest, what);
    }
    for (const blob of children.length > 0 ? [] : [manifest.config, ...manifest.layers ?? []] as Described[]) {
      if (sizes.get(blob.digest) !== blob.size) fail(`${what} is missing ${blob.digest}, or it has another size`);
    }
  };
  for (const file of files) {
    const [, repo, tag] = /^(.*)\/_manifests\/tags\/([^/]+)\/current\/link$/.exec(file) ?? [];
    if (repo === undefined || !repo.startsWith(`${REPOSITORIES}/`)) continue;
    const digest = Deno.readTextFileSync(`${data}/${file}`);
    const revision = `${repo}/_manifests/revisions/${digest.replace(":", "/")}/link`;
    if (!files.includes(revision)) fail(`${repo}:${tag} has a tag but no manifest`);
    checkWhole(digest, `${repo}:${tag}`);
  }
}

/** Lists all files below a folder, including links. A missing folder has none. */
export function listFiles(folder: string, prefix = ""): string[] {
  const found: string[] = [];
  try {
    for (const { name, isDirectory } of Deno.readDirSync(`${folder}/${prefix}`)) {
      if (isDirectory) found.push(...listFiles(folder, `${prefix}${name}/`));
      else found.push(prefix + name);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found;
}

/** Hashes a file. @returns the hash in hex */
export function hashOfFile(path: string, algorithm = "sha256"): string {
  return createHash(algorithm).update(Deno.readFileSync(path)).digest("hex");
}
