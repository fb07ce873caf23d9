import { listFolder } from "../files/read_if_present.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { REPOSITORIES, revisionsPath } from "./layout.ts";

/**
 * Lists the names of all repositories that have manifests, sorted by code unit.
 *
 * @param root the data folder
 */
export async function listRepositories(root: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (folder: string, name: string) => {
    for (const entry of await listFolder(folder) ?? []) {
      if (!entry.isDirectory) continue;
      if (entry.name === "_manifests") found.push(name);
      else if (!entry.name.startsWith("_")) {
        await walk(`${folder}/${entry.name}`, name === "" ? entry.name : `${name}/${entry.name}`);
      }
    }
  };
  await walk(`${root}/${REPOSITORIES}`, "");
  return found.sort();
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
