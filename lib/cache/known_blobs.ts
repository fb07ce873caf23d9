import { SingleFlight } from "../content/single_flight.ts";
import type { Digest } from "../oci/digest.ts";
import { unlessCorrupt } from "../oci/error.ts";
import { inlineDataOf } from "../oci/inline_data.ts";
import { parseManifest, successorsOf } from "../oci/manifest.ts";
import type { IngestStore } from "../store/blob_store.ts";
import { repositoryNames } from "../store/repository_names.ts";

/** What the manifests of a repository say about a blob. */
interface KnownBlob {
  /** In bytes; `undefined` if they disagree. */
  readonly size: number | undefined;
  /** The content, if a descriptor carries it. */
  readonly data?: Uint8Array<ArrayBuffer>;
}

/** A blob whose content a manifest carries. */
interface InlineBlob {
  readonly digest: Digest;
  readonly data: Uint8Array<ArrayBuffer>;
}

// Bounds of the memory. What is dropped is read from the manifests again.
const MAX_REPOSITORIES = 1000;
const MAX_BLOBS = 200_000;
const MAX_DATA_BYTES = 16 * 1024 * 1024;
// Manifests that are read for one blob, the first time that a repository's blob is missing.
const MAX_MANIFESTS = 2000;
// Blobs of one manifest that are stored when it is. Each is synced; the other ones are served from the manifest.
const MAX_INLINE = 64;

/**
 * The sizes of blobs, and the content that descriptors carry, as the stored manifests of each repository state them. A
 * digest alone says nothing of the size that a correct response must have.
 */
export class KnownBlobs {
  readonly #store: IngestStore;
  readonly #repositories = new Map<string, Map<Digest, KnownBlob>>();
  readonly #scanned = new Set<string>();
  readonly #scans = new SingleFlight<void>();
  #blobCount = 0;
  #dataBytes = 0;

  constructor(store: IngestStore) {
    this.#store = store;
  }

  /** Records what a manifest of a repository says. Returns the first blobs whose content it carries. */
  learn(repo: string, bytes: Uint8Array): InlineBlob[] {
    const known = this.#open(repo);
    const inline = new Map<Digest, InlineBlob>();
    for (const descriptor of unlessCorrupt(() => successorsOf(parseManifest(bytes))) ?? []) {
      const { digest, size } = descriptor;
      const before = known.get(digest);
      const data = before?.data ?? inlineDataOf(descriptor);
      if (before === undefined) this.#blobCount++;
      if (data !== undefined && inline.size < MAX_INLINE) inline.set(digest, { digest, data });
      if (data !== before?.data) this.#dataBytes += data!.length;
      known.set(digest, {
        size: before === undefined || before.size === size ? size : data?.length,
        data,
      });
    }
    this.#trim(repo);
    return [...inline.values()];
  }

  /** Returns what the manifests of a repository say about a blob; `undefined` if none of them refers to it. */
  async find(repo: string, digest: Digest): Promise<KnownBlob | undefined> {
    const known = this.#repositories.get(repo)?.get(digest);
    if (known !== undefined || this.#scanned.has(repo)) return known;
    await this.#scans.run(repo, () => this.#scan(repo));
    return this.#repositories.get(repo)?.get(digest);
  }

  async #scan(repo: string): Promise<void> {
    let read = 0;
    for (const name of repositoryNames(repo)) {
      for (const digest of await this.#store.listManifests(name)) {
        if (++read > MAX_MANIFESTS) break;
        const bytes = await this.#store.readManifest(repo, digest);
        if (bytes !== undefined) this.learn(repo, bytes);
      }
    }
    this.#open(repo);
    this.#scanned.add(repo);
    this.#trim(repo);
  }

  // The repository becomes the most recently used one.
  #open(repo: string): Map<Digest, KnownBlob> {
    const known = this.#repositories.get(repo) ?? new Map<Digest, KnownBlob>();
    this.#repositories.delete(repo);
    this.#repositories.set(repo, known);
    return known;
  }

  #trim(current: string): void {
    for (const [repo, known] of this.#repositories) {
      const isBounded = this.#repositories.size <= MAX_REPOSITORIES && this.#blobCount <= MAX_BLOBS &&
        this.#dataBytes <= MAX_DATA_BYTES;
      if (isBounded) return;
      // Of a single repository that is too large, the oldest blobs are dropped.
      if (repo === current) return this.#trimBlobs(known);
      this.#repositories.delete(repo);
      this.#scanned.delete(repo);
      for (const blob of known.values()) this.#discount(blob);
    }
  }

  #trimBlobs(known: Map<Digest, KnownBlob>): void {
    for (const [digest, blob] of known) {
      if (this.#blobCount <= MAX_BLOBS && this.#dataBytes <= MAX_DATA_BYTES) return;
      known.delete(digest);
      this.#discount(blob);
    }
  }

  #discount({ data }: KnownBlob): void {
    this.#blobCount--;
    this.#dataBytes -= data?.length ?? 0;
  }
}
