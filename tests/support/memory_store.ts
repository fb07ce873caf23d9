import { type ByteRange, resolveRange } from "../../lib/bytes/byte_range.ts";
import type {
  ContentCatalog,
  ContentStore,
  ListOptions,
  OpenedBlob,
  ReferrerList,
  RepositoryPage,
  TagPage,
} from "../../lib/content/source.ts";
import { takePage } from "../../lib/content/take_page.ts";
import { Verifier, verifyBytes } from "../../lib/content/verifier.ts";
import { type Digest, isDigest } from "../../lib/oci/digest.ts";
import { RegistryError } from "../../lib/oci/error.ts";
import { type Descriptor, parseManifest } from "../../lib/oci/manifest.ts";
import { isTag } from "../../lib/oci/reference.ts";

interface Repository {
  readonly manifests: Map<Digest, Descriptor>;
  readonly tags: Map<string, Digest>;
}

/** A store in memory. It counts its open bodies, so that a test can check that none is leaked. */
export class MemoryStore implements ContentStore, ContentCatalog {
  /** How many bodies have been neither read to their end nor cancelled. */
  openBodies = 0;
  /** How many bodies were cancelled. */
  cancelledBodies = 0;
  /** The methods called, in order: `["resolve", "openBlob"]`. */
  readonly asked: string[] = [];
  /** The size of the chunks of a body, in bytes. */
  chunkSize = 64 * 1024;
  /** Fails a body with this error at the first chunk that starts at or after this position. */
  failAt: { readonly position: number; readonly error: Error } | undefined;
  /** Thrown by every method. */
  failure: unknown;

  readonly #blobs = new Map<Digest, Uint8Array>();
  readonly #repositories = new Map<string, Repository>();

  resolve(repo: string, tagOrDigest: string): Promise<Descriptor | undefined> {
    return this.#answer("resolve", () => {
      const repository = this.#repositories.get(repo);
      const digest = isDigest(tagOrDigest) ? tagOrDigest : repository?.tags.get(tagOrDigest);
      return digest && repository?.manifests.get(digest);
    });
  }

  readManifest(repo: string, digest: Digest): Promise<Uint8Array | undefined> {
    return this.#answer("readManifest", () => {
      return this.#repositories.get(repo)?.manifests.has(digest) ? this.#blobs.get(digest) : undefined;
    });
  }

  statBlob(_repo: string, digest: Digest): Promise<number | undefined> {
    return this.#answer("statBlob", () => this.#blobs.get(digest)?.length);
  }

  openBlob(_repo: string, digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined> {
    return this.#answer("openBlob", () => {
      const bytes = this.#blobs.get(digest);
      if (bytes === undefined) return undefined;
      const { start, length } = resolveRange(bytes.length, range);
      return { size: bytes.length, start, length, body: this.#stream(bytes, start, start + length) };
    });
  }

  listTags(repo: string, options: ListOptions = {}): Promise<TagPage | undefined> {
    return this.#answer("listTags", () => {
      const tags = this.#repositories.get(repo)?.tags;
      if (tags === undefined) return undefined;
      const { entries, isMore } = takePage([...tags.keys()].sort(), options);
      return { tags: entries, isMore };
    });
  }

  listRepositories(options: ListOptions = {}): Promise<RepositoryPage> {
    return this.#answer("listRepositories", () => {
      const { entries, isMore } = takePage([...this.#repositories.keys()].sort(), options);
      return { repositories: entries, isMore };
    });
  }

  listReferrers(repo: string, digest: Digest): Promise<ReferrerList> {
    return this.#answer("listReferrers", () => {
      const found: Descriptor[] = [];
      for (const descriptor of this.#repositories.get(repo)?.manifests.values() ?? []) {
        const manifest = parseManifest(this.#blobs.get(descriptor.digest)!);
        if (manifest.subject?.digest !== digest) continue;
        const artifactType = manifest.artifactType ??
          (manifest.kind === "manifest" ? manifest.config?.mediaType : undefined);
        const { annotations } = manifest;
        found.push({
          ...descriptor,
          ...(artifactType === undefined ? {} : { artifactType }),
          ...(annotations === undefined ? {} : { annotations }),
        });
      }
      return { referrers: found };
    });
  }

  /** Removes nothing. */
  forgetImages(): Promise<string[]> {
    return Promise.resolve([]);
  }

  async writeBlob(_repo: string, expected: Descriptor, body: ReadableStream<Uint8Array>): Promise<void> {
    const verifier = new Verifier(expected.digest, expected.size);
    const bytes = new Uint8Array(expected.size);
    let at = 0;
    for await (const chunk of body) {
      verifier.update(chunk);
      bytes.set(chunk, at);
      at += chunk.length;
    }
    verifier.finish();
    this.#blobs.set(expected.digest, bytes);
  }

  writeManifest(repo: string, expected: Descriptor, bytes: Uint8Array): Promise<void> {
    return this.#answer("writeManifest", () => {
      verifyBytes(bytes, expected.digest, expected.size);
      const { mediaType } = parseManifest(bytes, expected.mediaType);
      this.#blobs.set(expected.digest, bytes);
      this.#open(repo).manifests.set(expected.digest, { mediaType, digest: expected.digest, size: bytes.length });
    });
  }

  tag(repo: string, tag: string, digest: Digest): Promise<void> {
    return this.#answer("tag", () => {
      if (!isTag(tag)) throw new RegistryError("TAG_INVALID", `Cannot tag ${repo}: ${tag} is not a tag`);
      this.#open(repo).tags.set(tag, digest);
    });
  }

  #open(repo: string): Repository {
    const known = this.#repositories.get(repo);
    if (known !== undefined) return known;
    const created = { manifests: new Map(), tags: new Map() };
    this.#repositories.set(repo, created);
    return created;
  }

  #stream(bytes: Uint8Array, start: number, end: number): ReadableStream<Uint8Array> {
    let at = start;
    this.openBodies++;
    return new ReadableStream<Uint8Array>({
      pull: (controller) => {
        if (this.failAt !== undefined && at >= this.failAt.position) {
          this.openBodies--;
          return controller.error(this.failAt.error);
        }
        if (at >= end) {
          this.openBodies--;
          return controller.close();
        }
        const chunk = bytes.slice(at, Math.min(at + this.chunkSize, end));
        at += chunk.length;
        controller.enqueue(chunk);
      },
      cancel: () => {
        this.openBodies--;
        this.cancelledBodies++;
      },
    }, { highWaterMark: 0 });
  }

  async #answer<T>(what: string, answer: () => T): Promise<T> {
    this.asked.push(what);
    await Promise.resolve();
    if (this.failure !== undefined) throw this.failure;
    return answer();
  }
}
