import type { ByteRange } from "../bytes/byte_range.ts";
import type { OpenedBlob } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import type { GrantingStore, IngestStore } from "./blob_store.ts";

/**
 * A store as clients of a registry may see it: a repository has only the blobs that it links to, or that a manifest of it
 * names which was not fetched. Otherwise the name of any repository would give access to the content of all.
 */
export class LinkedStore implements IngestStore {
  readonly #store: GrantingStore;
  readonly resolve: GrantingStore["resolve"] = (...given) => this.#store.resolve(...given);
  readonly readManifest: GrantingStore["readManifest"] = (...given) => this.#store.readManifest(...given);
  readonly typeOfManifest: GrantingStore["typeOfManifest"] = (...given) => this.#store.typeOfManifest(...given);
  readonly listTags: GrantingStore["listTags"] = (...given) => this.#store.listTags(...given);
  readonly listRepositories: GrantingStore["listRepositories"] = (...given) => this.#store.listRepositories(...given);
  readonly listManifests: GrantingStore["listManifests"] = (...given) => this.#store.listManifests(...given);
  readonly listReferrers: GrantingStore["listReferrers"] = (...given) => this.#store.listReferrers(...given);
  readonly writeBlob: GrantingStore["writeBlob"] = (...given) => this.#store.writeBlob(...given);
  readonly writeManifest: GrantingStore["writeManifest"] = (...given) => this.#store.writeManifest(...given);
  readonly isHeld: GrantingStore["isHeld"] = (...given) => this.#store.isHeld(...given);
  readonly isGivenBy: GrantingStore["isGivenBy"] = (...given) => this.#store.isGivenBy(...given);
  readonly tag: GrantingStore["tag"] = (...given) => this.#store.tag(...given);
  readonly openIngest: GrantingStore["openIngest"] = (...given) => this.#store.openIngest(...given);
  readonly linkBlob: GrantingStore["linkBlob"] = (...given) => this.#store.linkBlob(...given);

  constructor(store: GrantingStore) {
    this.#store = store;
  }

  async statBlob(repo: string, digest: Digest): Promise<number | undefined> {
    return await this.#store.isLinkedBlob(repo, digest) ? await this.#store.statBlob(repo, digest) : undefined;
  }

  async openBlob(repo: string, digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined> {
    return await this.#store.isLinkedBlob(repo, digest) ? await this.#store.openBlob(repo, digest, range) : undefined;
  }

  async claimDownload(repo: string, digest: Digest): Promise<AsyncDisposable | "stored" | undefined> {
    return await this.#store.claimDownload?.(repo, digest);
  }
}
