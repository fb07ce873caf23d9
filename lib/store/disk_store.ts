import { type ByteRange, resolveRange } from "../bytes/byte_range.ts";
import { drain, streamFile } from "../bytes/file_stream.ts";
import type { ListOptions, OpenedBlob, TagPage } from "../content/source.ts";
import { takePage } from "../content/take_page.ts";
import { verifyBytes } from "../content/verifier.ts";
import { writeFileDurably } from "../files/durable.ts";
import { absentIfNotFound, listFolder } from "../files/read_if_present.ts";
import { computeDigest, type Digest, isDigest, splitDigest } from "../oci/digest.ts";
import { CorruptError, RegistryError } from "../oci/error.ts";
import { type Descriptor, MAX_MANIFEST_BYTES, parseManifest, successorsOf } from "../oci/manifest.ts";
import { isTag } from "../oci/reference.ts";
import { BlobPieces, type PieceRange, readPieceList } from "./blob_pieces.ts";
import type { PieceStore } from "./blob_store.ts";
import { describeReferrer } from "./describe_referrer.ts";
import { Ingest, type IngestOptions } from "./ingest.ts";
import {
  blobPath,
  INGEST,
  layerLinkPath,
  partialPath,
  pieceListPath,
  piecesPath,
  revisionLinkPath,
  revisionsPath,
  tagIndexLinkPath,
  tagLinkPath,
  tagsPath,
} from "./layout.ts";
import { Links } from "./links.ts";
import { listRepositories, listRevisions } from "./list_repositories.ts";
import { type CachedManifest, ManifestCache } from "./manifest_cache.ts";
import { repositoryNames } from "./repository_names.ts";

/** Options of a `DiskStore`. */
export interface DiskStoreOptions {
  /** Called with a message for each defect in the store that does not prevent the operation. */
  readonly warn?: (message: string) => void;
  /** Returns a unique name for a temporary file. Default: a random UUID. */
  readonly randomName?: () => string;
  /** Size of the in-memory manifest cache, in bytes. Default: 16 MiB. */
  readonly cacheBytes?: number;
}

const DEFAULT_CACHE_BYTES = 16 * 1024 * 1024;
const EMPTY_DIGESTS = new Set<Digest>([computeDigest("", "sha256"), computeDigest("", "sha512")]);

/** A store on disk, in the layout of CNCF distribution's filesystem driver. */
export class DiskStore implements PieceStore {
  readonly #root: string;
  readonly #warn: (message: string) => void;
  readonly #randomName: () => string;
  readonly #cache: ManifestCache;
  readonly #links: Links;

  /** @param root the data folder; created by the first write */
  constructor(root: string, options: DiskStoreOptions = {}) {
    this.#root = root;
    this.#warn = options.warn ?? (() => {});
    this.#randomName = options.randomName ?? (() => crypto.randomUUID());
    this.#cache = new ManifestCache(options.cacheBytes ?? DEFAULT_CACHE_BYTES);
    this.#links = new Links({ root, warn: this.#warn, temporaryPath: () => this.#temporaryPath() });
  }

  async resolve(repo: string, tagOrDigest: string): Promise<Descriptor | undefined> {
    const names = repositoryNames(repo);
    if (isDigest(tagOrDigest)) return await this.#resolveDigest(names, tagOrDigest);
    for (const name of names) {
      const digest = this.#links.read(tagLinkPath(name, tagOrDigest));
      // The tag may be linked under another of the repository's names than the manifest it refers to.
      const manifest = digest && await this.#resolveDigest([name, ...names], digest);
      if (manifest) return manifest;
    }
    return undefined;
  }

