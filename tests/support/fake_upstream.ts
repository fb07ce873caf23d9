import { resolveRange } from "../../lib/bytes/byte_range.ts";
import type { AskBlobOptions, AskOptions } from "../../lib/content/ask_options.ts";
import type { Upstream, UpstreamBlob } from "../../lib/cache/upstream.ts";
import type { ListOptions, ReferrerList, TagPage } from "../../lib/content/source.ts";
import { takePage } from "../../lib/content/take_page.ts";
import { type Digest, isDigest } from "../../lib/oci/digest.ts";
import { RegistryError } from "../../lib/oci/error.ts";
import type { Descriptor } from "../../lib/oci/manifest.ts";
import { type Content, streamOf } from "./content.ts";

/** The host that sends the blobs. */
export const UPSTREAM_HOST = "sender.example:5000";

/** An upstream without a network. It records its calls, and a test controls its failures. */
export class FakeUpstream implements Upstream {
  readonly tags = new Map<string, Digest>();
  readonly content = new Map<Digest, Content>();
  /** The calls, in order: `blob sha256:…`, `head 1.0`. */
  readonly asked: string[] = [];
  /** Thrown by every call. */
  failure: Error | undefined;
  /** Whether the link is closed. */
  isClosed = false;
  /** Awaited before each chunk of a blob. */
  beforeChunk: (sent: number, digest: Digest) => Promise<void> = () => Promise.resolve();
  /** Whether it states the sizes of blobs. */
  statesSizes = true;

  constructor(...content: Content[]) {
    for (const each of content) this.content.set(each.descriptor.digest, each);
  }

  closedUntil(): Promise<number | undefined> {
    return Promise.resolve(this.isClosed ? 1 : undefined);
  }

  resolve(_repo: string, tagOrDigest: string): Promise<Descriptor | undefined> {
    return this.#answer(`get ${tagOrDigest}`, () => this.#find(tagOrDigest)?.descriptor);
  }

  headManifest(_repo: string, tag: string, { isUrgent }: AskOptions = {}): Promise<Descriptor | undefined> {
    return this.#answer(`head ${tag}${isUrgent ? " urgently" : ""}`, () => this.#find(tag)?.descriptor);
  }

  readManifest(_repo: string, digest: Digest): Promise<Uint8Array | undefined> {
    return this.#answer(`read ${digest}`, () => this.content.get(digest)?.bytes);
  }

  statBlob(_repo: string, digest: Digest): Promise<number | undefined> {
    return this.#answer(`stat ${digest}`, () => this.content.get(digest)?.bytes.length);
  }

  openBlobWith(
    _repo: string,
    digest: Digest,
    { range, signal, size: expected }: AskBlobOptions,
  ): Promise<UpstreamBlob | undefined> {
    return this.#answer(`blob ${digest}${range ? ` ${JSON.stringify(range)}` : ""}`, () => {
      const bytes = this.content.get(digest)?.bytes;
      if (bytes === undefined) return undefined;
      const { start, length } = resolveRange(bytes.length, range);
      const reader = streamOf(bytes.slice(start, start + length)).getReader();
      let sent = 0;
      const aborted = new Promise<void>((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
      aborted.catch(() => {});
      const body = new ReadableStream<Uint8Array>({
        pull: async (controller) => {
          await Promise.race([this.beforeChunk(sent, digest), aborted]);
          const { value } = await reader.read();
          if (value === undefined) return controller.close();
          sent += value.length;
          controller.enqueue(value);
        },
      }, { highWaterMark: 0 });
      const sizes = this.statesSizes ? { size: bytes.length, length } : { size: expected, length: expected };
      return { ...sizes, start, body, host: UPSTREAM_HOST };
    });
  }

  listTags(_repo: string, options: ListOptions = {}): Promise<TagPage | undefined> {
    return this.#answer("tags", () => {
      const { entries, isMore } = takePage([...this.tags.keys()].sort(), options);
      return { tags: entries, isMore };
    });
  }

  listReferrers(): Promise<ReferrerList> {
    return this.#answer("referrers", () => ({ referrers: [] }));
  }

  #find(tagOrDigest: string): Content | undefined {
    const digest = isDigest(tagOrDigest) ? tagOrDigest : this.tags.get(tagOrDigest);
    return digest && this.content.get(digest);
  }

  async #answer<T>(what: string, answer: () => T): Promise<T> {
    this.asked.push(what);
    await Promise.resolve();
    if (this.failure !== undefined) throw this.failure;
    return answer();
  }
}

/** Makes the error of an upstream that cannot be reached. */
export function unreachable(): RegistryError {
  return new RegistryError("UNAVAILABLE", "Cannot reach registry.example: connection refused");
}

/** Passes the requests for each repository to an upstream of its own, or of its registry. */
export class RoutedUpstream implements Upstream {
  /** @param of returns the upstream of a repository, always the same one */
  constructor(readonly of: (repo: string) => FakeUpstream) {}

  resolve = (repo: string, tag: string) => this.of(repo).resolve(repo, tag);
  headManifest = (repo: string, tag: string, ask?: AskOptions) => this.of(repo).headManifest(repo, tag, ask);
  readManifest = (repo: string, digest: Digest) => this.of(repo).readManifest(repo, digest);
  statBlob = (repo: string, digest: Digest) => this.of(repo).statBlob(repo, digest);
  openBlobWith = (repo: string, digest: Digest, ask: AskBlobOptions) => {
    return this.of(repo).openBlobWith(repo, digest, ask);
  };
  listTags = (repo: string) => this.of(repo).listTags(repo);
  listReferrers = (repo: string) => this.of(repo).listReferrers();
}
