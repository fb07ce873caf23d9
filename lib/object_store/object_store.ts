import { type ByteRange, resolveRange } from "../bytes/byte_range.ts";
import { streamFile } from "../bytes/file_stream.ts";
import type { SharedFiles } from "../bytes/shared_files.ts";
import type { BlobCopies } from "../content/blob_copies.ts";
import { SingleFlight } from "../content/single_flight.ts";
import type { ListOptions, NewManifest, OpenedBlob, ReferrerList, RepositoryPage } from "../content/source.ts";
import { Verifier, verifyBytes } from "../content/verifier.ts";
import { removeIfPresent } from "../files/durable.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import type { Descriptor } from "../oci/manifest.ts";
import { checkTag } from "../oci/reference.ts";
import type { GrantingStore, ImportStore, TaggedStore } from "../store/blob_store.ts";
import type { BlobState } from "../store/held_blobs.ts";
import { listReferrers } from "../store/list_referrers.ts";
import { findManifest, resolveManifest } from "../store/find_manifest.ts";
import {
  blobPath,
  layerLinkPath,
  REPOSITORIES,
  revisionLinkPath,
  revisionsPath,
  tagLinkPath,
} from "../store/layout.ts";
import { repositoryNames } from "../store/repository_names.ts";
import { Spool, type SpoolOptions } from "../store/spool.ts";
import { claimBlob, downloadKey } from "./claim_blob.ts";
import { CondemnedBlobs } from "./condemned_blobs.ts";
import { ExpiringMap } from "./expiring_map.ts";
import { listRepositories, walkRepositories } from "./list_repositories.ts";
import { findBucketRot, removeBucketRot } from "./find_bucket_rot.ts";
import { digestOfLink } from "./mark_bucket.ts";
import { ObjectLinks } from "./object_links.ts";
import { ObjectManifests } from "./object_manifests.ts";
import { readObject } from "./read_object.ts";
import { ObjectTags } from "./object_tags.ts";
import { forgetBucketImages, type ForgetOptions } from "./forget_bucket_images.ts";
import type { UnwantedImage } from "../store/forget_images.ts";
import type { S3Client } from "./s3_client.ts";
import { PartBuffers, uploadObject } from "./upload_object.ts";

/** Options of an `ObjectStore`. */
interface ObjectStoreOptions {
  readonly client: S3Client;
  /** The folder on disk for downloads in progress. */
  readonly spool: string;
  /** The files of downloads, which clients read while they grow. */
  readonly files: SharedFiles;
  /** Whether processes that use the bucket share their downloads. The storage must obey the conditions of writes. */
  readonly isShared?: boolean;
  /** Whether a blob counts as held only after its content was hashed once. */
  readonly isHashing?: boolean;
  /** Copies of blobs on this machine, which are read instead of the bucket. */
  readonly copies?: BlobCopies | undefined;
  /** Called with a message for each defect in the store that does not prevent the operation. */
  readonly warn?: (message: string) => void;
}

// How long the URL of a blob is good for. A download that has begun is not cut.
const URL_SECONDS = 300;
// How long a blob counts as stored after it was seen, in milliseconds. Others may remove it. A hashed one counts for good.
const SIZE_MILLISECONDS = 600_000;
const MAX_SIZES = 100_000;
// Repositories of a registry that are asked whether they have a blob. If none of them has, it is downloaded again.
const MAX_ASKED_REPOSITORIES = 100;

/** A store in a bucket of S3-compatible storage, in the layout of CNCF distribution's S3 driver. */
export class ObjectStore implements GrantingStore, ImportStore, TaggedStore {
  readonly #options: ObjectStoreOptions;
  readonly #client: S3Client;
  readonly #links: ObjectLinks;
  readonly #manifests: ObjectManifests;
  readonly #condemned: CondemnedBlobs;
  readonly #tags: ObjectTags;
  readonly #load = (name: string, digest: Digest) => this.#manifests.load(name, digest);
  readonly #sizes: ExpiringMap<number>;
  readonly #stats = new SingleFlight<number | undefined>();
  readonly #buffers = new PartBuffers();
  readonly #spool: Spool;
  readonly listTags: ObjectTags["list"] = (...given) => this.#tags.list(...given);
  readonly listTagLinks: ObjectTags["listLinks"] = (...given) => this.#tags.listLinks(...given);
  readonly openIngest: Spool["openIngest"] = (...given) => this.#spool.openIngest(...given);
  readonly statIngest: Spool["statIngest"] = (...given) => this.#spool.statIngest(...given);
  readonly listPieces: Spool["listPieces"] = (...given) => this.#spool.listPieces(...given);
  readonly openPieces: Spool["openPieces"] = (...given) => this.#spool.openPieces(...given);
  readonly openScratch: Spool["openScratch"] = () => this.#spool.openScratch();
  readonly addBlob: Spool["addBlob"] = (...given) => this.#spool.addBlob(...given);

