import type { Digest } from "../oci/digest.ts";
import type { DigestSet } from "../store/digest_set.ts";
import type { GcReport } from "../store/gc.ts";
import { blobPath, BLOBS, tagLinkPath, tagsPath } from "../store/layout.ts";
import { CondemnedBlobs } from "./condemned_blobs.ts";
import { walkRepositories } from "./list_repositories.ts";
import { digestOfLink, markBucket, type MarkOptions, reachFromTags, type UnusedLinks } from "./mark_bucket.ts";
import { type ObjectLease, takeLease } from "./object_lease.ts";
import type { S3Client } from "./s3_client.ts";
import { type StoredBlob, walkBlobs } from "./walk_blobs.ts";
import { cannot, CrpeError } from "../oci/error.ts";

/** Options of a garbage collection in a bucket. */
export interface CollectBucketOptions {
  readonly client: S3Client;
  /** Where the bucket is, for errors. */
  readonly name: string;
  /** Also removes manifests that no tag of their repository reaches. */
  readonly untagged?: boolean;
  /** Only reports what would be removed. */
  readonly dryRun?: boolean;
  /** Reads the digests that are kept although no repository may refer to them: the content of packages. */
  readonly readKeep?: () => Promise<ReadonlySet<Digest>>;
  /** Called with each defect that does not prevent the collection. */
  readonly warn: (message: string) => void;
  /** Awaited after the candidates were condemned, before the second mark. */
  readonly onCondemned?: () => Promise<void>;
  /** Awaited after the second mark, before any blob is removed. */
  readonly onRemarked?: () => Promise<void>;
}

interface Candidate {
  readonly digest: Digest;
  readonly size: number;
  readonly etag: string;
}

/**
 * What is younger is never removed, in milliseconds: writers store blobs before the manifests that name them, and an
 * import takes its time.
 */
export const GRACE_MILLISECONDS = 24 * 60 * 60 * 1000;
const LEASE_MILLISECONDS = 60_000;
const LEASE = "crpe/gc";
// A bound of the memory; the next collection finds the others.
const MAX_CANDIDATES = 100_000;

/**
 * Removes unreferenced content from a bucket that other processes use meanwhile. It marks, condemns the other blobs,
 * marks again, and removes those that are still unreferenced and that no writer has kept (`CondemnedBlobs`). What is
 * younger than a day stays. Uploads that were given up and the histories of removed tags are removed too. The storage must
 * obey the conditions of writes.
 *
 * @throws {Error} when another collection is in progress, or the lease was lost; what was not removed yet stays
 */
export async function collectBucket(options: CollectBucketOptions): Promise<GcReport> {
  const { client, name } = options;
  const lease = await takeCollectionLease(client);
  if (lease === undefined) {
    throw new CrpeError(
      cannot(`collect garbage in ${name}`, "another collection is in progress", "try again when it has finished"),
    );
  }
  await using _lease = lease;
  return await new BucketCollection(options, lease).run();
}

/** Takes the lease of what condemns blobs. @returns `undefined` while another process has it */
export async function takeCollectionLease(client: S3Client): Promise<ObjectLease | undefined> {
  return await takeLease({ client, key: LEASE, ttl: LEASE_MILLISECONDS, owner: crypto.randomUUID(), isKept: true });
}

class BucketCollection {
  readonly #options: CollectBucketOptions;
  readonly #client: S3Client;
  readonly #lease: ObjectLease;
  readonly #condemned: CondemnedBlobs;
  readonly #since: number;

  constructor(options: CollectBucketOptions, lease: ObjectLease) {
    this.#options = options;
    this.#client = options.client;
    this.#lease = lease;
    this.#condemned = new CondemnedBlobs(options.client);
    this.#since = this.#client.serverTime - GRACE_MILLISECONDS;
  }