  async #resolveDigest(names: readonly string[], digest: Digest): Promise<Descriptor | undefined> {
    for (const name of names) {
      const manifest = this.#readRevision(name, digest) && await this.#loadManifest(name, digest);
      if (manifest) return manifest.descriptor;
    }
    return undefined;
  }

  async readManifest(repo: string, digest: Digest): Promise<Uint8Array | undefined> {
    for (const name of repositoryNames(repo)) {
      const manifest = await this.#loadManifest(name, digest);
      if (manifest !== undefined) return manifest.bytes;
    }
    return undefined;
  }

  // Synchronous, like reading a link: serving an image without an upstream checks every one of its blobs.
  // deno-lint-ignore require-await
  async statBlob(_repo: string, digest: Digest): Promise<number | undefined> {
    return this.#stat(digest);
  }

  #stat(digest: Digest): number | undefined {
    try {
      const { isFile, isSymlink, size } = Deno.lstatSync(this.#path(blobPath(digest)));
      if (!isFile) {
        throw new Error(`Cannot serve ${digest}: its path is a ${isSymlink ? "symbolic link" : "folder"}`);
      }
      // A crash can leave a file truncated to 0 bytes, which is not a blob.
      return size > 0 || EMPTY_DIGESTS.has(digest) ? size : undefined;
    } catch (error) {
      return absentIfNotFound(error);
    }
  }

  async openBlob(_repo: string, digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined> {
    const size = this.#stat(digest);
    if (size === undefined) return undefined;
    const { start, length } = resolveRange(size, range);
    try {
      const file = await Deno.open(this.#path(blobPath(digest)));
      return { size, start, length, body: streamFile(file, start, length) };
    } catch (error) {
      return absentIfNotFound(error);
    }
  }

  async listTags(repo: string, options: ListOptions = {}): Promise<TagPage | undefined> {
    for (const name of repositoryNames(repo)) {
      const links = await this.listTagLinks(name);
      const { entries: tags, isMore } = takePage(links.map(({ tag }) => tag), options);
      if (links.length > 0 || await listFolder(this.#path(revisionsPath(name)))) return { tags, isMore };
    }
    return undefined;
  }

  /** Lists the tags filed under exactly this repository name, with the digest that each refers to. */
  async listTagLinks(repo: string): Promise<{ tag: string; digest: Digest }[]> {
    const found: { tag: string; digest: Digest }[] = [];
    for (const { name: tag } of await listFolder(this.#path(tagsPath(repo))) ?? []) {
      const digest = isTag(tag) ? this.#links.read(tagLinkPath(repo, tag)) : undefined;
      if (digest !== undefined) found.push({ tag, digest });
    }
    return found.sort((a, b) => a.tag < b.tag ? -1 : 1);
  }

  listRepositories(): Promise<string[]> {
    return listRepositories(this.#root);
  }

  /** Lists the digests of the manifests filed under exactly this repository name. */
  listManifests(repo: string): Promise<Digest[]> {
    return listRevisions(this.#root, repo);
  }

  async listReferrers(repo: string, digest: Digest): Promise<Descriptor[]> {
    const found: Descriptor[] = [];
    for (const name of repositoryNames(repo)) {
      for (const candidate of await this.listManifests(name)) {
        const manifest = await this.#loadManifest(name, candidate);
        const referrer = manifest && describeReferrer(manifest, digest);
        if (referrer !== undefined) found.push(referrer);
      }
    }
    return found;
  }

  openIngest(digest: Digest): Promise<Ingest> {
    return Ingest.open({ ...this.#ingestOptions(digest), path: this.#path(partialPath(digest)) });
  }

  async statIngest(digest: Digest): Promise<number> {
    const file = await Deno.lstat(this.#path(partialPath(digest))).catch(absentIfNotFound);
    return file?.isFile ? file.size : 0;
  }

  listPieces(digest: Digest): Promise<PieceRange[]> {
    return readPieceList(this.#path(piecesPath(digest)), this.#path(pieceListPath(digest)));
  }

  openPieces(digest: Digest): Promise<BlobPieces> {
    return BlobPieces.open({
      digest,
      path: this.#path(piecesPath(digest)),
      listPath: this.#path(pieceListPath(digest)),
      target: this.#path(blobPath(digest)),
      temporaryPath: () => this.#temporaryPath(),
    });
  }

  async writeBlob(repo: string, expected: Descriptor, body: ReadableStream<Uint8Array>): Promise<void> {
    if (await this.statBlob(repo, expected.digest) === expected.size) await body.cancel();
    else await this.#ingest(expected, body);
    await this.linkBlob(repo, expected.digest);
  }

  async writeManifest(repo: string, expected: Descriptor, bytes: Uint8Array): Promise<void> {
    verifyBytes(bytes, expected.digest, expected.size);
    parseManifest(bytes, expected.mediaType);
    await this.#fileManifest(repo, expected, bytes);
    // Restores files that a concurrent collection removed before the first call had written the reference.
    await this.#fileManifest(repo, expected, bytes);
    this.#remember(repo, expected.digest, bytes);
  }

  async tag(repo: string, tag: string, digest: Digest): Promise<void> {
    if (!isTag(tag)) throw new RegistryError("TAG_INVALID", `Cannot tag ${repo}: ${JSON.stringify(tag)} is not a tag`);
    const manifest = await this.#loadManifest(repo, digest);
    await this.#links.write(tagIndexLinkPath(repo, tag, digest), digest);
    await this.#links.write(tagLinkPath(repo, tag), digest);
    // Until now the manifest may have been unreferenced, and removed by a concurrent garbage collection.
    if (manifest !== undefined) await this.#fileManifest(repo, manifest.descriptor, manifest.bytes);
  }

  /** Drops a manifest from the in-memory cache, after it was removed from the folder. */
  forgetManifest(repo: string, digest: Digest): void {
    this.#cache.delete(`${repo}@${digest}`);
  }

  async linkBlob(repo: string, digest: Digest): Promise<void> {
    await this.#links.write(layerLinkPath(repo, digest), digest);
  }

  async #fileManifest(repo: string, descriptor: Descriptor, bytes: Uint8Array): Promise<void> {
    if (!await this.#holdsIntact(descriptor)) {
      await writeFileDurably(this.#path(blobPath(descriptor.digest)), bytes, { temporary: this.#temporaryPath() });
    }
    const manifest = parseManifest(bytes, descriptor.mediaType);
    // A link does not mean that the blob exists: a cache stores a manifest before its blobs.
    if (manifest.kind === "manifest") {
      for (const { digest } of successorsOf(manifest)) await this.linkBlob(repo, digest);
    }
    await this.#links.write(revisionLinkPath(repo, descriptor.digest), descriptor.digest);
  }

  async #ingest(expected: Descriptor, body: ReadableStream<Uint8Array>): Promise<void> {
    // Does not resume a partial download: its content is not verified, and here the whole body is available.
    const ingest = await Ingest.open({ ...this.#ingestOptions(expected.digest), size: expected.size })
      .catch(async (error) => {
        await body.cancel(error);
        throw error;
      });
    try {
      await drain(body, (chunk) => ingest.write(chunk));
    } catch (error) {
      await ingest.abort();
      throw error;
    }
    await ingest.commit();
  }

  #ingestOptions(digest: Digest): IngestOptions {
    return {
      digest,
      path: this.#temporaryPath(),
      fallbackPath: this.#temporaryPath(),
      target: this.#path(blobPath(digest)),
    };
  }

  async #holdsIntact({ digest, size }: Descriptor): Promise<boolean> {
    if (await this.statBlob("", digest) !== size) return false;
    const bytes = await Deno.readFile(this.#path(blobPath(digest))).catch(absentIfNotFound);
    return bytes !== undefined && computeDigest(bytes, splitDigest(digest).algorithm) === digest;
  }

  // A manifest that another process removed must leave the cache, or it would never be stored again.
  #readRevision(repo: string, digest: Digest): Digest | undefined {
    const link = this.#links.read(revisionLinkPath(repo, digest));
    if (link === undefined) this.forgetManifest(repo, digest);
    return link && digest;
  }

  async #loadManifest(repo: string, digest: Digest): Promise<CachedManifest | undefined> {
    const cached = this.#cache.get(`${repo}@${digest}`);
    if (cached !== undefined) return cached;
    if (this.#links.read(revisionLinkPath(repo, digest)) === undefined) return undefined;
    const size = await this.statBlob(repo, digest);
    if (size === undefined || size > MAX_MANIFEST_BYTES) return undefined;
    try {
      const bytes = await Deno.readFile(this.#path(blobPath(digest)));
      verifyBytes(bytes, digest);
      return this.#remember(repo, digest, bytes);
    } catch (error) {
      if (!(error instanceof RegistryError || error instanceof CorruptError)) return absentIfNotFound(error);
      this.#warn(`Cannot use the manifest ${digest} of ${repo}: ${error.message}; treating it as missing`);
      return undefined;
    }
  }

  #remember(repo: string, digest: Digest, bytes: Uint8Array): CachedManifest {
    const { mediaType } = parseManifest(bytes);
    const manifest = { descriptor: { mediaType, digest, size: bytes.length }, bytes };
    this.#cache.set(`${repo}@${digest}`, manifest);
    return manifest;
  }

  #temporaryPath(): string {
    return this.#path(`${INGEST}/${this.#randomName()}.tmp`);
  }

  #path(path: string): string {
    return `${this.#root}/${path}`;
  }
}
