import { computeDigest, type Digest, splitDigest } from "../../oci/digest.ts";
import { cannot, CorruptError } from "../../oci/error.ts";
import { isSamePackage, type PackageId, packageIdOf } from "../../kubepkg/package_id.ts";
import { digestOfIdentity } from "../../kubepkg/version.ts";
import { type ClusterApi, ClusterUnreachableError } from "./cluster_api.ts";
import { decodeContent, encodeContent, MAX_PARTS } from "./release_content.ts";
import {
  type ClusterRelease,
  CONTENT_KEY,
  formatPartSecret,
  formatReleaseSecret,
  parseRelease,
  partNameOf,
  RELEASE_SELECTOR,
  secretNameOf,
  type SharedContent,
} from "./release_secret.ts";

/** Dependencies of `ClusterReleases`. */
interface ClusterReleasesOptions {
  /** The node id of this server, which is recorded with each release. */
  readonly node: string;
  readonly now?: () => Date;
}

/** What the releases of a cluster are, and which of their Secrets cannot be used. */
interface ListedReleases {
  readonly releases: readonly ClusterRelease[];
  readonly problems: readonly CorruptError[];
}

/** A removal: the package, and the release that is removed. */
export interface Removal {
  readonly package: PackageId;
  readonly version: string;
  readonly identity: Digest;
}

// While the cluster does not answer, it is not asked again for this time: one import asks several times.
const RETRY_MILLISECONDS = 15_000;
const INDEX_NAME = "crpe-releases";

/**
 * The newest release of each package, in the cluster, where all its servers see it. One Secret describes a package and has
 * the release (manifests may hold Secrets); content that does not fit is in further Secrets, which are written before it and
 * never changed. Writers compare: each replaces exactly the version that it has read.
 */
export class ClusterReleases {
  readonly #api: ClusterApi;
  readonly #node: string;
  readonly #now: () => Date;
  #failure: { readonly error: ClusterUnreachableError; readonly at: number } | undefined;

  constructor(api: ClusterApi, { node, now = () => new Date() }: ClusterReleasesOptions) {
    this.#api = api;
    this.#node = node;
    this.#now = now;
  }

  /** Lists the releases of all packages. @throws {ClusterUnreachableError} */
  async list(): Promise<ListedReleases> {
    const releases: ClusterRelease[] = [];
    const problems: CorruptError[] = [];
    for (const metadata of await this.#ask(() => this.#api.listSecrets(RELEASE_SELECTOR))) {
      try {
        releases.push(parseRelease(metadata));
      } catch (error) {
        // One bad record is one bad record.
        if (!(error instanceof CorruptError)) throw error;
        problems.push(error);
      }
    }
    return { releases, problems };
  }

  /**
   * Returns the release of a package; `undefined` when the cluster knows none.
   *
   * @throws {ClusterUnreachableError}
   * @throws {CorruptError} when its Secret is not one that crpe wrote
   */
  async read(key: PackageId): Promise<ClusterRelease | undefined> {
    const secret = await this.#ask(() => this.#api.readSecret(secretNameOf(key)));
    return secret && parseRelease(secret.metadata);
  }

  /**
   * Reads the content of a release.
   *
   * @returns `undefined` when the cluster does not have it: it is too large, or another release has replaced it
   * @throws {CorruptError} when it does not match its digest, or is another release
   */
  async readContent(release: ClusterRelease): Promise<SharedContent | undefined> {
    const { package: key, content: ref, identity, version } = release;
    if (ref === undefined || ref.parts > MAX_PARTS) return undefined;
    const parts: Uint8Array<ArrayBuffer>[] = [];
    for (let i = 0; i < ref.parts; i++) {
      const secret = await this.#ask(() => this.#api.readSecret(partNameOf(release, i)));
      if (secret === undefined) return undefined;
      if (i === 0 && parseRelease(secret.metadata).content?.digest !== ref.digest) return undefined;
      parts.push(decodeBase64(secret.data[CONTENT_KEY] ?? "", secretNameOf(key)));
    }
    const what = `the Secret ${secretNameOf(key)}`;
    const content = await decodeContent(parts, ref, what);
    const { kubepkg } = content;
    const isSame = isSamePackage(packageIdOf(kubepkg), key) && kubepkg.spec.version === version;
    if (isSame && digestOfIdentity(kubepkg) === identity) return content;
    throw new CorruptError(cannot(`use ${what}`, "its content is another release than it says"));
  }

