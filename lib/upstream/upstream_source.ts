import { SingleFlight } from "../content/single_flight.ts";
import type { AskBlobOptions, AskOptions, ReceivedBlob } from "../content/ask_options.ts";
import type { ListOptions, ReferrerList, TagPage } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import type { Descriptor } from "../oci/manifest.ts";
import { normalizeHost, splitRepository } from "../oci/reference.ts";
import { openUpstreamBlob } from "./blob_request.ts";
import { fetchBlobSize } from "./blob_size.ts";
import { EndpointPool } from "./endpoint_pool.ts";
import { type FetchedManifest, fetchManifest, findManifest } from "./manifest_request.ts";
import { fetchReferrers } from "./referrer_list.ts";
import { TagLister } from "./tag_list.ts";
import type { UpstreamOptions } from "./upstream_options.ts";

/** The result of probing an endpoint. */
interface EndpointProbe {
  readonly url: string;
  /** Whether a credential is configured for the endpoint. */
  readonly hasCredential: boolean;
  /** Whether the endpoint accepts the request (with the credential, if there is one); absent after a failure. */
  readonly isOpen?: boolean;
  readonly failure?: RegistryError;
}

const MAX_RECENT_MANIFESTS = 64;
const MAX_RECENT_BYTES = 8 * 1024 * 1024;

/**
 * Reads content from upstream registries. A registry that the selector does not allow is never contacted; its content
 * is reported as missing. The endpoints of a registry are tried in order until one of them has the content. If none has
 * it and a request to one of them failed, that failure is thrown.
 */
export class UpstreamSource {
  readonly #pool: EndpointPool;
  readonly #tags: TagLister;
  readonly #fetching = new SingleFlight<FetchedManifest | undefined>();
  readonly #finding = new SingleFlight<Descriptor | undefined>();
  readonly #recent = new Map<string, Uint8Array>();
  #recentBytes = 0;

  constructor(options: UpstreamOptions) {
    this.#pool = new EndpointPool(options);
    this.#tags = new TagLister(this.#pool.context.now);
  }

  /** Forgets the clients of all endpoints with their logins, because the endpoints have changed. Running requests go on. */
  forgetClients(): void {
    this.#pool.forgetClients();
  }

  /** Reports whether the registry of a repository may be contacted. Only its name is checked. */
  allows(repo: string): boolean {
    return this.#pool.allows(normalizeHost(splitRepository(repo).host));
  }

  /**
   * The time at which the content of a repository may be received again, in milliseconds since 1970; `undefined` when
   * the link does not limit it now.
   */
  async closedUntil(repo: string): Promise<number | undefined> {
    return await this.#pool.context.link?.closedUntil(normalizeHost(splitRepository(repo).host));
  }

  /**
   * Checks concurrently whether each endpoint of a registry answers and accepts the login, if there is one.
   *
   * @param host the host of image references. A registry that must not be contacted has no endpoints.
   */
  async probe(host: string): Promise<EndpointProbe[]> {
    return await Promise.all(
      this.#pool.clientsOf(normalizeHost(host)).map(async ({ client, endpoint }) => {
        const hasCredential = client.hasCredential();
        const url = endpoint.url.href.replace(/\/$/, "");
        try {
          return { url, hasCredential, ...await client.ping() };
        } catch (error) {
          if (error instanceof RegistryError) return { url, hasCredential, failure: error };
          throw error;
        }
      }),
    );
  }

  /**
   * Resolves a tag or digest. The request fetches the manifest as well and keeps it for the `readManifest` that usually
   * follows.
   *
   * @throws {RegistryError} `DENIED` (with status 404), `TOOMANYREQUESTS`, `UNAVAILABLE`, `BAD_GATEWAY`
   */
  async resolve(repo: string, tagOrDigest: string): Promise<Descriptor | undefined> {
    return (await this.#fetchManifest(repo, tagOrDigest))?.descriptor;
  }

  /**
   * Resolves a tag with a HEAD, which registries do not count against their rate limit.
   *
   * @throws {RegistryError} as `resolve`
   */
  async headManifest(
    repo: string,
    tag: string,
    { isUrgent = false }: AskOptions = {},
  ): Promise<Descriptor | undefined> {
    return await this.#finding.run(`${repo}@${tag} ${isUrgent}`, () =>
      this.#pool.query(repo, async (client, path) => {
        const found = await findManifest(client, { repo, path, tagOrDigest: tag, isUrgent });
        if (found?.bytes !== undefined) this.#remember(`${repo}@${found.descriptor.digest}`, found.bytes);
        return found?.descriptor;
      }));
  }

  async readManifest(
    repo: string,
    digest: Digest,
    { isUrgent = false }: AskOptions = {},
  ): Promise<Uint8Array | undefined> {
    return this.#recent.get(`${repo}@${digest}`) ?? (await this.#fetchManifest(repo, digest, isUrgent))?.bytes;
  }

  async statBlob(repo: string, digest: Digest): Promise<number | undefined> {
    return await this.#pool.query(repo, (client, path) => fetchBlobSize(client, { repo, path, digest }));
  }

  /**
   * Opens a blob or a byte range of it. The body resumes after a broken connection and yields exactly the promised
   * number of bytes, or errors; it does not verify the digest. If neither the caller nor the registry states the size,
   * the blob is open nevertheless, and only its digest shows whether it is complete.
   *
   * @throws {RegistryError} as `resolve`, and `RANGE_INVALID` when the range is outside the blob
   */
  async openBlobWith(repo: string, digest: Digest, options: AskBlobOptions): Promise<ReceivedBlob | undefined> {
    return await this.#pool.query(
      repo,
      (client, path) => openUpstreamBlob(client, { repo, path, digest }, options),
    );
  }

  /** See `ContentSource.listTags`. @throws {RegistryError} as `resolve` */
  async listTags(repo: string, options: ListOptions = {}): Promise<TagPage | undefined> {
    return await this.#pool.query(repo, (client, path) => this.#tags.list(client, { repo, path }, options));
  }

  /** See `ContentCatalog.listReferrers`. */
  async listReferrers(repo: string, digest: Digest): Promise<ReferrerList> {
    const list = await this.#pool.query(repo, (client, path) => fetchReferrers(client, { repo, path }, digest));
    return list ?? { referrers: [] };
  }

  #fetchManifest(repo: string, tagOrDigest: string, isUrgent = false): Promise<FetchedManifest | undefined> {
    return this.#fetching.run(
      `${repo}@${tagOrDigest} ${isUrgent}`,
      () =>
        this.#pool.query(repo, async (client, path) => {
          const fetched = await fetchManifest(client, { repo, path, tagOrDigest, isUrgent });
          if (fetched !== undefined) this.#remember(`${repo}@${fetched.descriptor.digest}`, fetched.bytes);
          return fetched;
        }),
    );
  }

  #remember(key: string, bytes: Uint8Array): void {
    this.#recentBytes += bytes.length - (this.#recent.get(key)?.length ?? 0);
    this.#recent.delete(key);
    this.#recent.set(key, bytes);
    // The newest manifest is always kept, because it is likely to be requested next.
    for (const [oldest, { length }] of this.#recent) {
      const isBounded = this.#recent.size <= MAX_RECENT_MANIFESTS && this.#recentBytes <= MAX_RECENT_BYTES;
      if (isBounded || oldest === key) break;
      this.#recent.delete(oldest);
      this.#recentBytes -= length;
    }
  }
}
