import { pause } from "../bytes/pause.ts";
import type { ListOptions, RepositoryPage } from "../content/source.ts";
import { type FolderOptions, listFoldersSync } from "../files/folder_scan.ts";
import { ifPresentSync } from "../files/if_present.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { isTag } from "../oci/reference.ts";
import { REPOSITORIES, revisionsPath, tagsPath } from "./layout.ts";

const TURN = 200;

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
    // The folders are read synchronously, so that a long list would hold up other requests.
    if (repositories.length % TURN === 0) await pause(0);
  }
  return { repositories, isMore: false };
}

/** Yields the names of the repositories that come after `after`, in order. */
export async function* walkRepositories(root: string, after?: string): AsyncGenerator<string> {
  const isLater = (name: string) => after === undefined || name > after;
  // The names below a prefix are next to each other in the order of all names.
  const mayHaveLater = (prefix: string) => isLater(prefix) || after!.startsWith(prefix);
  async function* walk(prefix: string): AsyncGenerator<string> {
    for (const step of listSteps(`${root}/${REPOSITORIES}/${prefix}`)) {
      const name = `${prefix}${step}`;
      if (step.endsWith("/")) {
        if (mayHaveLater(name)) yield* walk(name);
      } else if (isLater(name) && isFolder(`${root}/${REPOSITORIES}/${name}/_manifests`)) yield name;
    }
  }
  yield* walk("");
}

/** The sorted steps of a folder, and the time of its last change in milliseconds. */
interface Steps {
  readonly changed: number;
  readonly steps: readonly string[];
}

// Folders with many entries, which every page of a list would read and sort again.
const listed = new Map<string, Steps>();
const MIN_STEPS = 200;
const MAX_STEPS = 400_000;
// A folder may change again within the resolution of its time stamp.
const RACY_MILLISECONDS = 1000;

/**
 * Lists the steps of the walk from a folder, sorted: each folder in it is a repository (`a`), and may have others below
 * it (`a/`). `a-b` comes before `a/b`, but after `a`.
 */
function listSteps(path: string): readonly string[] {
  const changed = changeOf(path);
  const known = listed.get(path);
  if (known !== undefined && known.changed === changed) return known.steps;
  listed.delete(path);
  const names = readFolderNames(path).filter((name) => !name.startsWith("_")).sort();
  // Nearly sorted, which makes the second sort cheap.
  const steps = names.flatMap((name) => [name, `${name}/`]).sort();
  if (steps.length >= MIN_STEPS && changed < Date.now() - RACY_MILLISECONDS) {
    let total = steps.length;
    for (const other of listed.values()) total += other.steps.length;
    if (total > MAX_STEPS) listed.clear();
    if (steps.length <= MAX_STEPS) listed.set(path, { changed, steps });
  }
  return steps;
}

// Synchronous: most folders have only a few entries, for which another thread would cost ten times as much.
function readFolderNames(path: string): string[] {
  return ifPresentSync(() =>
    [...Deno.readDirSync(path)].filter(({ isDirectory }) => isDirectory).map(({ name }) => name)
  ) ?? [];
}

function changeOf(path: string): number {
  return ifPresentSync(() => Deno.lstatSync(path).mtime?.getTime() ?? Infinity) ?? Infinity;
}

// Synchronous: another thread would cost more than the check.
function isFolder(path: string): boolean {
  return ifPresentSync(() => Deno.lstatSync(path))?.isDirectory ?? false;
}

/**
 * Lists the digests of the manifests that are linked to a repository, sorted.
 *
 * @param root the data folder
 */
export function listRevisions(root: string, repo: string): Digest[] {
  return listLinkDigests(`${root}/${revisionsPath(repo)}`);
}

/**
 * Lists the digests that a folder has links for, sorted. Synchronous: in another thread, the few entries of such folders
 * would cost ten times as much.
 */
export function listLinkDigests(folder: string, options?: FolderOptions): Digest[] {
  return listFoldersSync(folder, options).flatMap((algorithm) =>
    listFoldersSync(`${folder}/${algorithm}`, options).map((name) => `${algorithm}:${name}`).filter(isDigest)
  );
}

/**
 * Lists the names of the folders of a repository's tags, sorted. A tag without a link is among them.
 *
 * @param root the data folder
 */
export function listTagFolders(root: string, repo: string, options?: FolderOptions): string[] {
  return listFoldersSync(`${root}/${tagsPath(repo)}`, options).filter(isTag);
}