  async run(): Promise<GcReport> {
    const { dryRun = false, untagged = false, warn, onCondemned, onRemarked, readKeep } = this.#options;
    const mark = async (roots: MarkOptions["roots"], onOldLink?: MarkOptions["onOldLink"]) => {
      const keep = await readKeep?.() ?? new Set();
      return await markBucket({ client: this.#client, since: this.#since, roots, keep, warn, onOldLink });
    };
    const { marked, unusedLinks } = await mark(untagged ? "tags" : "links");
    if (dryRun) {
      let [blobs, bytes] = [0, 0];
      for await (const { size } of this.#findUnmarked(marked)) [blobs, bytes] = [blobs + 1, bytes + size];
      return { blobs, bytes, manifests: unusedLinks.reduce((sum, { keys }) => sum + keys.length, 0), links: 0 };
    }
    await this.#abortUploads();
    const manifests = await this.#removeUntagged(unusedLinks);
    const candidates = await this.#condemn(marked);
    await onCondemned?.();
    // The links of what is not tagged are gone, and one that was written again counts. So does a tag that was set since.
    const linksTo = new Map(candidates.map(({ digest }) => [digest, [] as string[]]));
    const onOldLink = (digest: Digest, key: string) => void linksTo.get(digest)?.push(key);
    const again = candidates.length === 0
      ? marked
      : (await mark(untagged ? "links and tags" : "links", onOldLink)).marked;
    await onRemarked?.();
    let [blobs, bytes, links] = [0, 0, await this.#removeHistories()];
    for (const candidate of candidates) {
      const keys = linksTo.get(candidate.digest)!;
      if (!await this.#removeUnless(again, candidate, keys)) continue;
      [blobs, bytes, links] = [blobs + 1, bytes + candidate.size, links + keys.length];
    }
    return { blobs, bytes, manifests, links };
  }

  /** Removes the parts of uploads that were given up. */
  async #abortUploads(): Promise<void> {
    for (const { key, id, started } of await this.#client.listUploads(`${BLOBS}/`)) {
      if (started < this.#since) await this.#client.abortUpload(key, id);
    }
  }

  /** Removes the histories of tags that are gone: of a removal that was interrupted. @returns the number of links */
  async #removeHistories(): Promise<number> {
    let removed = 0;
    for await (const name of walkRepositories(this.#client)) {
      const prefix = `${tagsPath(name)}/`;
      let linked: string | undefined;
      for await (const { key, modified } of this.#client.walk({ prefix })) {
        const link = tagLinkPath(name, key.slice(prefix.length).split("/", 1)[0]!);
        // In the order of keys, the link of a tag is before its history.
        if (key === link) linked = link;
        if (link === linked || digestOfLink({ key }) === undefined || modified >= this.#since) continue;
        this.#checkLease();
        if (await this.#client.size(link) !== undefined) continue;
        await this.#client.remove(key);
        removed++;
      }
    }
    return removed;
  }

  async *#findUnmarked(marked: DigestSet): AsyncGenerator<StoredBlob> {
    for await (const blob of walkBlobs(this.#client)) {
      if (blob.modified < this.#since && !marked.has(blob.digest)) yield blob;
    }
  }

  async #condemn(marked: DigestSet): Promise<Candidate[]> {
    const candidates: Candidate[] = [];
    for await (const blob of this.#findUnmarked(marked)) {
      if (candidates.length === MAX_CANDIDATES) break;
      this.#checkLease();
      const etag = await this.#condemned.condemn(blob.digest);
      if (etag !== undefined) candidates.push({ ...blob, etag });
    }
    return candidates;
  }

  /** Removes a blob, and before it the links to it: a writer that finds no blob writes both again. */
  async #removeUnless(marked: DigestSet, { digest, etag }: Candidate, links: readonly string[]): Promise<boolean> {
    this.#checkLease();
    const until = marked.has(digest) ? undefined : await this.#condemned.confirm(digest, etag);
    // A process that slept for minutes must not remove what others may have kept since.
    this.#checkLease();
    if (until !== undefined) {
      for (const key of [...links, blobPath(digest)]) await this.#client.remove(key, until);
    }
    await this.#condemned.release(digest);
    return until !== undefined;
  }

  async #removeUntagged(unused: readonly UnusedLinks[]): Promise<number> {
    let removed = 0;
    for (const { names, keys } of unused) {
      // The mark took its time.
      const reached = await reachFromTags(this.#client, names);
      removed += await this.#removeLinks(keys.filter((key) => !reached.has(digestOfLink({ key })!)));
    }
    return removed;
  }

  async #removeLinks(keys: readonly string[]): Promise<number> {
    let removed = 0;
    for (const key of keys) {
      this.#checkLease();
      const digest = digestOfLink({ key })!;
      // Writers of the manifest wait for the end of the removal, and then look whether they were too late.
      const verdict = await this.#condemned.condemn(digest);
      if (verdict === undefined) continue;
      if (await this.#removeLink(key, () => this.#condemned.confirm(digest, verdict))) removed++;
      await this.#condemned.release(digest);
    }
    return removed;
  }

  /** Removes the link of a manifest, and what is beside it. One that was written again in the meantime is in use. */
  async #removeLink(key: string, confirm: () => Promise<number | undefined>): Promise<boolean> {
    const { objects } = await this.#client.list({ prefix: key.slice(0, -"link".length) });
    const link = objects.find((object) => object.key === key);
    if (link === undefined || link.modified >= this.#since) return false;
    const until = await confirm();
    this.#checkLease();
    if (until === undefined) return false;
    await this.#client.remove(key, until);
    for (const beside of objects) if (beside.key !== key) await this.#client.remove(beside.key, until);
    return true;
  }

  #checkLease(): void {
    if (this.#lease.isHeld) return;
    throw new CrpeError(
      cannot(`collect garbage in ${this.#options.name}`, "the lease was lost", "run the same command again"),
    );
  }
}
