import type { ByteRange } from "../bytes/byte_range.ts";
import type { ListOptions, NewManifest, OpenedBlob, ReferrerList, RepositoryPage, TagPage } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/manifest.ts";
import type { GrantingStore, IngestStore } from "./blob_store.ts";
import type { Ingest } from "./ingest.ts";

/**
 * A store as clients of a registry may see it: a repository has only the blobs that it links to, or that a manifest of it
 * names which was not fetched. Otherwise the name of any repository would give access to the content of all.
 */
export class LinkedStore implements IngestStore {
  readonly #store: GrantingStore;

  constructor(store: GrantingStore) {
    this.#store = store;
  }

  async statBlob(repo: string, digest: Digest): Promise<number | undefined> {
    return await this.#store.isLinkedBlob(repo, digest) ? await this.#store.statBlob(repo, digest) : undefined;
  }

  async openBlob(repo: string, digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined> {
    return await this.#store.isLinkedBlob(repo, digest) ? await this.#store.openBlob(repo, digest, range) : undefined;
  }

  resolve(repo: string, tagOrDigest: string): Promise<Descriptor | undefined> {
    return this.#store.resolve(repo, tagOrDigest);
  }

  readManifest(repo: string, digest: Digest): Promise<Uint8Array | undefined> {
    return this.#store.readManifest(repo, digest);
  }

  typeOfManifest(repo: string, digest: Digest): Promise<string | undefined> {
    return this.#store.typeOfManifest(repo, digest);
  }

  listTags(repo: string, options?: ListOptions): Promise<TagPage | undefined> {
    return this.#store.listTags(repo, options);
  }

  listRepositories(options?: ListOptions): Promise<RepositoryPage> {
    return this.#store.listRepositories(options);
  }

  listManifests(repo: string): Promise<Digest[]> {
    return this.#store.listManifests(repo);
  }

  listReferrers(repo: string, digest: Digest): Promise<ReferrerList> {
    return this.#store.listReferrers(repo, digest);
  }

  writeBlob(repo: string, expected: Descriptor, body: ReadableStream<Uint8Array>): Promise<void> {
    return this.#store.writeBlob(repo, expected, body);
  }

  writeManifest(repo: string, expected: NewManifest, bytes: Uint8Array): Promise<void> {
    return this.#store.writeManifest(repo, expected, bytes);
  }

  isHeld(digest: Digest): Promise<boolean> {
    return this.#store.isHeld(digest);
  }

  isGivenBy(host: string, digest: Digest): Promise<boolean> {
    return this.#store.isGivenBy(host, digest);
  }

  tag(repo: string, tag: string, digest: Digest): Promise<void> {
    return this.#store.tag(repo, tag, digest);
  }

  openIngest(digest: Digest, repo?: string | ReadonlySet<string>): Promise<Ingest> {
    return this.#store.openIngest(digest, repo);
  }

  async claimDownload(repo: string, digest: Digest): Promise<AsyncDisposable | "stored" | undefined> {
    return await this.#store.claimDownload?.(repo, digest);
  }

  statIngest(digest: Digest): Promise<number> {
    return this.#store.statIngest(digest);
  }

  linkBlob(repo: string, digest: Digest): Promise<void> {
    return this.#store.linkBlob(repo, digest);
  }
}
