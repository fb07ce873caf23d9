import { declaredDeltas } from "../bundle/declared_deltas.ts";
import { declaredSizes } from "../bundle/declared_sizes.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import { knowsModels } from "../delta/models/all.ts";
import type { KubePkg, StatusDelta } from "../kubepkg/kubepkg.ts";
import { formatRelease } from "../kubepkg/package_id.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, IncompleteError } from "../oci/error.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";

/** The images that are named for a missing blob, at most. */
const MAX_NAMED_IMAGES = 100;

/** The blobs and manifests that a package needs, counted by where they are. */
export interface PlannedBlobs {
  /** How many have to be written. */
  readonly toWrite: number;
  /** The bytes to write, without those that an interrupted import left on the disk. */
  readonly bytesToWrite: number;
  /** The largest temporary file, in bytes, if layers are rebuilt from deltas. */
  readonly temporaryBytes?: number;
  /** How many the store holds. */
  readonly held: number;
  /** How many are neither in the store nor in this file, but in another part of the bundle. */
  readonly inOtherParts: number;
  /**
   * Those that were left out of the bundle although the store does not hold them, with the images that need them. Also
   * the bases of deltas, and layers whose deltas this program cannot apply.
   */
  readonly missing: readonly { readonly digest: Digest; readonly size: number; readonly images: readonly string[] }[];
}

/** How `planBlobs` looks for a blob. */
interface BlobLookup {
  /** Returns the size in bytes of a blob that the store holds in any repository. */
  readonly statBlob: (digest: Digest) => Promise<number | undefined>;
  /**
   * Returns the bytes that this file would write of a blob that is not held, without those already on the disk.
   * `undefined` if the file does not carry the blob because another part does.
   */
  readonly countBytes: (digest: Digest, size: number) => Promise<number | undefined>;
}

/** Counts the blobs and manifests that a package needs by where they are. */
export async function planBlobs(kubepkg: KubePkg, { statBlob, countBytes }: BlobLookup): Promise<PlannedBlobs> {
  const omitted = new Set(kubepkg.status?.omitted ?? []);
  const missing: PlannedBlobs["missing"][number][] = [];
  const blobs = { toWrite: 0, bytesToWrite: 0, held: 0, inOtherParts: 0 };
  const deltas = declaredDeltas([kubepkg]);
  let temporaryBytes = 0;
  const imagesOfDigest = indexImages(kubepkg);
  const missingBases = new Set<Digest>();
  for (const [digest, size] of declaredSizes(kubepkg) ?? []) {
    if (await statBlob(digest) === size) blobs.held++;
    else if (omitted.has(digest)) missing.push({ digest, size, images: imagesOfDigest(digest) });
    else if (deltas.has(digest)) {
      const delta = deltas.get(digest)!;
      const needed = await listMissingBases({ delta, size }, statBlob);
      for (const blob of needed) {
        if (!missingBases.has(blob.digest)) missing.push({ ...blob, images: imagesOfDigest(digest) });
        missingBases.add(blob.digest);
      }
      if (needed.length > 0) continue;
      const isDeltaHeld = await statBlob(delta.delta) === delta.size;
      const bytes = isDeltaHeld ? 0 : await countBytes(delta.delta, delta.size);
      if (bytes === undefined) {
        blobs.inOtherParts++;
        continue;
      }
      blobs.toWrite++;
      // A part carries the delta, not the layer.
      blobs.bytesToWrite += bytes + (await countBytes(digest, size) ?? size);
      temporaryBytes = Math.max(temporaryBytes, delta.plainSize);
    } else {
      const bytes = await countBytes(digest, size);
      if (bytes === undefined) blobs.inOtherParts++;
      else {
        blobs.toWrite++;
        blobs.bytesToWrite += bytes;
      }
    }
  }
  return { ...blobs, temporaryBytes: temporaryBytes === 0 ? undefined : temporaryBytes, missing };
}

// What is missing to rebuild a layer from its delta: its bases, or the layer itself if the delta's compressor model is not
// known here.
async function listMissingBases(
  { delta, size }: { readonly delta: StatusDelta; readonly size: number },
  statBlob: BlobLookup["statBlob"],
): Promise<{ readonly digest: Digest; readonly size: number }[]> {
  if (!knowsModels(delta.model)) return [{ digest: delta.digest, size }];
  const missing: StatusDelta["bases"][number][] = [];
  for (const base of delta.bases) if (await statBlob(base.digest) !== base.size) missing.push(base);
  return missing;
}

/** Creates the error for blobs that neither the bundle nor the store has. */
export function missingError(kubepkg: KubePkg, missing: readonly Digest[]): IncompleteError {
  const { status } = kubepkg;
  // The images that need a base of a delta are those of the layer.
  const layers = (status?.deltas ?? []).filter((it) => missing.some((digest) => hasBase(it, digest)));
  const images = imagesThatNeed(kubepkg, new Set([...missing, ...layers.map(({ digest }) => digest)]));
  const shown = missing.slice(0, 10).join(", ") + (missing.length > 10 ? ` and ${missing.length - 10} more` : "");
  const isUsed = (digest: Digest) => status?.deltas?.some((it) => it.digest === digest || hasBase(it, digest));
  const advice = missing.some((digest) => status?.omitted?.includes(digest))
    ? "; pack it without --have or --since"
    : missing.some(isUsed)
    ? "; pack it with --no-delta"
    : "";
  const blobs = missing.length === 1 ? "a blob is" : `${missing.length} blobs are`;
  return new IncompleteError(
    cannot(
      `import ${formatRelease(kubepkg)}`,
      `${blobs} neither in the bundle nor in the store, needed by ${images.join(", ")}: ${shown}${advice}`,
    ),
    missing,
  );
}

function hasBase({ bases }: StatusDelta, digest: Digest): boolean {
  return bases.some((base) => base.digest === digest);
}

// Returns a function that lists the images that need a digest, at most `MAX_NAMED_IMAGES` of them: otherwise a plan would
// grow with the product of its digests and its images.
function indexImages(kubepkg: KubePkg): (digest: Digest) => string[] {
  const images = new Map(
    [...Map.groupBy(imagesOf(kubepkg), ({ reference }) => repositoryOf(reference))].map(([name, users]) =>
      [name, users.map(({ reference }) => formatReference(reference)).sort().slice(0, MAX_NAMED_IMAGES)] as const
    ),
  );
  const repositories = new Map<Digest, Set<string>>();
  for (const { digest, name } of kubepkg.status?.digests ?? []) {
    repositories.set(digest, (repositories.get(digest) ?? new Set()).add(name));
  }
  return (digest) => {
    const users: string[] = [];
    for (const name of repositories.get(digest) ?? []) {
      if (users.length < MAX_NAMED_IMAGES) users.push(...images.get(name) ?? []);
    }
    return users.sort().slice(0, MAX_NAMED_IMAGES);
  };
}

/** Lists the images that need any of some digests; all images of a package that does not list its digests. */
export function imagesThatNeed(kubepkg: KubePkg, digests: ReadonlySet<Digest>): string[] {
  const lines = (kubepkg.status?.digests ?? []).filter(({ digest }) => digests.has(digest));
  const repositories = new Set(lines.map(({ name }) => name));
  return imagesOf(kubepkg).map(({ reference }) => reference)
    .filter((reference) => repositories.size === 0 || repositories.has(repositoryOf(reference))).map(formatReference);
}
