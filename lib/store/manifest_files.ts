import { SingleFlight } from "../content/single_flight.ts";
import { verifyBytes } from "../content/verifier.ts";
import { removeIfPresent, writeFileDurably } from "../files/durable.ts";
import { ifPresent, ifPresentSync, isAbsent } from "../files/if_present.ts";
import { computeDigest, type Digest, splitDigest } from "../oci/digest.ts";
import { CorruptError, RegistryError } from "../oci/error.ts";
import {
  type Descriptor,
  isManifestType,
  type Manifest,
  MAX_MANIFEST_BYTES,
  parseManifest,
  statesMediaType,
  successorsOf,
} from "../oci/manifest.ts";
import { blobPath, fetchedMarkPath, layerLinkPath, mediaTypePath, revisionLinkPath, temporaryPath } from "./layout.ts";
import type { HeldBlobs } from "./held_blobs.ts";
import { type Links, readLinkText } from "./links.ts";
import type { WriteHealth } from "./write_health.ts";
import { type CachedManifest, ManifestCache } from "./manifest_cache.ts";

/** Options of `ManifestFiles`. */
interface ManifestFilesOptions {
  /** The data folder. */
  readonly root: string;
  readonly links: Links;
  readonly blobs: HeldBlobs;
  /** Records which writes fail. */
  readonly health: WriteHealth;
  /** Size of the in-memory cache, in bytes. */
  readonly cacheBytes: number;
  readonly warn: (message: string) => void;
}

/** The content of a manifest, and where it comes from. */
interface ManifestContent {
  readonly bytes: Uint8Array;
  /** Whether it was fetched from an upstream, and therefore grants no blobs. */
  readonly isFetched: boolean;
}

// A manifest that was not fetched also grants its repository the blobs that it names: the links serve CNCF distribution.
// Their number is bounded, because each takes two files of the file system.
const MAX_LINKED_BLOBS = 1000;
const SMALL_BYTES = 64 * 1024;
const encoder = new TextEncoder();

/** The manifests in the data folder, and a cache of them. Repository names are those of the folders. */
export class ManifestFiles {
  readonly #options: ManifestFilesOptions;
  readonly #links: Links;
  readonly #cache: ManifestCache;
  /** The manifests that are being read, once for all concurrent callers. */
  readonly #loading = new SingleFlight<CachedManifest | undefined>();

  constructor(options: ManifestFilesOptions) {
    this.#options = options;
    this.#links = options.links;
    this.#cache = new ManifestCache(options.cacheBytes);
  }

  /** Reports whether a manifest is linked to a repository. */
  isLinked(repo: string, digest: Digest): boolean {
    const isLinked = this.#links.read(revisionLinkPath(repo, digest)) !== undefined;
    // A manifest that another process removed must leave the cache, or it would never be stored again.
    if (!isLinked) this.forget(repo, digest);
    return isLinked;
  }

  /** Reads a manifest; `undefined` if it is missing or, with a warning, corrupt. */
  async load(repo: string, digest: Digest): Promise<CachedManifest | undefined> {
    const key = `${repo}@${digest}`;
    return this.#cache.get(key) ?? await this.#loading.run(key, () => this.#read(repo, digest));
  }

  async #read(repo: string, digest: Digest): Promise<CachedManifest | undefined> {
    const { root, blobs, warn } = this.#options;
    const link = revisionLinkPath(repo, digest);
    if (this.#links.read(link) === undefined) return undefined;
    const size = blobs.statFile(digest);
    if (size === undefined || size > MAX_MANIFEST_BYTES) return undefined;
    try {
      const path = `${root}/${blobPath(digest)}`;
      // Synchronous, like reading a link: most manifests are small.
      const bytes = size <= SMALL_BYTES ? Deno.readFileSync(path) : await Deno.readFile(path);
      verifyBytes(bytes, digest);
      // One listing instead of two errors: most manifests have neither file.
      const beside = listPathsSync(`${root}/${link.slice(0, link.lastIndexOf("/"))}`);
      const typePath = `${root}/${mediaTypePath(link)}`;
      const mediaType = beside.includes(typePath) ? readLinkText(typePath) : undefined;
      // The file is empty: only its presence counts.
      const isFetched = beside.includes(`${root}/${fetchedMarkPath(link)}`);
      return this.remember(repo, digest, { bytes, isFetched, mediaType });
    } catch (error) {
      if (isAbsent(error)) return undefined;
      if (!(error instanceof RegistryError || error instanceof CorruptError)) throw error;
      warn(`Cannot use the manifest ${digest} of ${repo}: ${error.clause}; treating it as missing`);
      return undefined;
    }
  }

