import type { ByteRange } from "../bytes/byte_range.ts";
import type { Scratch } from "../bytes/scratch.ts";
import { SharedFiles } from "../bytes/shared_files.ts";
import type { ListOptions, NewManifest, OpenedBlob, ReferrerList, RepositoryPage, TagPage } from "../content/source.ts";
import { takePage } from "../content/take_page.ts";
import { verifyBytes } from "../content/verifier.ts";
import { checkFolder, commitFile } from "../files/durable.ts";
import { listFolder } from "../files/if_present.ts";
import type { Digest } from "../oci/digest.ts";
import { type Descriptor, parseManifest } from "../oci/manifest.ts";
import { checkTag } from "../oci/reference.ts";
import { BlobGrants } from "./blob_grants.ts";
import type { BlobPieces, PieceRange } from "./blob_pieces.ts";
import type { ImportStore, TaggedStore, TagLink } from "./blob_store.ts";
import { listReferrers } from "./list_referrers.ts";
import { type FiledManifests, findManifest, resolveManifest } from "./find_manifest.ts";
import { type BlobState, HeldBlobs } from "./held_blobs.ts";
import { forgetImages, listForgotten, type UnwantedImage } from "./forget_images.ts";
import type { Ingest } from "./ingest.ts";
import { blobPath, layerLinkPath, partialPath, revisionsPath, tagIndexLinkPath, tagLinkPath } from "./layout.ts";
import { Links } from "./links.ts";
import { listRepositories, listRevisions, listTagFolders } from "./list_repositories.ts";
import { ManifestFiles } from "./manifest_files.ts";
import { NamedBlobs } from "./named_blobs.ts";
import { repositoryNames } from "./repository_names.ts";
import { Spool, type SpoolOptions } from "./spool.ts";
import { WriteHealth } from "./write_health.ts";

/** Options of a `DiskStore`. */
export interface DiskStoreOptions {
  /** Called with a message for each defect in the store that does not prevent the operation. */
  readonly warn?: (message: string) => void;
  /** Size of each in-memory cache: of manifests, and of what they and links state, in bytes. Default: 16 MiB. */
  readonly cacheBytes?: number;
  /** The blobs that clients read. Default: with a budget of its own. */
  readonly files?: SharedFiles;
  /** Whether a blob counts as held only after its content was hashed once. */
  readonly isHashing?: boolean;
  /** Whether corrupt blobs stay in place. They count as missing all the same. */
  readonly isReadOnly?: boolean;
}

const DEFAULT_CACHE_BYTES = 16 * 1024 * 1024;

/** A store on disk, in the layout of CNCF distribution's filesystem driver. */
export class DiskStore implements ImportStore, TaggedStore {
  /** Whether the store accepts content. */
  readonly health: WriteHealth;
  readonly #root: string;
  readonly #links: Links;
  readonly #blobs: HeldBlobs;
  readonly #manifests: ManifestFiles;
  readonly #named: NamedBlobs;
  readonly #filed: FiledManifests;
  readonly #grants: BlobGrants;
  readonly #spool: Spool;