  constructor(options: ObjectStoreOptions) {
    const { client, files, spool, isHashing = false, warn = () => {} } = options;
    this.#sizes = new ExpiringMap({ ttl: isHashing ? Infinity : SIZE_MILLISECONDS, maxSize: MAX_SIZES });
    this.#options = options;
    this.#client = client;
    const moveToTarget: SpoolOptions["moveToTarget"] = (...moved) => this.#moveToBucket(...moved);
    this.#spool = new Spool({ folder: spool, files, moveToTarget });
    this.#condemned = new CondemnedBlobs(client);
    this.#links = new ObjectLinks(client, warn);
    this.#tags = new ObjectTags(client, this.#links);
    this.#manifests = new ObjectManifests({ client, links: this.#links, condemned: this.#condemned, warn });
  }

  /** Checks that the bucket can be read. @throws {S3Error} when it cannot */
  async checkReachable(): Promise<void> {
    await this.#client.list({ prefix: REPOSITORIES, limit: 1 });
  }

  /** As `forgetBucketImages`. */
  forgetImages(images: readonly UnwantedImage[], options: Pick<ForgetOptions, "keep" | "dryRun">): Promise<string[]> {
    const place = { client: this.#client, tags: this.#tags, manifests: this.#manifests };
    return forgetBucketImages(images, { ...place, ...options });
  }

  async resolve(repo: string, tagOrDigest: string): Promise<Descriptor | undefined> {
    return (await resolveManifest(repo, tagOrDigest, {
      load: this.#load,
      readTag: (name, tag) => this.#links.readTag(tagLinkPath(name, tag)),
    }))?.descriptor;
  }

  async readManifest(repo: string, digest: Digest): Promise<Uint8Array | undefined> {
    return (await findManifest(repo, digest, this.#load))?.bytes;
  }

  async typeOfManifest(repo: string, digest: Digest): Promise<string | undefined> {
    return (await findManifest(repo, digest, this.#load))?.descriptor.mediaType;
  }

  async statBlob(_repo: string, digest: Digest): Promise<number | undefined> {
    return this.#sizes.get(digest) ?? await this.#stats.run(digest, async () => {
      if (this.#options.isHashing && await findBucketRot(this.#client, digest) !== undefined) return undefined;
      const size = await this.#client.size(blobPath(digest));
      if (size !== undefined) this.#sizes.set(digest, size);
      return size;
    });
  }

  async openBlob(repo: string, digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined> {
    const { copies } = this.#options;
    if (range === undefined && copies === undefined) return await this.#open(digest);
    const size = await this.statBlob(repo, digest);
    if (size === undefined) return undefined;
    const openSource = () => this.#open(digest);
    const copy = await copies?.open({ digest, size, range, openSource });
    return copy ?? await this.#open(digest, range === undefined ? undefined : resolveRange(size, range));
  }

  async #open(digest: Digest, part?: { start: number; length: number }): Promise<OpenedBlob | undefined> {
    const key = blobPath(digest);
    const object = await this.#client.open(key, part);
    if (object === undefined) {
      // Another process has removed it.
      this.#sizes.delete(digest);
      return undefined;
    }
    const { size } = object;
    this.#sizes.set(digest, size);
    const { start, length } = part ?? { start: 0, length: size };
    const { budget } = this.#options.files;
    return { size, start, length, body: readObject(this.#client, { key, start, length, budget }, object) };
  }

  async isLinkedBlob(repo: string, digest: Digest): Promise<boolean> {
    const names = repositoryNames(repo);
    const keys = names.flatMap((name) => [layerLinkPath(name, digest), revisionLinkPath(name, digest)]);
    for (const key of keys) if (await this.#links.has(key)) return true;
    return false;
  }

  async isGivenBy(host: string, digest: Digest): Promise<boolean> {
    if (await this.statBlob("", digest) === undefined) return false;
    let asked = 0;
    for await (const name of walkRepositories(this.#client, { after: `${host}/` })) {
      if (!name.startsWith(`${host}/`) || ++asked > MAX_ASKED_REPOSITORIES) return false;
      if (await this.#links.has(layerLinkPath(name, digest))) return true;
    }
    return false;
  }

  /** Returns a URL, good for five minutes, that reads a blob which a repository has; `undefined` if it has not. */
  async locateBlob(repo: string, digest: Digest): Promise<string | undefined> {
    // A client that is sent to a blob which another process has removed cannot come back.
    this.#sizes.delete(digest);
    const isHeld = await this.isLinkedBlob(repo, digest) && await this.statBlob(repo, digest) !== undefined;
    return isHeld ? await this.#client.presign(blobPath(digest), URL_SECONDS) : undefined;
  }

  async isHeld(digest: Digest): Promise<boolean> {
    return await this.statBlob("", digest) !== undefined;
  }

  /** How often this process has set or removed a tag. */
  get tagChanges(): number {
    return this.#links.tagWrites;
  }

  listRepositories(options?: ListOptions): Promise<RepositoryPage> {
    return listRepositories(this.#client, options);
  }

  async listManifests(repo: string): Promise<Digest[]> {
    const digests: Digest[] = [];
    for await (const object of this.#client.walk({ prefix: `${revisionsPath(repo)}/` })) {
      const digest = digestOfLink(object);
      if (digest !== undefined) digests.push(digest);
    }
    return digests;
  }

  async listReferrers(repo: string, digest: Digest): Promise<ReferrerList> {
    const list = (name: string) => this.listManifests(name);
    return { referrers: await listReferrers(repositoryNames(repo), digest, { list, load: this.#load }) };
  }

  async claimDownload(repo: string, digest: Digest): Promise<AsyncDisposable | "stored" | undefined> {
    if (!this.#options.isShared) return undefined;
    const isStored = async () =>
      await this.isLinkedBlob(repo, digest) && await this.statBlob(repo, digest) !== undefined;
    const key = downloadKey(repo, digest);
    return await claimBlob({ client: this.#client, key, owner: crypto.randomUUID(), isStored });
  }

  async checkBlob(digest: Digest): Promise<BlobState> {
    const condemned = this.#options.isShared ? this.#condemned : undefined;
    const state = await removeBucketRot(this.#client, digest, condemned);
    if (state !== "intact") this.#sizes.delete(digest);
    return state;
  }

  async discardBlob(digest: Digest): Promise<void> {
    this.#sizes.delete(digest);
    await this.#client.remove(blobPath(digest));
  }

  async #moveToBucket(path: string, digest: Digest, repo: string | ReadonlySet<string> = new Set()): Promise<void> {
    const { copies } = this.#options;
    const { size } = await Deno.stat(path);
    do await this.#upload(digest, size, streamFile(await Deno.open(path), size)); while (
      !await this.#linkHeld(repo, digest)
    );
    if (!await copies?.adopt(path, { digest, size })) await removeIfPresent(path);
  }

  async writeBlob(repo: string, { digest, size }: Descriptor, body: ReadableStream<Uint8Array>): Promise<void> {
    if (await this.statBlob(repo, digest) === size && await this.#linkHeld(repo, digest)) return await body.cancel();
    await this.#upload(digest, size, body);
    await this.linkBlob(repo, digest);
  }

  async writeManifest(repo: string, expected: NewManifest, bytes: Uint8Array): Promise<void> {
    const { digest, size, isFetched = false } = expected;
    verifyBytes(bytes, digest, size);
    await this.#manifests.write(repo, expected, { bytes, isFetched });
  }

  async tag(repo: string, tag: string, digest: Digest): Promise<void> {
    checkTag(repo, tag);
    await this.#manifests.renew(repositoryNames(repo), digest);
    await this.#tags.set(repo, { tag, digest });
  }

  async linkBlob(repo: string, digest: Digest): Promise<void> {
    if (await this.#linkHeld(repo, digest)) return;
    const reason = "a garbage collection has just removed it; try again";
    throw new RegistryError("UNAVAILABLE", cannot(`use ${digest}`, reason));
  }

  keepBlob(repo: string, digest: Digest): Promise<boolean> {
    return this.#linkHeld(repo, digest);
  }

  /** Links a blob to repositories. Returns false if garbage collection has removed it in the meantime. */
  async #linkHeld(repos: string | ReadonlySet<string>, digest: Digest): Promise<boolean> {
    for (const repo of typeof repos === "string" ? [repos] : repos) {
      await this.#links.write(layerLinkPath(repo, digest), digest);
    }
    if (await this.#condemned.keep(digest)) return true;
    this.#sizes.delete(digest);
    return false;
  }

  async #upload(digest: Digest, size: number, body: ReadableStream<Uint8Array>): Promise<void> {
    const verifier = new Verifier(digest, size);
    await uploadObject(this.#client, {
      ...{ key: blobPath(digest), size, body },
      onChunk: (chunk) => verifier.update(chunk),
      verify: () => verifier.finish(),
    }, this.#buffers);
    this.#sizes.set(digest, size);
  }
}