  /**
   * Writes the file, the links and the media type of a manifest, as far as they are missing or corrupt. A fetched
   * manifest that the repository already has keeps the rights that it has.
   */
  async write(repo: string, descriptor: Descriptor, { bytes, isFetched }: ManifestContent): Promise<void> {
    if (!await this.#holdsIntact(descriptor)) await this.#writeFile(blobPath(descriptor.digest), bytes);
    const manifest = parseManifest(bytes, descriptor.mediaType);
    // A link does not mean that the blob exists: an import may store a manifest before its blobs.
    if (manifest.kind === "manifest" && !isFetched) {
      const digests = new Set(successorsOf(manifest).map(({ digest }) => digest));
      for (const digest of [...digests].slice(0, MAX_LINKED_BLOBS)) {
        await this.#links.write(layerLinkPath(repo, digest), digest);
      }
    }
    const link = revisionLinkPath(repo, descriptor.digest);
    const isKept = isFetched && this.#links.read(link) !== undefined;
    // Before the link, which without it would grant the blobs.
    if (isFetched && !isKept) await this.#writeFile(fetchedMarkPath(link)!, new Uint8Array(0));
    if (!statesMediaType(bytes)) await this.#writeMediaType(mediaTypePath(link)!, manifest);
    // A link that a collection has removed since is not written without the mark: the next call writes both.
    if (!isKept) await this.#links.write(link, descriptor.digest);
    if (isFetched) return;
    await removeIfPresent(`${this.#options.root}/${fetchedMarkPath(link)}`);
    this.forget(repo, descriptor.digest);
  }

  /** Adds a manifest to the cache. @param mediaType its type, if it does not state one itself */
  remember(
    repo: string,
    digest: Digest,
    { bytes, isFetched, mediaType }: ManifestContent & { readonly mediaType?: string | undefined },
  ): CachedManifest {
    const manifest = parseManifest(bytes, mediaType);
    const descriptor = { mediaType: manifest.mediaType, digest, size: bytes.length };
    const cached = { descriptor, bytes, manifest, isFetched };
    this.#options.blobs.learn(manifest);
    this.#cache.set(`${repo}@${digest}`, cached);
    return cached;
  }

  /** Removes a manifest from the cache. */
  forget(repo: string, digest: Digest): void {
    this.#cache.delete(`${repo}@${digest}`);
  }

  // What was stated first is kept, so that clients always see the same type.
  async #writeMediaType(path: string, { mediaType }: Manifest): Promise<void> {
    const before = await ifPresent(Deno.readTextFile(`${this.#options.root}/${path}`));
    if (before !== undefined && isManifestType(before.trim())) return;
    await this.#writeFile(path, encoder.encode(mediaType));
  }

  async #writeFile(path: string, bytes: Uint8Array): Promise<void> {
    const { root, health } = this.#options;
    const full = `${root}/${path}`;
    await health.run(full, () => writeFileDurably(full, bytes, { temporary: temporaryPath(root) }));
  }

  async #holdsIntact({ digest, size }: Descriptor): Promise<boolean> {
    const { root, blobs } = this.#options;
    if (blobs.statFile(digest) !== size) return false;
    const bytes = await ifPresent(Deno.readFile(`${root}/${blobPath(digest)}`));
    return bytes !== undefined && computeDigest(bytes, splitDigest(digest).algorithm) === digest;
  }
}

function listPathsSync(folder: string): string[] {
  return ifPresentSync(() => Array.from(Deno.readDirSync(folder), ({ name }) => `${folder}/${name}`)) ?? [];
}
