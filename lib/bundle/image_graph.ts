import { walkImage } from "../content/walk_image.ts";
import type { PackageImage } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { type Descriptor, type Manifest, parseManifest } from "../oci/manifest.ts";
import { formatPlatform, isUnknownPlatform } from "../oci/platform.ts";
import { formatReference, type Reference, repositoryOf } from "../oci/reference.ts";

/** Looks up the content that was imported. */
export interface ImportedContent {
  /** Name of the bundle in errors. */
  readonly what: string;
  /** Reads a manifest that the package carries or relies on; `undefined` when it is missing. */
  readManifest(repository: string, digest: Digest): Promise<Uint8Array | undefined>;
  /** Returns the size of a blob in bytes; `undefined` when it is missing. */
  statBlob(digest: Digest, descriptor: Descriptor): Promise<number | undefined>;
  /** Tests whether content that is missing here is held elsewhere: by the site, or by other parts. */
  isElsewhere?(digest: Digest): boolean;
}

/** A manifest that is ready to be written to a store. */
export interface GraphManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** An image and all its manifests. */
export interface ImageGraph {
  readonly reference: Reference;
  readonly repository: string;
  readonly digest: Digest;
  /** Normalized, in the order of the index. */
  readonly platforms: readonly string[];
  /** Children before the manifests that refer to them; the root is last. */
  readonly manifests: readonly GraphManifest[];
  /** Set for a referrer: the manifest that it is about. */
  readonly subject?: Digest;
}

const MAX_NESTING = 8;

/**
 * Reads the manifests of an image, and checks that the content below them exists.
 *
 * @param missing receives the digests of missing content
 * @throws {CorruptError} when a manifest is malformed, or the size of content differs from its descriptor
 */
export async function readImageGraph(
  { kubepkg, image }: { readonly kubepkg: KubePkg; readonly image: PackageImage },
  content: ImportedContent,
  missing: Set<Digest>,
): Promise<ImageGraph> {
  const digest = rootDigest(kubepkg, image, content.what);
  const graph = await readGraph({ reference: image.reference, name: image.name, digest }, content, missing);
  const declared = (kubepkg.status?.digests ?? []).find((line) => {
    return line.digest === digest && line.name === graph.repository;
  });
  if (graph.platforms.length > 0 || declared?.platform === undefined) return graph;
  return { ...graph, platforms: [declared.platform] };
}

/** As `readImageGraph`, for an image that no package names. The platform of an image without an index is not known. */
export async function readGraph(
  image: { readonly reference: Reference; readonly name: string; readonly digest: Digest },
  content: ImportedContent,
  missing: Set<Digest>,
): Promise<ImageGraph> {
  const { digest } = image;
  const repository = repositoryOf(image.reference);
  const manifests = new Map<Digest, GraphManifest>();
  const platforms = new Set<string>();

  const isPresent = await walkImage<boolean>({ digest }, {
    read: async (entry, depth) => {
      if (depth > MAX_NESTING) throw new CorruptError(cannot(`use ${image.name}`, "its indexes are nested too deeply"));
      const bytes = await content.readManifest(repository, entry.digest);
      if (bytes === undefined) return undefined;
      checkSize(entry, bytes.length, content.what);
      return { bytes, manifest: readManifest(image, entry.digest, bytes) };
    },
    missing: (entry) => content.isElsewhere?.(entry.digest) ?? false,
    visit: async ({ entry, bytes, manifest, manifests: children, blobs }, below) => {
      let isAnyPresent = children.length === 0;
      for (const child of children) {
        isAnyPresent = await below(child) || isAnyPresent;
        // An index may list the manifest more than once, with a wrong size only the second time.
        const read = manifests.get(child.digest);
        if (read !== undefined) checkSize(child, read.bytes.length, content.what);
      }
      // The manifests of other platforms may be missing, but not those of all platforms.
      if (!isAnyPresent) children.forEach((child) => missing.add(child.digest));
      for (const blob of blobs) {
        const size = await content.statBlob(blob.digest, blob);
        if (size !== undefined) checkSize(blob, size, content.what);
        else if (!content.isElsewhere?.(blob.digest)) missing.add(blob.digest);
      }
      const { digest, platform } = entry;
      const isImage = manifest.kind !== "index" && platform !== undefined && !isUnknownPlatform(platform);
      if (isImage) platforms.add(formatPlatform(platform));
      const descriptor = { mediaType: manifest.mediaType, digest, size: bytes.length };
      manifests.set(digest, { descriptor, bytes });
      return true;
    },
  });
  if (!isPresent) missing.add(digest);
  return {
    reference: image.reference,
    repository,
    digest,
    platforms: [...platforms],
    manifests: [...manifests.values()],
  };
}

/**
 * Returns the digest of an image: the one that the package gives, or else that of the manifest listed with the image's
 * tag in `status.digests`.
 *
 * @param what name of the bundle in errors
 * @throws {CorruptError} when neither gives a digest
 */
export function rootDigest(kubepkg: KubePkg, { reference, digest }: PackageImage, what = "the bundle"): Digest {
  if (digest !== undefined) return digest;
  const lines = (kubepkg.status?.digests ?? []).filter(({ type, name, tag }) => {
    return type === "manifest" && name === repositoryOf(reference) && tag === reference.tag;
  });
  // A tag listed for several manifests can only belong to the index, which has no platform.
  const [line, other] = lines.length > 1 ? lines.filter(({ platform }) => platform === undefined) : lines;
  if (line !== undefined && other === undefined) return line.digest;
  throw new CorruptError(cannot(`use ${what}`, `it does not say which digest ${formatReference(reference)} has`));
}

function readManifest(image: Pick<PackageImage, "name">, digest: Digest, bytes: Uint8Array): Manifest {
  try {
    return parseManifest(bytes);
  } catch (cause) {
    if (!(cause instanceof CorruptError)) throw cause;
    throw new CorruptError(
      cannot(`use ${image.name}`, `the manifest ${digest} is broken: ${cause.reason}`, cause.advice),
      {
        cause,
      },
    );
  }
}

function checkSize(expected: { digest: Digest; size?: number }, actual: number, what: string): void {
  if (expected.size === undefined || expected.size === actual) return;
  throw new CorruptError(
    cannot(
      `use ${what}`,
      `${expected.digest} has ${actual} bytes, but the manifest that refers to it says ${expected.size}`,
    ),
  );
}
