import { SingleFlight } from "../content/single_flight.ts";
import { ifPresentSync } from "../files/if_present.ts";
import { ALGORITHMS, type Digest } from "../oci/digest.ts";
import { successorsOf } from "../oci/manifest.ts";
import { revisionsPath } from "./layout.ts";
import { listRevisions } from "./list_repositories.ts";
import type { CachedManifest } from "./manifest_cache.ts";

/** Options of `NamedBlobs`. */
interface NamedBlobsOptions {
  /** The data folder. */
  readonly root: string;
  /** Reads a manifest that is filed under exactly this repository name. */
  readonly read: (repo: string, digest: Digest) => Promise<Pick<CachedManifest, "manifest" | "isFetched"> | undefined>;
  /** Wall clock that file times are compared with, in milliseconds. */
  readonly now?: () => number;
}

// Manifests that are read for one repository. Blobs that only later ones name are found by their links alone.
const MAX_MANIFESTS = 1000;
// A folder may change again within the resolution of its time stamp. Names that were read this shortly after a change
// are therefore not used again.
const RACY_MILLISECONDS = 1000;
// Bound of the memory.
const MAX_NAMES = 200_000;

/** The times of the last change of a repository's folders of manifests. */
interface Stamp {
  readonly text: string;
  /** The latest of them, in milliseconds. */
  readonly latest: number;
}

interface Names {
  /** Shows that manifests were added or removed since. */
  readonly stamp: Stamp;
  readonly digests: ReadonlySet<Digest>;
}

/**
 * The content that the manifests of a repository name: its blobs, and the manifests of its indexes. Manifests that were
 * fetched from an upstream are left out: anyone may publish a manifest that names the content of others.
 */
export class NamedBlobs {
  readonly #options: NamedBlobsOptions;
  readonly #known = new Map<string, Names>();
  readonly #scans = new SingleFlight<Names>();
  #count = 0;

  constructor(options: NamedBlobsOptions) {
    this.#options = options;
  }

  /** Reports whether a manifest filed under exactly this repository name, and not fetched, names the digest. */
  async has(repo: string, digest: Digest): Promise<boolean> {
    const stamp = this.#stampOf(repo);
    if (stamp === undefined) return false;
    const known = this.#known.get(repo);
    if (known?.stamp.text === stamp.text) return known.digests.has(digest);
    const scan = () => this.#scan(repo, stamp);
    // A scan in progress may have begun before a change that the stamp does not show.
    const isRacy = stamp.latest > this.#now() - RACY_MILLISECONDS;
    const names = isRacy ? await scan() : await this.#scans.run(`${repo} ${stamp.text}`, scan);
    if (!isRacy) this.#remember(repo, names);
    return names.digests.has(digest);
  }

  async #scan(repo: string, stamp: Stamp): Promise<Names> {
    const digests = new Set<Digest>();
    for (const digest of listRevisions(this.#options.root, repo).slice(0, MAX_MANIFESTS)) {
      const manifest = await this.#options.read(repo, digest);
      if (manifest === undefined || manifest.isFetched) continue;
      for (const successor of successorsOf(manifest.manifest)) digests.add(successor.digest);
    }
    return { stamp, digests };
  }

  #remember(repo: string, names: Names): void {
    const before = this.#known.get(repo);
    if (before === names) return;
    this.#count += names.digests.size - (before?.digests.size ?? 0);
    if (this.#count > MAX_NAMES) {
      this.#known.clear();
      this.#count = names.digests.size;
    }
    this.#known.set(repo, names);
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  // The folder of an algorithm changes when a manifest is added or removed. `undefined` without manifests.
  #stampOf(repo: string): Stamp | undefined {
    const times = ALGORITHMS.map((algorithm) => {
      return ifPresentSync(() =>
        Deno.lstatSync(`${this.#options.root}/${revisionsPath(repo)}/${algorithm}`).mtime?.getTime()
      );
    });
    if (times.every((time) => time === undefined)) return undefined;
    return { text: times.join(" "), latest: Math.max(...times.map((time) => time ?? 0)) };
  }
}
