import { Turns } from "../bytes/turns.ts";
import type { Digest } from "../oci/digest.ts";
import type { HeldBlobs } from "./held_blobs.ts";
import { layerLinkPath } from "./layout.ts";
import type { Links } from "./links.ts";
import { walkRepositories } from "./list_repositories.ts";
import type { ManifestFiles } from "./manifest_files.ts";
import type { NamedBlobs } from "./named_blobs.ts";
import { repositoryNames } from "./repository_names.ts";

/** Options of `BlobGrants`. */
interface BlobGrantsOptions {
  /** The data folder. */
  readonly root: string;
  readonly links: Links;
  readonly blobs: HeldBlobs;
  readonly manifests: ManifestFiles;
  readonly named: NamedBlobs;
}

/** Which repositories may serve a blob of the store. */
export class BlobGrants {
  readonly #options: BlobGrantsOptions;

  constructor(options: BlobGrantsOptions) {
    this.#options = options;
  }

  /** Reports whether a repository has a link to a blob, or a manifest that names it and was not fetched. */
  async isGranted(repo: string, digest: Digest): Promise<boolean> {
    const { links, blobs, manifests, named } = this.#options;
    const names = repositoryNames(repo);
    for (const name of names) {
      if (links.read(layerLinkPath(name, digest)) !== undefined || manifests.isLinked(name, digest)) return true;
    }
    // The manifests are not read for a blob that is missing.
    if (blobs.statFile(digest) === undefined) return false;
    for (const name of names) if (await named.has(name, digest)) return true;
    return false;
  }

  /** Reports whether any repository of a registry that has manifests has a link to a blob of the store. */
  async isGivenBy(host: string, digest: Digest): Promise<boolean> {
    const { root, links, blobs } = this.#options;
    if (blobs.statFile(digest) === undefined) return false;
    const turns = new Turns();
    for await (const name of walkRepositories(root, `${host}/`)) {
      if (!name.startsWith(`${host}/`)) return false;
      if (links.read(layerLinkPath(name, digest)) !== undefined) return true;
      await turns.next();
    }
    return false;
  }
}
