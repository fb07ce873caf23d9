import type { ListOptions, RepositoryPage } from "../content/source.ts";
import { listFolder } from "../files/read_if_present.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { REPOSITORIES, revisionsPath } from "./layout.ts";

/**
 * Lists the names of the repositories that have manifests, sorted by code unit. Reads only the folders that a page
 * needs: those above its entries, and those of the entries.
 *
 * @param root the data folder
 */
export async function listRepositories(
  root: string,
  { after, limit = Infinity }: ListOptions = {},
): Promise<RepositoryPage> {
  const repositories: string[] = [];
  for await (const name of walkRepositories(root, after)) {
    if (repositories.length >= limit) return { repositories, isMore: true };
    repositories.push(name);
  }
  return { repositories, isMore: false };
}

/** Yields the names of the repositories that come after `after`, in order. */
export async function* walkRepositories(root: string, after?: string): AsyncGenerator<string> {
  const isLater = (name: string) => after === undefined || name > after;
  // The names below a prefix are next to each other in the order of all names.
  const mayHaveLater = (prefix: string) => isLater(prefix) || after!.startsWith(prefix);
  async function* walk(prefix: string): AsyncGenerator<string> {
    const folders = (await listFolder(`${root}/${REPOSITORIES}/${prefix}`) ?? [])
      .filter(({ name, isDirectory }) => isDirectory && !name.startsWith("_"));
    // `a-b` comes before `a/b`, but after `a`: a repository and the ones below it are different entries.
    const steps = folders.flatMap(({ name }) => [name, `${name}/`]).sort();
    for (const step of steps) {
      const name = `${prefix}${step}`;
      if (step.endsWith("/")) {
        if (mayHaveLater(name)) yield* walk(name);
      } else if (isLater(name) && isFolder(`${root}/${REPOSITORIES}/${name}/_manifests`)) yield name;
    }
  }
  yield* walk("");
}

// Synchronous: another thread would cost more than the check.
function isFolder(path: string): boolean {
  try {
    return Deno.lstatSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

/**
 * Lists the digests of the manifests that are linked to a repository, sorted.
 *
 * @param root the data folder
 */
export async function listRevisions(root: string, repo: string): Promise<Digest[]> {
  const found: Digest[] = [];
  const revisions = `${root}/${revisionsPath(repo)}`;
  for (const algorithm of await listFolder(revisions) ?? []) {
    for (const entry of await listFolder(`${revisions}/${algorithm.name}`) ?? []) {
      const digest = `${algorithm.name}:${entry.name}`;
      if (isDigest(digest)) found.push(digest);
    }
  }
  return found.sort();
}
