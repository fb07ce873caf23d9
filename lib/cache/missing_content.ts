import { SingleFlight } from "../content/single_flight.ts";
import { findSimilarTags } from "../content/similar_tags.ts";
import type { ContentSource, MissingReason } from "../content/source.ts";
import { isDigest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import { splitRepository } from "../oci/reference.ts";
import type { Upstream } from "./upstream.ts";

/** Options of `MissingContent`. */
export interface MissingContentOptions {
  readonly store: ContentSource;
  readonly upstream?: Upstream | undefined;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
}

/** What an upstream says about a repository; the reason why it cannot say anything, or its tags. */
type RepositoryState = { readonly reason: string } | { readonly tags: readonly string[] };

// How long an answer about a repository is used, in milliseconds: clients ask for missing content again and again.
const STATE_MILLISECONDS = 60_000;
const MAX_STATES = 1000;
// One page of a list, which costs an upstream one request.
const MAX_TAGS = 1000;

/** Finds out why content is missing. */
export class MissingContent {
  readonly #options: MissingContentOptions;
  readonly #states = new Map<string, { readonly until: number; readonly state: RepositoryState }>();
  readonly #requests = new SingleFlight<RepositoryState>();

  constructor(options: MissingContentOptions) {
    this.#options = options;
  }

  /** Implements `ContentCatalog.explainMissing`. */
  async explain(repo: string, tagOrDigest?: string): Promise<MissingReason> {
    const { upstream, store } = this.#options;
    const { host, path } = splitRepository(repo);
    const isTag = tagOrDigest !== undefined && !isDigest(tagOrDigest);
    const held = isTag ? await store.listTags(repo, { limit: MAX_TAGS }) : undefined;
    const withTags = (reason: string, tags: readonly string[] = []): MissingReason => {
      const similarTags = isTag ? findSimilarTags(tagOrDigest, tags) : [];
      if (similarTags.length === 0) return { reason };
      return { reason: `${reason}; similar tags: ${similarTags.join(", ")}`, similarTags };
    };
    if (upstream === undefined) {
      return withTags("it is not in the store, and no upstream may be used (--offline)", held?.tags);
    }
    if (upstream.allows?.(repo) === false) {
      return withTags(
        `it is not in the store, and ${host} is not configured as an upstream; name it with --upstream ${host}, beside the others that are needed`,
        held?.tags,
      );
    }
    const state = await this.#stateOf(repo, upstream);
    if ("reason" in state) return withTags(state.reason, held?.tags);
    const what = isTag ? "such tag" : tagOrDigest === undefined ? "tags" : "content with this digest";
    return withTags(`${host} has the repository ${path}, but no ${what}`, state.tags);
  }

  async #stateOf(repo: string, upstream: Upstream): Promise<RepositoryState> {
    const known = this.#states.get(repo);
    if (known !== undefined && this.#options.now() < known.until) return known.state;
    return await this.#requests.run(repo, async () => {
      const state = await askUpstream(repo, upstream);
      if (this.#states.size >= MAX_STATES) this.#states.clear();
      this.#states.set(repo, { until: this.#options.now() + STATE_MILLISECONDS, state });
      return state;
    });
  }
}

async function askUpstream(repo: string, upstream: Upstream): Promise<RepositoryState> {
  const { host, path } = splitRepository(repo);
  try {
    const page = await upstream.listTags(repo, { limit: MAX_TAGS });
    if (page !== undefined) return { tags: page.tags };
    // Registries do not reveal whether a private repository exists.
    return { reason: `${host} has no repository ${path}, or shows it only with a login` };
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    const isRefused = error.code === "DENIED" || error.code === "UNAUTHORIZED";
    return {
      reason: isRefused
        ? `${host} refused access to ${path}; check the credentials for ${host}`
        : `${host} does not have it, or did not say so: ${error.message.replace(/^Cannot [^:]*: /, "")}`,
    };
  }
}
