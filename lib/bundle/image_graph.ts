import { imagesOf, type PackageImage } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { type Descriptor, type Manifest, parseManifest, successorsOf } from "../oci/manifest.ts";
import { formatPlatform, isUnknownPlatform } from "../oci/platform.ts";
import { formatReference, type Reference, repositoryOf } from "../oci/reference.ts";

/** How the content that was imported is looked up. */
export interface ImportedContent {
  /** Names the bundle in errors. */
  readonly what: string;
  /** The bytes of a manifest that the package carries or relies on; `undefined` where it has none of that digest. */
  readManifest(repository: string, digest: Digest): Promise<Uint8Array | undefined>;
  /** The size in bytes of a blob that is in place. */
  statBlob(digest: Digest): Promise<number | undefined>;
  /** Whether content that cannot be looked at is held by whom the bundle is for. */
  isElsewhere?(digest: Digest): boolean;
}

/** A manifest that is ready to be written. */
export interface GraphManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
}

/** An image that is there with all that it needs. */
export interface ImageGraph {
  readonly reference: Reference;
  readonly repository: string;
  readonly digest: Digest;
  /** Normalised, in the order of the index. */
  readonly platforms: readonly string[];
  /** Children before the manifests that name them; the root is the last. */
  readonly manifests: readonly GraphManifest[];
}

const MAX_NESTING = 8;

/**
 * Walks the manifests of an image.
 *
 * @param missing takes the digests of what is not there
 * @throws {CorruptError} when a manifest is broken, or content has another size than its manifest says
 */
export async function readImageGraph(
  kubepkg: KubePkg,
  image: PackageImage,
  content: ImportedContent,
  missing: Set<Digest>,
): Promise<ImageGraph> {
  const repository = repositoryOf(image.reference);
  const digest = rootDigest(kubepkg, image, content.what);
  const manifests = new Map<Digest, GraphManifest>();
  const platforms = new Set<string>();

  // Tells whether the manifest is there.
  const visit = async (
    expected: { digest: Digest; size?: number; platform?: Descriptor["platform"] },
    depth: number,
  ) => {
    if (depth > MAX_NESTING) throw new CorruptError(`Cannot use ${image.name}: its indexes are nested too deep`);
    const seen = manifests.get(expected.digest);
    if (seen !== undefined) {
      // An index may name it more than once, and be wrong only the second time.
      checkSize(expected, seen.bytes.length, content.what);
      return true;
    }
    const bytes = await content.readManifest(repository, expected.digest);
    if (bytes === undefined) return content.isElsewhere?.(expected.digest) ?? false;
    checkSize(expected, bytes.length, content.what);
    const manifest = readManifest(image, expected.digest, bytes);
    if (manifest.kind === "index") {
      let isAnyThere = manifest.manifests.length === 0;
      for (const child of manifest.manifests) isAnyThere = await visit(child, depth + 1) || isAnyThere;
      // The other platforms' children may be missing, but not all of them.
      if (!isAnyThere) manifest.manifests.forEach((child) => missing.add(child.digest));
    } else {
      for (const blob of successorsOf(manifest)) {
        const size = await content.statBlob(blob.digest);
        if (size !== undefined) checkSize(blob, size, content.what);
        else if (!content.isElsewhere?.(blob.digest)) missing.add(blob.digest);
      }
      const { platform } = expected;
      if (platform !== undefined && !isUnknownPlatform(platform)) platforms.add(formatPlatform(platform));
    }
    const descriptor = { mediaType: manifest.mediaType, digest: expected.digest, size: bytes.length };
    manifests.set(expected.digest, { descriptor, bytes });
    return true;
  };
  if (!await visit({ digest }, 0)) missing.add(digest);
  const declared = (kubepkg.status?.digests ?? []).find((line) => line.digest === digest && line.name === repository);
  if (platforms.size === 0 && declared?.platform !== undefined) platforms.add(declared.platform);
  return {
    reference: image.reference,
    repository,
    digest,
    platforms: [...platforms],
    manifests: [...manifests.values()],
  };
}

/** The graphs of all images of a package, and what they lack. */
export async function readImageGraphs(
  kubepkg: KubePkg,
  content: ImportedContent,
): Promise<{ graphs: ImageGraph[]; missing: Digest[] }> {
  const missing = new Set<Digest>();
  const graphs: ImageGraph[] = [];
  for (const image of imagesOf(kubepkg)) graphs.push(await readImageGraph(kubepkg, image, content, missing));
  return { graphs, missing: [...missing] };
}

/**
 * The digest of an image of a bundle: what the package says, else the manifest that its status lists with the tag.
 *
 * @param what names the bundle in errors
 * @throws {CorruptError} when neither gives one
 */
export function rootDigest(kubepkg: KubePkg, { reference, digest }: PackageImage, what = "the bundle"): Digest {
  if (digest !== undefined) return digest;
  const lines = (kubepkg.status?.digests ?? []).filter(({ type, name, tag }) => {
    return type === "manifest" && name === repositoryOf(reference) && tag === reference.tag;
  });
  // An index has no platform; a tag that several manifests bear can only mean it.
  const [line, other] = lines.length > 1 ? lines.filter(({ platform }) => platform === undefined) : lines;
  if (line !== undefined && other === undefined) return line.digest;
  throw new CorruptError(`Cannot use ${what}: it does not say which digest ${formatReference(reference)} has`);
}

function readManifest(image: PackageImage, digest: Digest, bytes: Uint8Array): Manifest {
  try {
    return parseManifest(bytes);
  } catch (cause) {
    if (!(cause instanceof CorruptError)) throw cause;
    throw new CorruptError(`Cannot use ${image.name}: the manifest ${digest} is broken: ${cause.message}`, { cause });
  }
}

function checkSize(expected: { digest: Digest; size?: number }, actual: number, what: string): void {
  if (expected.size === undefined || expected.size === actual) return;
  throw new CorruptError(
    `Cannot use ${what}: ${expected.digest} has ${actual} bytes, the manifest that names it says ${expected.size}`,
  );
}
