import { SingleFlight } from "../content/single_flight.ts";
import { absentIfNotFound } from "../files/read_if_present.ts";
import type { Digest } from "../oci/digest.ts";
import { type Manifest, successorsOf } from "../oci/manifest.ts";
import { revisionsPath } from "./layout.ts";
import { listRevisions } from "./list_repositories.ts";

/** Options of `NamedBlobs`. */
export interface NamedBlobsOptions {
  /** The data folder. */
  readonly root: string;
  /** Reads a manifest that is filed under exactly this repository name. */
  readonly read: (repo: string, digest: Digest) => Promise<Manifest | undefined>;
}

// Manifests that are read for one repository. Blobs that only later ones name are found by their links alone.
const MAX_MANIFESTS = 1000;
// Bound of the memory.
const MAX_NAMES = 200_000;

interface Names {
  /** Shows that manifests were added or removed since. */
  readonly stamp: string;
  readonly digests: ReadonlySet<Digest>;
}

/** The content that the manifests of a repository name: its blobs, and the manifests of its indexes. */
export class NamedBlobs {
  readonly #options: NamedBlobsOptions;
  readonly #known = new Map<string, Names>();
  readonly #scans = new SingleFlight<Names>();
  #count = 0;

  constructor(options: NamedBlobsOptions) {
    this.#options = options;
  }

  /** Reports whether a manifest filed under exactly this repository name names the digest. */
  async has(repo: string, digest: Digest): Promise<boolean> {
    const stamp = this.#stampOf(repo);
    if (stamp === undefined) return false;
    const known = this.#known.get(repo);
    const names = known?.stamp === stamp ? known : await this.#scans.run(repo, () => this.#scan(repo, stamp));
    return names.digests.has(digest);
  }

  async #scan(repo: string, stamp: string): Promise<Names> {
    const digests = new Set<Digest>();
    for (const digest of (await listRevisions(this.#options.root, repo)).slice(0, MAX_MANIFESTS)) {
      const manifest = await this.#options.read(repo, digest);
      if (manifest !== undefined) { for (const successor of successorsOf(manifest)) digests.add(successor.digest); }
    }
    const names = { stamp, digests };
    this.#count += digests.size - (this.#known.get(repo)?.digests.size ?? 0);
    if (this.#count > MAX_NAMES) {
      this.#known.clear();
      this.#count = digests.size;
    }
    this.#known.set(repo, names);
    return names;
  }

  // The folder of an algorithm changes when a manifest is added or removed. `undefined` without manifests.
  #stampOf(repo: string): string | undefined {
    const stamps = ["sha256", "sha512"].map((algorithm) => {
      try {
        return Deno.lstatSync(`${this.#options.root}/${revisionsPath(repo)}/${algorithm}`).mtime?.getTime();
      } catch (error) {
        return absentIfNotFound(error);
      }
    });
    return stamps.every((stamp) => stamp === undefined) ? undefined : stamps.join(" ");
  }
}
