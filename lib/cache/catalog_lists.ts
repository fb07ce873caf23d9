import type { ContentCatalog, ListOptions, ReferrerList, TagPage } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import type { Upstream } from "./upstream.ts";

/** Options of `CatalogLists`. */
interface CatalogListsOptions {
  readonly store: ContentCatalog;
  readonly upstream: Upstream | undefined;
  /** Called with a message when an upstream fails, and only stored content is listed. */
  readonly warn: (message: string) => void;
}

/** The tags and referrers of a store with an upstream behind it. */
export class CatalogLists {
  readonly #options: CatalogListsOptions;

  constructor(options: CatalogListsOptions) {
    this.#options = options;
  }

  /** Implements `ContentSource.listTags`. @throws {RegistryError} when the upstream fails, and nothing of it is stored */
  async listTags(repo: string, options?: ListOptions): Promise<TagPage | undefined> {
    const listed = await this.#askUpstream(repo, (upstream) => upstream.listTags(repo, options));
    if (listed?.page !== undefined) return listed.page;
    const held = await this.#options.store.listTags(repo, options);
    if (held === undefined && listed?.error !== undefined) throw listed.error;
    // An upstream that has the repository no longer counts as one that does not answer.
    return held === undefined || listed === undefined ? held : { ...held, isPartial: true };
  }

  /** Implements `ContentCatalog.listReferrers`. */
  async listReferrers(repo: string, digest: Digest): Promise<ReferrerList> {
    const { referrers: held } = await this.#options.store.listReferrers(repo, digest);
    const listed = await this.#askUpstream(repo, (upstream) => upstream.listReferrers(repo, digest));
    const all = [...held, ...listed?.page?.referrers ?? []];
    const referrers = [...new Map(all.map((referrer) => [referrer.digest, referrer])).values()];
    const isPartial = listed !== undefined && (listed.page?.isPartial ?? listed.page === undefined);
    return isPartial ? { referrers, isPartial } : { referrers };
  }

  /**
   * Lists content of the upstream. Gives no page but the error, with a warning, if that fails.
   *
   * @returns `undefined` when there is no upstream for the repository
   */
  async #askUpstream<T>(
    repo: string,
    ask: (upstream: Upstream) => Promise<T>,
  ): Promise<{ readonly page: T | undefined; readonly error?: unknown } | undefined> {
    const { upstream, warn } = this.#options;
    if (upstream === undefined || upstream.allows?.(repo) === false) return undefined;
    try {
      return { page: await ask(upstream) };
    } catch (error) {
      warn(`Listing only stored content of ${repo}: ${(error as Error).message}`);
      // That a login is refused does not say whether there is such a repository: it counts as missing, with that reason.
      const isRefused = error instanceof RegistryError && error.code === "DENIED";
      return isRefused ? { page: undefined } : { page: undefined, error };
    }
  }
}
