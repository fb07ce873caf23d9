import { SingleFlight } from "../content/single_flight.ts";
import { findSimilarTags } from "../content/similar_tags.ts";
import type { ContentSource, MissingReason } from "../content/source.ts";
import { isDigest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import { splitRepository } from "../oci/reference.ts";
import type { Upstream } from "./upstream.ts";

/** Options of `MissingContent`. */
interface MissingContentOptions {
  readonly store: ContentSource;
  readonly upstream?: Upstream | undefined;
  /** Why content is missing when there is no upstream. Default: `--offline`. */
  readonly reason?: string | undefined;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
}

/** What an upstream says about a repository; the reason why it cannot say anything, or its tags. */
type RepositoryState = { readonly reason: string } | { readonly tags: readonly string[] };

// How long an answer about a repository is used, in milliseconds: clients ask for missing content again and again.
const STATE_MILLISECONDS = 60_000;
// One page of a list, which costs an upstream one request.
const MAX_TAGS = 1000;
// What is remembered, counted in tags: about 2 MiB, as clients choose the names and upstreams the lists.
const MAX_REMEMBERED = 20_000;
const COST_OF_STATE = 20;

/** Finds out why content is missing. */
export class MissingContent {
  readonly #options: MissingContentOptions;
  /** In the order in which they end. */
  readonly #states = new Map<string, { readonly until: number; readonly state: RepositoryState }>();
  #remembered = 0;
  readonly #requests = new SingleFlight<RepositoryState>();

  constructor(options: MissingContentOptions) {
    this.#options = options;
  }

  /** Implements `ContentCatalog.explainMissing`. */
  async explain(repo: string, tagOrDigest?: string): Promise<MissingReason> {
    const { upstream, store, reason } = this.#options;
    const { host, path } = splitRepository(repo);
    const isTag = tagOrDigest !== undefined && !isDigest(tagOrDigest);
    const withTags = async (reason: string, tags?: readonly string[]): Promise<MissingReason> => {
      if (!isTag) return { reason };
      const similarTags = findSimilarTags(
        tagOrDigest,
        tags ?? (await store.listTags(repo, { limit: MAX_TAGS }))?.tags ?? [],
      );
      if (similarTags.length === 0) return { reason };
      return { reason: `${reason}; similar tags: ${similarTags.join(", ")}`, similarTags };
    };
    if (upstream === undefined) {
      return await withTags(reason ?? "it is not in the store, and no upstream may be used (--offline)");
    }
    if (upstream.hasOnlyPeers?.(repo)) {
      return await withTags(`it is not in the store, no peer has it, and ${host} is not used as an upstream`);
    }
    if (upstream.allows?.(repo) === false) {
      return await withTags(
        `it is not in the store, and ${host} is not configured as an upstream; name it with --upstream ${host}, beside the others that are needed`,
      );
    }
    const state = await this.#stateOf(repo, upstream);
    if ("reason" in state) return await withTags(state.reason);
    const what = isTag ? "such tag" : tagOrDigest === undefined ? "tags" : "content with this digest";
    return await withTags(`${host} has the repository ${path}, but no ${what}`, state.tags);
  }

  async #stateOf(repo: string, upstream: Upstream): Promise<RepositoryState> {
    const known = this.#states.get(repo);
    if (known !== undefined && this.#options.now() < known.until) return known.state;
    return await this.#requests.run(repo, async () => {
      const state = await askUpstream(repo, upstream);
      this.#remember(repo, state);
      return state;
    });
  }

  #remember(repo: string, state: RepositoryState): void {
    const now = this.#options.now();
    this.#forget(repo);
    this.#states.set(repo, { until: now + STATE_MILLISECONDS, state });
    this.#remembered += costOf(state);
    for (const [oldest, { until }] of this.#states) {
      if (now < until && this.#remembered <= MAX_REMEMBERED) break;
      this.#forget(oldest);
    }
  }

  #forget(repo: string): void {
    const known = this.#states.get(repo);
    if (known === undefined) return;
    this.#states.delete(repo);
    this.#remembered -= costOf(known.state);
  }
}

function costOf(state: RepositoryState): number {
  return COST_OF_STATE + ("tags" in state ? state.tags.length : 0);
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
        : `${host} does not have it, or did not say so: ${error.explanation}`,
    };
  }
}
