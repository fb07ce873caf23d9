import { CorruptError } from "../oci/error.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { type Manifest, parseManifest, successorsOf } from "../oci/manifest.ts";
import { DigestSet } from "../store/digest_set.ts";
import { blobPath, layersPath, revisionsPath, tagLinkPath, tagsPath } from "../store/layout.ts";
import { listNames, walkRepositories } from "./list_repositories.ts";
import type { ListedObject, S3Client } from "./s3_client.ts";

/** How a bucket is marked. */
export interface MarkOptions {
  readonly client: S3Client;
  /** Links that were written after this time count as references, in milliseconds by the clock of the storage. */
  readonly since: number;
  /** Whether manifests that no tag of their repository reaches, and whose link is older, refer to nothing. */
  readonly untagged: boolean;
  readonly warn: (message: string) => void;
}

/** What a mark has found. */
export interface BucketMarks {
  /** The blobs and manifests that are in use. */
  readonly marked: DigestSet;
  /** The keys of the links of manifests that are not. */
  readonly unusedLinks: readonly string[];
}

/** Finds what the manifests and the recent links of a bucket refer to. @throws {S3Error} when something cannot be read */
export async function markBucket(options: MarkOptions): Promise<BucketMarks> {
  const { client, since, untagged } = options;
  const marks = new Marks(options);
  const unusedLinks: string[] = [];
  // The first blobs of a repository are linked before its first manifest.
  for await (const repo of walkRepositories(client, { folders: ["_manifests", "_layers"] })) {
    const reached = untagged ? await marks.reachFromTags(repo) : undefined;
    for await (const link of client.walk({ prefix: `${revisionsPath(repo)}/` })) {
      const digest = digestOfLink(link);
      if (digest === undefined) continue;
      if (reached === undefined || link.modified >= since || reached.has(digest)) await marks.addManifest(digest);
      else unusedLinks.push(link.key);
    }
    for await (const link of client.walk({ prefix: `${layersPath(repo)}/` })) {
      const digest = link.modified >= since ? digestOfLink(link) : undefined;
      if (digest !== undefined) marks.marked.add(digest);
    }
  }
  return { marked: marks.marked, unusedLinks };
}

/** Returns the digest in the key of a link: `…/sha256/HEX/link`. */
export function digestOfLink({ key }: Pick<ListedObject, "key">): Digest | undefined {
  const [, algorithm, hex] = /\/([^/]+)\/([^/]+)\/link$/.exec(key) ?? [];
  const digest = `${algorithm}:${hex}`;
  return isDigest(digest) ? digest : undefined;
}

class Marks {
  readonly marked = new DigestSet();
  readonly #read = new DigestSet();
  readonly #options: MarkOptions;

  constructor(options: MarkOptions) {
    this.#options = options;
  }

  /** Marks a manifest, what it names, and what the manifests of an index name. */
  async addManifest(digest: Digest): Promise<void> {
    this.marked.add(digest);
    if (this.#read.has(digest)) return;
    this.#read.add(digest);
    const manifest = await this.#readManifest(digest);
    if (manifest === undefined) return;
    for (const successor of successorsOf(manifest)) {
      if (manifest.kind === "index") await this.addManifest(successor.digest);
      else this.marked.add(successor.digest);
    }
  }

  /** Finds the manifests that the tags of a repository reach, and those whose subject is reached. */
  async reachFromTags(repo: string): Promise<DigestSet> {
    const { client } = this.#options;
    const reached = new DigestSet();
    const reach = async (digest: Digest) => {
      if (reached.has(digest)) return;
      reached.add(digest);
      const manifest = await this.#readManifest(digest);
      if (manifest?.kind !== "index") return;
      for (const child of successorsOf(manifest)) await reach(child.digest);
    };
    for (const tag of await listNames(client, `${tagsPath(repo)}/`)) {
      const link = await client.read(tagLinkPath(repo, tag));
      const digest = link && new TextDecoder().decode(link.bytes).trim();
      if (isDigest(digest)) await reach(digest);
    }
    // A referrer stays with its subject, and may have referrers itself.
    for (let before = -1; before !== reached.size;) {
      before = reached.size;
      for await (const link of client.walk({ prefix: `${revisionsPath(repo)}/` })) {
        const digest = digestOfLink(link);
        if (digest === undefined || reached.has(digest)) continue;
        const subject = (await this.#readManifest(digest))?.subject;
        if (subject !== undefined && reached.has(subject.digest)) await reach(digest);
      }
    }
    return reached;
  }

  async #readManifest(digest: Digest): Promise<Manifest | undefined> {
    const object = await this.#options.client.read(blobPath(digest));
    try {
      return object && parseManifest(object.bytes);
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error;
      this.#options.warn(
        `Cannot read the manifest ${digest}: ${error.message}; what it names is not known to be in use`,
      );
      return undefined;
    }
  }
}