  /**
   * Writes the release of a package, or that the package was removed.
   *
   * @param over what was read before: it is replaced only if it is still there
   * @param least a generation that the new one is above, besides that of `over`
   * @returns what was written; `undefined` when another server was faster
   * @throws {ClusterUnreachableError}
   */
  async write(
    next: SharedContent | Removal,
    over: ClusterRelease | undefined,
    least = 0,
  ): Promise<ClusterRelease | undefined> {
    const facts = {
      generation: Math.max(over?.generation ?? 0, least) + 1,
      time: this.#now().toISOString(),
      node: this.#node,
      ...(over?.resourceVersion === undefined ? {} : { resourceVersion: over.resourceVersion }),
    };
    if (!("kubepkg" in next)) return await this.#put({ ...next, ...facts, state: "removed" }, { over });
    const encoded = await encodeContent(next);
    const release: ClusterRelease = {
      ...facts,
      package: packageIdOf(next.kubepkg),
      state: "installed",
      version: next.kubepkg.spec.version,
      identity: digestOfIdentity(next.kubepkg),
      content: encoded?.ref,
    };
    return await this.#put(release, { over, parts: encoded?.parts });
  }

  async #put(
    release: ClusterRelease,
    { over, parts = [] }: {
      over: ClusterRelease | undefined;
      parts?: readonly Uint8Array<ArrayBuffer>[] | undefined;
    },
  ): Promise<ClusterRelease | undefined> {
    for (const [i, part] of parts.entries()) {
      // A Secret of that name has this part already.
      if (i > 0) await this.#ask(() => this.#api.writeSecret(formatPartSecret(partNameOf(release, i), part)));
    }
    const isWritten = await this.#ask(() => this.#api.writeSecret(formatReleaseSecret(release, parts[0])));
    if (!isWritten) return undefined;
    if (over !== undefined) await this.#deleteParts(over);
    await this.#writeIndex(release);
    return release;
  }

  async #deleteParts(old: ClusterRelease): Promise<void> {
    for (let i = 1; i < Math.min(old.content?.parts ?? 0, MAX_PARTS); i++) {
      // What stays is never read again.
      await this.#api.deleteSecret(partNameOf(old, i)).catch(ignoreUnreachable);
    }
  }

  // For people; crpe does not read it. Each package is a field manager of its own, so that servers never conflict.
  async #writeIndex(
    { package: { namespace, name }, state, version, identity, time, node }: ClusterRelease,
  ): Promise<void> {
    const key = `${namespace}.${name}`;
    const manager = `crpe-${splitDigest(computeDigest(key)).hex.slice(0, 20)}`;
    const data = state === "removed" ? {} : { [key]: `${version} ${identity} ${time} ${node}` };
    await this.#api.applyConfigMap(INDEX_NAME, data, manager).catch(ignoreUnreachable);
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    const now = this.#now().getTime();
    if (this.#failure !== undefined && Math.abs(now - this.#failure.at) < RETRY_MILLISECONDS) throw this.#failure.error;
    try {
      const answer = await question();
      this.#failure = undefined;
      return answer;
    } catch (error) {
      if (error instanceof ClusterUnreachableError) this.#failure = { error, at: this.#now().getTime() };
      throw error;
    }
  }
}

function ignoreUnreachable(error: unknown): void {
  if (!(error instanceof ClusterUnreachableError)) throw error;
}

function decodeBase64(text: string, name: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.fromBase64(text);
  } catch (cause) {
    throw new CorruptError(cannot(`use the Secret ${name}`, "its data is not base64"), { cause });
  }
}
