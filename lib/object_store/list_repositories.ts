import type { ListOptions, RepositoryPage } from "../content/source.ts";
import { REPOSITORIES } from "../store/layout.ts";
import type { ObjectPage, S3Client } from "./s3_client.ts";

/** Lists the names of the repositories that have manifests, sorted by code unit. */
export async function listRepositories(
  client: S3Client,
  { after, limit = Infinity }: ListOptions = {},
): Promise<RepositoryPage> {
  const repositories: string[] = [];
  for await (const name of walkRepositories(client, { after })) {
    if (repositories.length >= limit) return { repositories, isMore: true };
    repositories.push(name);
  }
  return { repositories, isMore: false };
}

/** What `walkRepositories` yields. */
interface WalkOptions {
  /** The name after which it begins. */
  readonly after?: string | undefined;
  /** Folders of which a repository has one. Default: that of manifests. */
  readonly folders?: readonly string[];
}

/** Yields the names of the repositories that come after `after`, in order. Lists only the folders that it needs. */
export async function* walkRepositories(
  client: S3Client,
  { after, folders = ["_manifests"] }: WalkOptions = {},
): AsyncGenerator<string> {
  const isLater = (name: string) => after === undefined || name > after;
  // The names below a prefix are next to each other in the order of all names.
  const mayHaveLater = (prefix: string) => isLater(prefix) || after!.startsWith(prefix);
  async function* walk(prefix: string, children: readonly string[]): AsyncGenerator<string> {
    // A folder may be a repository (`a`), and have others below it (`a/`). Between the two come names like `a-b`.
    const known = new Map<string, readonly string[]>();
    const steps = children.filter((it) => !it.startsWith("_")).flatMap((it) => [it, `${it}/`]).sort();
    for (const step of steps) {
      const name = `${prefix}${step.replace(/\/$/, "")}`;
      if (!(step.endsWith("/") ? mayHaveLater(`${name}/`) : isLater(name))) continue;
      const below = known.get(name) ?? await listFolders(client, `${name}/`);
      known.set(name, below);
      if (step.endsWith("/")) {
        yield* walk(`${name}/`, below);
        known.delete(name);
      } else if (folders.some((it) => below.includes(it))) yield name;
    }
  }
  yield* walk("", await listFolders(client, ""));
}

async function listFolders(client: S3Client, path: string): Promise<string[]> {
  return await listNames(client, `${REPOSITORIES}/${path}`);
}

/** Lists the names of the folders directly below a prefix that ends with `/`. */
export async function listNames(client: S3Client, prefix: string): Promise<string[]> {
  const names: string[] = [];
  let page: ObjectPage | undefined;
  do {
    page = await client.list({ prefix, delimiter: "/" }, page?.next);
    for (const folder of page.folders) names.push(folder.slice(prefix.length, -1));
  } while (page.next !== undefined);
  return names;
}
