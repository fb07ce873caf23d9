import { removeIfPresent, writeFileDurably } from "../files/durable.ts";
import { Turns } from "../bytes/turns.ts";
import { ifPresent, ifPresentSync } from "../files/if_present.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import {
  blobPath,
  layerLinkPath,
  layersPath,
  revisionLinkPath,
  tagIndexPath,
  tagLinkPath,
  temporaryPath,
} from "./layout.ts";
import { readLinkText } from "./links.ts";
import { listLinkDigests, listRevisions, listTagFolders, walkRepositories } from "./list_repositories.ts";

/** A link that is damaged, or refers to a missing manifest. */
export interface BrokenLink {
  /** Path of the file, relative to the data folder. */
  readonly path: string;
  readonly reason: string;
  /** The repository, with the tag of a tag's link: `docker.io/library/nginx:1.27`. */
  readonly image: string;
  readonly repository: string;
  /** What the link must contain, if that is known. */
  readonly digest?: Digest;
  /** Whether the link is right, but the manifest is missing. */
  readonly isManifestMissing?: true;
}

/** Checks every link of a store: that it contains a digest, the right one, and that tags and revisions have a manifest. */
export async function verifyLinks(root: string): Promise<BrokenLink[]> {
  const broken: BrokenLink[] = [];
  const turns = new Turns();
  for await (const repository of walkRepositories(root)) {
    await turns.next();
    for (const tag of listTagFolders(root, repository)) broken.push(...await checkTag(root, repository, tag));
    for (const digest of listRevisions(root, repository)) {
      const path = revisionLinkPath(repository, digest);
      const link = { path, image: repository, repository, digest };
      const reason = checkText(`${root}/${path}`, digest);
      if (reason !== undefined) broken.push({ ...link, reason });
      else if (isLinkPresent(root, path) && !isFile(`${root}/${blobPath(digest)}`)) {
        broken.push({ ...link, reason: `the manifest ${digest} is missing`, isManifestMissing: true });
      }
    }
    for (const digest of listLinkDigests(`${root}/${layersPath(repository)}`)) {
      const path = layerLinkPath(repository, digest);
      const reason = checkText(`${root}/${path}`, digest);
      if (reason !== undefined) broken.push({ path, reason, image: repository, repository, digest });
    }
  }
  return broken;
}

/**
 * Rebuilds a damaged link from its path or, for a tag, from the history of the tag. A tag without a history is removed:
 * it is fetched again when a client requests it. A link that a server has written in the meantime stays.
 *
 * @returns what was done
 */
export async function repairLink(root: string, { path, digest }: BrokenLink): Promise<"rebuilt" | "removed"> {
  const text = readRegular(`${root}/${path}`);
  if (text === undefined) return "removed";
  if (path.endsWith("/current/link") ? isDigest(text) : text === digest) return "rebuilt";
  if (digest === undefined) {
    await removeIfPresent(`${root}/${path}`);
    return "removed";
  }
  const temporary = temporaryPath(root);
  await writeFileDurably(`${root}/${path}`, new TextEncoder().encode(digest), { temporary });
  return "rebuilt";
}

async function checkTag(root: string, repository: string, tag: string): Promise<BrokenLink[]> {
  const path = tagLinkPath(repository, tag);
  const text = readRegular(`${root}/${path}`);
  // A crash may leave a tag's history without a current link, which is no tag.
  if (text === undefined) return [];
  const image = `${repository}:${tag}`;
  if (!isDigest(text)) {
    const digest = await findNewest(root, repository, tag);
    const reason = text === NOT_A_FILE ? "it is not a regular file" : "it does not contain a digest";
    return [{ path, reason, image, repository, digest }];
  }
  if (isFile(`${root}/${blobPath(text)}`)) return [];
  const reason = `it refers to the manifest ${text}, which is missing`;
  return [{ path, reason, image, repository, digest: text, isManifestMissing: true }];
}

/** Finds the manifest that the tag referred to last, by the time of the links in its history. */
async function findNewest(root: string, repository: string, tag: string): Promise<Digest | undefined> {
  const folder = `${root}/${tagIndexPath(repository, tag)}`;
  let newest: { digest: Digest; time: number } | undefined;
  for (const digest of listLinkDigests(folder)) {
    if (!isFile(`${root}/${blobPath(digest)}`)) continue;
    const time = (await ifPresent(Deno.lstat(`${folder}/${digest.replace(":", "/")}/link`)))?.mtime?.getTime() ?? 0;
    if (newest === undefined || time > newest.time) newest = { digest, time };
  }
  return newest?.digest;
}

function checkText(path: string, expected: Digest): string | undefined {
  const text = readRegular(path);
  if (text === undefined || text === expected) return undefined;
  if (text === NOT_A_FILE) return "it is not a regular file";
  return isDigest(text) ? `it contains ${text}` : "it does not contain a digest";
}

const NOT_A_FILE = "\0";

function readRegular(path: string): string | undefined {
  return ifPresentSync(() => Deno.lstatSync(path).isFile ? readLinkText(path) : NOT_A_FILE);
}

function isLinkPresent(root: string, path: string): boolean {
  return readRegular(`${root}/${path}`) !== undefined;
}

function isFile(path: string): boolean {
  return ifPresentSync(() => Deno.lstatSync(path).isFile) ?? false;
}