  /** @param root the data folder; created by the first write */
  constructor(root: string, options: DiskStoreOptions = {}) {
    const { warn = () => {}, files = new SharedFiles(), cacheBytes = DEFAULT_CACHE_BYTES } = options;
    this.#root = root;
    const health = this.health = new WriteHealth({ warn });
    const moveToTarget: SpoolOptions["moveToTarget"] = (...moved) => this.#moveToBlobs(...moved);
    this.#spool = new Spool({ folder: root, files, moveToTarget });
    const links = this.#links = new Links({ root, warn, health, cacheBytes });
    const blobs = this.#blobs = new HeldBlobs({ ...options, root, files, warn, cacheBytes });
    const manifests = this.#manifests = new ManifestFiles({ root, links, blobs, health, cacheBytes, warn });
    const named = this.#named = new NamedBlobs({ root, read: (repo, digest) => manifests.load(repo, digest) });
    this.#grants = new BlobGrants({ root, links, blobs, manifests, named });
    this.#filed = {
      readTag: (name, tag) => links.read(tagLinkPath(name, tag)),
      load: async (name, digest) => manifests.isLinked(name, digest) ? await manifests.load(name, digest) : undefined,
    };
  }

  async resolve(repo: string, tagOrDigest: string): Promise<Descriptor | undefined> {
    return this.#present(await resolveManifest(repo, tagOrDigest, this.#filed))?.descriptor;
  }

  async readManifest(repo: string, digest: Digest): Promise<Uint8Array | undefined> {
    return (await findManifest(repo, digest, (name) => this.#manifests.load(name, digest)))?.bytes;
  }

  /** Returns the media type of a manifest of the repository. */
  async typeOfManifest(repo: string, digest: Digest): Promise<string | undefined> {
    return (await findManifest(repo, digest, this.#filed.load))?.descriptor.mediaType;
  }

  /**
   * Returns the size of a blob in bytes, whichever repository it belongs to. A blob is missing if its size is not the
   * one that a manifest states, unless its content has the digest.
   *
   * @param repo the repository whose manifests state the size; `""` for those that were read before
   */
  async statBlob(repo: string, digest: Digest): Promise<number | undefined> {
    return this.#present(await this.#learnSize(repo, digest) ? await this.#blobs.stat(digest) : undefined);
  }

  async openBlob(repo: string, digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined> {
    return this.#present(await this.#learnSize(repo, digest) ? await this.#blobs.open(digest, range) : undefined);
  }

  // In a folder that was moved away or unmounted nothing is found, but it is not known to be missing.
  #present<T>(found: T | undefined): T | undefined {
    if (found === undefined) checkFolder(this.#root);
    return found;
  }

  /** Learns the size that a manifest states. Returns false if its file was checked, and is missing. */
  async #learnSize(repo: string, digest: Digest): Promise<boolean> {
    // When the size is known, only the caller checks the file.
    if (repo === "" || this.#blobs.knowsSize(digest)) return true;
    if (this.#blobs.statFile(digest) === undefined) return false;
    // The manifests of the repository are read once, and with them the sizes.
    for (const name of repositoryNames(repo)) if (await this.#named.has(name, digest)) break;
    return true;
  }

  /** Reports whether a repository may serve a blob, if the store has it; see `BlobGrants`. */
  isLinkedBlob(repo: string, digest: Digest): Promise<boolean> {
    return this.#grants.isGranted(repo, digest);
  }

  isGivenBy(host: string, digest: Digest): Promise<boolean> {
    return this.#grants.isGivenBy(host, digest);
  }

  isHeld(digest: Digest): Promise<boolean> {
    return Promise.resolve(this.#blobs.statFile(digest) !== undefined);
  }

  checkBlob(digest: Digest, onChunk?: (bytes: number) => void | Promise<void>): Promise<BlobState> {
    return this.#blobs.check(digest, onChunk);
  }

  async listTags(repo: string, options: ListOptions = {}): Promise<TagPage | undefined> {
    for (const name of repositoryNames(repo)) {
      const read = (tag: string) => this.#links.read(tagLinkPath(name, tag));
      const tags = listTagFolders(this.#root, name);
      if (tags.some(read)) {
        const { entries, isMore } = takePage(tags, options, (tag) => read(tag) !== undefined);
        return { tags: entries, isMore };
      }
      if (await listFolder(this.#path(revisionsPath(name))) !== undefined) return { tags: [], isMore: false };
    }
    return undefined;
  }

  /** Lists the tags filed under exactly this repository name, with the digest that each refers to. */
  // deno-lint-ignore require-await
  async listTagLinks(repo: string): Promise<TagLink[]> {
    return listTagFolders(this.#root, repo).flatMap((tag) => {
      const path = tagLinkPath(repo, tag);
      const digest = this.#links.read(path);
      return digest === undefined ? [] : [{ tag, digest, date: this.#links.dateOf(path) }];
    });
  }

  listRepositories(options?: ListOptions): Promise<RepositoryPage> {
    return listRepositories(this.#root, options);
  }

  // deno-lint-ignore require-await
  async listManifests(repo: string): Promise<Digest[]> {
    return listRevisions(this.#root, repo);
  }

  async listReferrers(repo: string, digest: Digest): Promise<ReferrerList> {
    const load = (name: string, candidate: Digest) => this.#manifests.load(name, candidate);
    const list = (name: string) => this.listManifests(name);
    return { referrers: await listReferrers(repositoryNames(repo), digest, { list, load }) };
  }

  openIngest(digest: Digest, repo?: string | ReadonlySet<string>): Promise<Ingest> {
    return this.health.run(this.#path(partialPath(digest)), () => this.#spool.openIngest(digest, repo));
  }

  statIngest(digest: Digest): Promise<number> {
    return this.#spool.statIngest(digest);
  }

  listPieces(digest: Digest): Promise<PieceRange[]> {
    return this.#spool.listPieces(digest);
  }

  openPieces(digest: Digest): Promise<BlobPieces> {
    return this.#spool.openPieces(digest);
  }

  async writeBlob(repo: string, { digest, size }: Descriptor, body: ReadableStream<Uint8Array>): Promise<void> {
    if (await this.statBlob(repo, digest) === size) await body.cancel();
    else {
      // Does not resume a partial download: its content is not verified, and here the whole body is available.
      await this.health.run(this.#path(partialPath(digest)), () => this.#spool.writeBlob(digest, size, body));
    }
    await this.linkBlob(repo, digest);
  }

  async writeManifest(repo: string, expected: NewManifest, bytes: Uint8Array): Promise<void> {
    const { digest, size, mediaType, isFetched = false } = expected;
    verifyBytes(bytes, digest, size);
    parseManifest(bytes, mediaType);
    await this.#manifests.write(repo, expected, { bytes, isFetched });
    // Restores files that a concurrent collection removed before the first call had written the reference.
    await this.#manifests.write(repo, expected, { bytes, isFetched });
    if (await this.#manifests.load(repo, digest) !== undefined) return;
    this.#manifests.remember(repo, digest, { bytes, mediaType, isFetched });
  }

  async tag(repo: string, tag: string, digest: Digest): Promise<void> {
    checkTag(repo, tag);
    const manifest = await this.#manifests.load(repo, digest);
    await this.#links.write(tagIndexLinkPath(repo, tag, digest), digest);
    await this.#links.write(tagLinkPath(repo, tag), digest);
    // Until now the manifest may have been unreferenced, and removed by a concurrent garbage collection.
    if (manifest !== undefined) await this.#manifests.write(repo, manifest.descriptor, manifest);
  }

  openScratch(): Promise<Scratch> {
    return this.#spool.openScratch();
  }

  addBlob(body: ReadableStream<Uint8Array>, expected?: Digest): Promise<Digest> {
    return this.#spool.addBlob(body, expected);
  }

  discardBlob(digest: Digest): Promise<void> {
    return this.#blobs.discard(digest);
  }

  /** As the function `forgetImages`; with `dryRun`, only lists the tags that would be removed. */
  async forgetImages(
    images: readonly UnwantedImage[],
    { keep = new Set(), dryRun = false }: { readonly keep?: ReadonlySet<Digest>; readonly dryRun?: boolean },
  ): Promise<string[]> {
    return dryRun ? listForgotten(this.#root, images) : await forgetImages(this.#root, images, keep);
  }

  /** Drops a manifest from the in-memory cache, after it was removed from the folder. */
  forgetManifest(repo: string, digest: Digest): void {
    this.#manifests.forget(repo, digest);
  }

  async linkBlob(repo: string, digest: Digest): Promise<void> {
    await this.#links.write(layerLinkPath(repo, digest), digest);
  }

  // The lease of a writer keeps every blob that the store holds.
  keepBlob(): Promise<boolean> {
    return Promise.resolve(true);
  }

  async #moveToBlobs(path: string, digest: Digest, repos?: string | ReadonlySet<string>): Promise<void> {
    const target = this.#path(blobPath(digest));
    if (repos === undefined) return await commitFile(path, target);
    await this.health.run(target, () => commitFile(path, target));
    // Without a link the blob is fetched again for the next client of its repository.
    for (const each of typeof repos === "string" ? [repos] : repos) await this.linkBlob(each, digest).catch(() => {});
  }

  #path(path: string): string {
    return `${this.#root}/${path}`;
  }
}
