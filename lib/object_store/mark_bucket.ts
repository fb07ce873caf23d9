import { DigestMismatchError, verifyBytes } from "../content/verifier.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import {
  type Descriptor,
  isManifestEntry,
  type Manifest,
  MAX_MANIFEST_BYTES,
  parseManifest,
  successorsOf,
} from "../oci/manifest.ts";
import { DigestSet } from "../store/digest_set.ts";
import { blobPath, layersPath, revisionsPath, tagLinkPath, tagsPath } from "../store/layout.ts";
import { canonicalName } from "../store/store_scan.ts";
import { ExpiringMap } from "./expiring_map.ts";
import { listNames, walkRepositories } from "./list_repositories.ts";
import type { ListedObject, S3Client } from "./s3_client.ts";

const MAX_KNOWN_MANIFESTS = 20_000;

/** How a bucket is marked. */
export interface MarkOptions {
  readonly client: S3Client;
  /** Links that were written after this time count as references, in milliseconds by the clock of the storage. */
  readonly since: number;
  /** Which manifests are in use: all that are linked; the same and what tags name; only what tags reach. */
  readonly roots: "links" | "links and tags" | "tags";
  /** What is in use whatever refers to it: the content of packages. */
  readonly keep?: ReadonlySet<Digest>;
  readonly warn: (message: string) => void;
  /** Called with each link to a blob that does not count as a reference, because it is old. */
  readonly onOldLink?: ((digest: Digest, key: string) => void) | undefined;
}

/** Links that are not in use. */
export interface UnusedLinks {
  /** The names that their repository is filed under. */
  readonly names: readonly string[];
  readonly keys: readonly string[];
}

/** What a mark has found. */
interface BucketMarks {
  /** The blobs and manifests that are in use. */
  readonly marked: DigestSet;
  /** The links of manifests that are not. */
  readonly unusedLinks: readonly UnusedLinks[];
}

/** Finds what the manifests and the recent links of a bucket refer to. @throws {S3Error} when something cannot be read */
export async function markBucket(options: MarkOptions): Promise<BucketMarks> {
  const marks = new Marks(options);
  for (const digest of options.keep ?? []) marks.marked.add(digest);
  const unusedLinks: UnusedLinks[] = [];
  const repositories = new Map<string, string[]>();
  // The first blobs of a repository are linked before its first manifest.
  for await (const name of walkRepositories(options.client, { folders: ["_manifests", "_layers"] })) {
    const repository = canonicalName(name);
    repositories.set(repository, [...repositories.get(repository) ?? [], name]);
  }
  for (const names of repositories.values()) {
    const keys = await marks.addRepository(names);
    if (keys.length > 0) unusedLinks.push({ names, keys });
  }
  return { marked: marks.marked, unusedLinks };
}

