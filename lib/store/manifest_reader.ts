import { ifPresentSync } from "../files/if_present.ts";
import { computeDigest, type Digest, splitDigest } from "../oci/digest.ts";
import { unlessCorrupt } from "../oci/error.ts";
import { MAX_MANIFEST_BYTES, parseManifest, splitSuccessors } from "../oci/manifest.ts";
import { blobPath } from "./layout.ts";
import type { ManifestLinks } from "./reachable.ts";
import { sizeOfFile } from "./store_scan.ts";

// Digests in what is kept. A manifest may have 10,000.
const MAX_DIGESTS = 20_000;
// Of a larger file, the first byte is read first.
const SMALL_BYTES = 64 * 1024;

/** Reads what manifests reference, and caches it. */
export class ManifestReader {
  readonly #root: string;
  readonly #places: readonly ((digest: Digest) => string)[];
  // Never stale: a digest fixes the content. Dropped when it is full, because a store may have any number of manifests.
  readonly #known = new Map<Digest, ManifestLinks>();
  #digests = 0;

  /** @param places functions that return the paths where a manifest may be, relative to the data folder */
  constructor(root: string, places: readonly ((digest: Digest) => string)[] = [blobPath]) {
    this.#root = root;
    this.#places = places;
  }

  /** Reads what a manifest references; `undefined` if it is missing, corrupt, or not a manifest. */
  // deno-lint-ignore require-await
  async read(digest: Digest): Promise<ManifestLinks | undefined> {
    const known = this.#known.get(digest);
    if (known !== undefined) return known;
    const bytes = this.#readBytes(digest);
    const links = bytes && readLinks(bytes, digest);
    if (links === undefined) return undefined;
    if (this.#digests + countDigests(links) > MAX_DIGESTS) {
      this.#known.clear();
      this.#digests = 0;
    }
    this.#known.set(digest, links);
    this.#digests += countDigests(links);
    return links;
  }

  /** Drops a removed manifest from the cache. */
  forget(digest: Digest): void {
    const links = this.#known.get(digest);
    if (links === undefined) return;
    this.#known.delete(digest);
    this.#digests -= countDigests(links);
  }

  #readBytes(digest: Digest): Uint8Array | undefined {
    for (const place of this.#places) {
      const path = `${this.#root}/${place(digest)}`;
      const size = sizeOfFile(path);
      if (size === undefined || size > MAX_MANIFEST_BYTES) continue;
      const bytes = ifPresentSync(() =>
        size <= SMALL_BYTES || startsLikeJson(path) ? Deno.readFileSync(path) : undefined
      );
      if (bytes !== undefined) return bytes;
    }
    return undefined;
  }
}

function countDigests({ manifests, blobs }: ManifestLinks): number {
  return 1 + manifests.length + blobs.length;
}

function readLinks(bytes: Uint8Array, digest: Digest): ManifestLinks | undefined {
  // The digest is verified, because a flipped bit could change the references.
  if (computeDigest(bytes, splitDigest(digest).algorithm) !== digest) return undefined;
  const manifest = unlessCorrupt(() => parseManifest(bytes));
  return manifest && {
    manifests: manifest.kind === "index" ? manifest.manifests.map(({ digest }) => digest) : [],
    blobs: splitSuccessors(manifest).blobs.map(({ digest, size }) => ({ digest, size })),
    subject: manifest.subject?.digest,
  };
}

// Skips layers, which are among the content that packages need, without reading them whole.
function startsLikeJson(path: string): boolean {
  using file = Deno.openSync(path);
  const first = new Uint8Array(1);
  return file.readSync(first) !== null && "{ \t\r\n".includes(String.fromCharCode(first[0]!));
}
