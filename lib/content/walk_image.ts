import type { Digest } from "../oci/digest.ts";
import { type Descriptor, type Manifest, splitSuccessors } from "../oci/manifest.ts";

/** A manifest as an index lists it, or the root of an image, of which only the digest may be known. */
export type ManifestEntry = Pick<Descriptor, "digest"> & Partial<Descriptor>;

/** A manifest that was read, with its bytes. */
export interface LoadedManifest {
  readonly bytes: Uint8Array;
  readonly manifest: Manifest;
}

/** A manifest of a walk, and what it refers to. */
interface WalkedManifest extends LoadedManifest {
  readonly entry: ManifestEntry;
  /** The manifests that an index lists. */
  readonly manifests: readonly Descriptor[];
  /** Config and layers, or the entries of an index that are no manifests. */
  readonly blobs: readonly Descriptor[];
}

/** What one user of `walkImage` makes of an image: which manifests may be missing, and which are read at all. */
interface ImageRule<T> {
  /** Reads a manifest; `undefined` if it is missing. The root has the depth 0. */
  readonly read: (entry: ManifestEntry, depth: number) => Promise<LoadedManifest | undefined>;
  /** Gives the result for a manifest that is missing. */
  readonly missing: (entry: ManifestEntry) => T;
  /**
   * Gives the result for a manifest that was read.
   *
   * @param below gives the result for a manifest that it lists. Those for which it is not called are not read.
   */
  readonly visit: (found: WalkedManifest, below: (child: Descriptor) => Promise<T>) => Promise<T>;
  /** How many manifests are read; all others count as missing. Default: no limit. */
  readonly maxManifests?: number;
}

/**
 * Walks the manifests of an image, of which some may be missing. Each is read and visited once, however often indexes
 * list it.
 *
 * @returns the result for the root
 */
export function walkImage<T>(root: ManifestEntry, rule: ImageRule<T>): Promise<T> {
  const { read, missing, visit, maxManifests = Infinity } = rule;
  const results = new Map<Digest, { readonly result: T }>();
  let asked = 0;
  const walk = async (entry: ManifestEntry, depth: number): Promise<T> => {
    const known = results.get(entry.digest);
    if (known !== undefined) return known.result;
    // Not remembered: there may be many of them.
    if (asked >= maxManifests) return missing(entry);
    asked++;
    const result = await findResult(entry, depth);
    results.set(entry.digest, { result });
    return result;
  };
  const findResult = async (entry: ManifestEntry, depth: number): Promise<T> => {
    const loaded = await read(entry, depth);
    if (loaded === undefined) return missing(entry);
    return await visit({ entry, ...loaded, ...splitSuccessors(loaded.manifest) }, (child) => walk(child, depth + 1));
  };
  return walk(root, 0);
}