/** Finds the manifests that the tags of a repository reach. @param names the names that it is filed under */
export async function reachFromTags(client: S3Client, names: readonly string[]): Promise<DigestSet> {
  return await new ManifestsInBucket(client, () => {}).reachFromTags(names);
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
  /** The manifests that cannot be read, and the indexes that list one. */
  readonly #unreadable = new DigestSet();
  readonly #options: MarkOptions;
  readonly #manifests: ManifestsInBucket;

  constructor(options: MarkOptions) {
    this.#options = options;
    this.#manifests = new ManifestsInBucket(options.client, options.warn);
  }

  /** Marks what a repository needs. @returns the keys of the links of manifests that it does not need */
  async addRepository(names: readonly string[]): Promise<string[]> {
    const { client, since, roots, keep, onOldLink } = this.#options;
    const reached = roots === "tags" ? await this.#manifests.reachFromTags(names) : undefined;
    const unused: { key: string; digest: Digest }[] = [];
    let isReadable = true;
    const add = async (digest: Digest) => {
      if (!await this.#addManifest(digest)) isReadable = false;
    };
    if (roots === "links and tags") { for await (const digest of this.#manifests.readTags(names)) await add(digest); }
    for await (const link of walkLinks(client, names.map(revisionsPath))) {
      const isNeeded = reached === undefined || link.modified >= since || reached.has(link.digest) ||
        keep?.has(link.digest) === true;
      if (isNeeded) await add(link.digest);
      else unused.push(link);
    }
    // A manifest that cannot be read may need any manifest and any blob of its repository.
    const isAllNeeded = !isReadable;
    if (isAllNeeded) { for (const { digest } of unused) await add(digest); }
    for await (const { digest, modified, key } of walkLinks(client, names.map(layersPath))) {
      if (isAllNeeded || modified >= since) this.marked.add(digest);
      else onOldLink?.(digest, key);
    }
    return isAllNeeded ? [] : unused.map(({ key }) => key);
  }

  /** Marks a manifest, what it names, and what the manifests of an index name. @returns whether they can be read */
  async #addManifest(digest: Digest): Promise<boolean> {
    this.marked.add(digest);
    if (this.#read.has(digest)) return !this.#unreadable.has(digest);
    this.#read.add(digest);
    const manifest = await this.#manifests.read(digest);
    let isReadable = manifest !== "unreadable";
    for (const successor of successorsIn(manifest)) {
      if (!isListedManifest(manifest, successor)) this.marked.add(successor.digest);
      else if (!await this.#addManifest(successor.digest)) isReadable = false;
    }
    if (!isReadable) this.#unreadable.add(digest);
    return isReadable;
  }
}

/** Reads the manifests and tags of a bucket. */
export class ManifestsInBucket {
  readonly #client: S3Client;
  readonly #warn: (message: string) => void;
  /** The manifests that an index lists, by its digest. Those of another manifest are none. */
  readonly #listed = new ExpiringMap<readonly Digest[]>({ ttl: Infinity, maxSize: MAX_KNOWN_MANIFESTS });

  constructor(client: S3Client, warn: (message: string) => void) {
    this.#client = client;
    this.#warn = warn;
  }

  /** Finds the manifests that the tags of a repository reach, and those whose subject is reached. */
  async reachFromTags(names: readonly string[]): Promise<DigestSet> {
    const reached = new DigestSet();
    for await (const digest of this.readTags(names)) await this.reach(digest, reached);
    // A referrer stays with its subject, and may have referrers itself.
    for (let before = -1; before !== reached.size;) {
      before = reached.size;
      for await (const { digest } of walkLinks(this.#client, names.map(revisionsPath))) {
        if (reached.has(digest)) continue;
        const manifest = await this.read(digest);
        const subject = typeof manifest === "object" ? manifest.subject : undefined;
        if (subject !== undefined && reached.has(subject.digest)) await this.reach(digest, reached);
      }
    }
    return reached;
  }

  /** Adds a manifest and those that it lists, if it is an index. @returns whether all of them can be read */
  async reach(digest: Digest, reached: DigestSet): Promise<boolean> {
    if (reached.has(digest)) return true;
    reached.add(digest);
    const listed = this.#listed.get(digest) ?? await this.#readListed(digest);
    let isReadable = listed !== "unreadable";
    for (const child of listed === "unreadable" ? [] : listed) {
      if (!await this.reach(child, reached)) isReadable = false;
    }
    return isReadable;
  }

  async #readListed(digest: Digest): Promise<readonly Digest[] | "unreadable"> {
    const manifest = await this.read(digest);
    if (manifest === "unreadable") return manifest;
    const listed = successorsIn(manifest).filter((it) => isListedManifest(manifest, it)).map((it) => it.digest);
    if (manifest !== undefined) this.#listed.set(digest, listed);
    return listed;
  }

  /** Yields what the tags of a repository name. */
  async *readTags(names: readonly string[]): AsyncGenerator<Digest> {
    for (const name of names) {
      for (const tag of await listNames(this.#client, `${tagsPath(name)}/`)) {
        const link = await this.#client.read(tagLinkPath(name, tag));
        const digest = link && new TextDecoder().decode(link.bytes).trim();
        if (isDigest(digest)) yield digest;
      }
    }
  }

  /** Reads a manifest; `undefined` if it is missing. */
  async read(digest: Digest): Promise<Manifest | "unreadable" | undefined> {
    const object = await this.#client.read(blobPath(digest));
    if (object === undefined) return undefined;
    try {
      verifyBytes(object.bytes, digest);
      return parseManifest(object.bytes);
    } catch (error) {
      const isKnown = error instanceof CorruptError || error instanceof DigestMismatchError;
      if (!isKnown) throw error;
      this.#warn(`Cannot read the manifest ${digest}: ${error.clause}; all blobs of its repository stay`);
      return "unreadable";
    }
  }
}

/** Walks the links in some folders of a bucket. */
export async function* walkLinks(client: S3Client, folders: readonly string[]) {
  for (const folder of folders) {
    for await (const link of client.walk({ prefix: `${folder}/` })) {
      const digest = digestOfLink(link);
      if (digest !== undefined) yield { ...link, digest };
    }
  }
}

function successorsIn(manifest: Manifest | "unreadable" | undefined): readonly Descriptor[] {
  return typeof manifest === "object" ? successorsOf(manifest) : [];
}

// The index of a build cache lists layers.
function isListedManifest(
  parent: Manifest | "unreadable" | undefined,
  { mediaType, size }: Descriptor,
): boolean {
  return typeof parent === "object" && parent.kind === "index" && isManifestEntry({ mediaType }) &&
    size <= MAX_MANIFEST_BYTES;
}
