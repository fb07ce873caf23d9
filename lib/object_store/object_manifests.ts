import { runBounded } from "../content/bounded_tasks.ts";
import { SingleFlight } from "../content/single_flight.ts";
import { verifyBytes } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError, RegistryError } from "../oci/error.ts";
import { type Descriptor, isManifestType, parseManifest, statesMediaType, successorsOf } from "../oci/manifest.ts";
import { blobPath, fetchedMarkPath, layerLinkPath, mediaTypePath, revisionLinkPath } from "../store/layout.ts";
import { type CachedManifest, ManifestCache } from "../store/manifest_cache.ts";
import type { CondemnedBlobs } from "./condemned_blobs.ts";
import { ExpiringMap } from "./expiring_map.ts";
import { ManifestsInBucket } from "./mark_bucket.ts";
import type { ObjectLinks } from "./object_links.ts";
import type { S3Client } from "./s3_client.ts";

/** Options of `ObjectManifests`. */
interface ObjectManifestsOptions {
  readonly client: S3Client;
  readonly links: ObjectLinks;
  readonly condemned: CondemnedBlobs;
  readonly warn: (message: string) => void;
}

/** A manifest to write. */
interface WrittenManifest {
  readonly bytes: Uint8Array;
  /** Whether it was fetched from an upstream, and therefore grants no blobs. */
  readonly isFetched: boolean;
}

const CACHE_BYTES = 16 * 1024 * 1024;
// How long a manifest is served from memory before the storage is asked whether its repository still has it.
const FRESH_MILLISECONDS = 10_000;
const MAX_FRESH = 10_000;
const CONCURRENT_LINKS = 16;
const encoder = new TextEncoder();

/** The manifests in the bucket, and a cache of them. Repository names are those of the folders. */
export class ObjectManifests {
  /** Reads them whatever their repository. */
  readonly reader: ManifestsInBucket;
  readonly #options: ObjectManifestsOptions;
  readonly #cache = new ManifestCache(CACHE_BYTES);
  readonly #fresh = new ExpiringMap<true>({ ttl: FRESH_MILLISECONDS, maxSize: MAX_FRESH });
  readonly #loads = new SingleFlight<CachedManifest | undefined>();

  constructor(options: ObjectManifestsOptions) {
    this.#options = options;
    this.reader = new ManifestsInBucket(options.client, options.warn);
  }

  /** Reads a manifest of a repository; `undefined` if it is missing or, with a warning, corrupt. */
  async load(repo: string, digest: Digest): Promise<CachedManifest | undefined> {
    const key = `${repo}@${digest}`;
    const cached = this.#fresh.has(key) ? this.#cache.get(key) : undefined;
    return cached ?? await this.#loads.run(key, () => this.#read(repo, digest));
  }

  async #read(repo: string, digest: Digest): Promise<CachedManifest | undefined> {
    const { client, warn } = this.#options;
    const key = `${repo}@${digest}`;
    const link = revisionLinkPath(repo, digest);
    const beside = await this.#listBeside(link);
    if (!beside.has(link)) {
      this.#cache.delete(key);
      return undefined;
    }
    const isFetched = beside.has(fetchedMarkPath(link)!);
    const known = this.#cache.get(key);
    if (known?.isFetched === isFetched) {
      this.#fresh.set(key, true);
      return known;
    }
    try {
      const bytes = (await client.read(blobPath(digest)))?.bytes;
      if (bytes === undefined) return undefined;
      verifyBytes(bytes, digest);
      const typePath = mediaTypePath(link)!;
      const stated = beside.has(typePath) ? (await client.read(typePath))?.bytes : undefined;
      const manifest = parseManifest(bytes, stated && new TextDecoder().decode(stated).trim());
      const descriptor = { mediaType: manifest.mediaType, digest, size: bytes.length };
      const read = { descriptor, bytes, manifest, isFetched };
      this.#cache.set(key, read);
      this.#fresh.set(key, true);
      return read;
    } catch (error) {
      const isCorrupt = error instanceof CorruptError || error instanceof RegistryError && error.code === "BAD_GATEWAY";
      if (!isCorrupt) throw error;
      warn(`Cannot use the manifest ${digest} of ${repo}: ${error.clause}; treating it as missing`);
      return undefined;
    }
  }

  /**
   * Writes the content, the links and the media type of a manifest, children first. A fetched manifest that the
   * repository already has keeps the rights that it has.
   */
  async write(repo: string, { digest, mediaType }: Descriptor, { bytes, isFetched }: WrittenManifest): Promise<void> {
    const { client, links, condemned } = this.#options;
    const manifest = parseManifest(bytes, mediaType);
    if (manifest.kind === "manifest" && !isFetched) {
      // A link does not mean that the blob exists: an import may store a manifest before its blobs.
      const blobs = new Set(successorsOf(manifest).map((it) => it.digest));
      await runBounded(blobs, CONCURRENT_LINKS, (blob) => links.write(layerLinkPath(repo, blob), blob));
    }
    await client.write(blobPath(digest), bytes.slice());
    const link = revisionLinkPath(repo, digest);
    const [mark, typePath] = [fetchedMarkPath(link)!, mediaTypePath(link)!];
    let isMarked: boolean;
    let needed: string[];
    // A garbage collection may remove the link, and what is beside it, after that was read and before it was kept.
    do {
      const beside = await this.#listBeside(link);
      isMarked = beside.has(mark);
      // Before the link, which without it would grant the blobs.
      const mustMark = isFetched && (!beside.has(link) || isMarked);
      if (mustMark) await client.write(mark, new Uint8Array(0));
      // What was stated first is kept, so that clients always see the same type.
      const mustState = !statesMediaType(bytes) && isManifestType(manifest.mediaType);
      if (mustState && !beside.has(typePath)) await client.write(typePath, encoder.encode(manifest.mediaType));
      await links.write(link, digest);
      while (!await condemned.keep(digest)) await client.write(blobPath(digest), bytes.slice());
      needed = [link, ...mustMark ? [mark] : [], ...mustState ? [typePath] : []];
    } while (!await this.#hasAll(needed));
    if (!isFetched && isMarked) await client.remove(mark);
    this.#fresh.delete(`${repo}@${digest}`);
  }

  /**
   * Shows a garbage collection that has read the tags already that a manifest is in use: by the time of its link.
   *
   * @throws {RegistryError} `UNAVAILABLE` when it was faster
   */
  async renew(names: readonly string[], digest: Digest): Promise<void> {
    const { client, links, condemned } = this.#options;
    for (const name of names) {
      const link = revisionLinkPath(name, digest);
      const before = [...await this.#listBeside(link)];
      if (!before.includes(link)) continue;
      await links.write(link, digest);
      if (await condemned.keep(digest) && await this.#hasAll(before)) return;
      // A link without what was beside it could grant more.
      await client.remove(link);
      const reason = "a garbage collection has just removed it; try again";
      throw new RegistryError("UNAVAILABLE", cannot(`use the manifest ${digest} of ${name}`, reason));
    }
  }

  async #hasAll(keys: readonly string[]): Promise<boolean> {
    const present = await this.#listBeside(keys[0]!);
    return keys.every((key) => present.has(key));
  }

  // One request tells of the link and of the objects beside it.
  async #listBeside(link: string): Promise<Set<string>> {
    const prefix = link.slice(0, link.lastIndexOf("/") + 1);
    const { objects } = await this.#options.client.list({ prefix });
    return new Set(objects.map(({ key }) => key));
  }
}
