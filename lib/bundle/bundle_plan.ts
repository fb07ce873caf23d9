import type { StatusDigest } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import type { Descriptor } from "../oci/manifest.ts";
import { formatReference, type Reference, repositoryOf } from "../oci/reference.ts";

/** A manifest or index that is carried, and what it brings with it. */
export interface CarriedManifest {
  readonly descriptor: Descriptor;
  /** Normalised `os/architecture[/variant]`; none for an index or an artifact. */
  readonly platform?: string;
  /** The config and the layers; none for an index. */
  readonly blobs: readonly Descriptor[];
  /** Of an index the manifests that are carried, in its order. */
  readonly children: readonly CarriedManifest[];
}

/** An image of which it is known what is carried. */
export interface ResolvedImage {
  readonly reference: Reference;
  readonly root: CarriedManifest;
}

/** One file `blobs/<alg>/<hash>` of a bundle. */
export interface PlanEntry {
  readonly type: "manifest" | "blob";
  readonly descriptor: Descriptor;
  /** A repository that has it. */
  readonly repository: string;
}

/** What goes into a bundle. */
export interface BundlePlan {
  /** In the order of the file: children before the manifests that name them. */
  readonly entries: readonly PlanEntry[];
  /** What is needed but left out, since the site holds it; sorted. */
  readonly omitted: readonly Digest[];
  /** Sum of the sizes of what is left out, in bytes. */
  readonly omittedSize: number;
  /** All that is needed: every repository that needs it, and every tag, has its own line. */
  readonly digests: readonly StatusDigest[];
  /** Sum of the sizes of the entries, in bytes. */
  readonly size: number;
}

/**
 * Says which content goes into a bundle and in which order: for every image, sorted by reference, its config and
 * layers, then its manifest, then the index; each digest once.
 *
 * @param have what the site holds, which is left out
 * @throws {CorruptError} when manifests disagree on a size
 */
export function planBundle(images: readonly ResolvedImage[], have: ReadonlySet<Digest> = new Set()): BundlePlan {
  const entries = new Map<Digest, PlanEntry>();
  const digests = new Map<string, StatusDigest>();
  for (const { reference, root } of sortByReference(images)) {
    const repository = repositoryOf(reference);
    for (const step of walk(root)) {
      const { digest, size } = step.descriptor;
      const known = entries.get(digest);
      if (known === undefined) entries.set(digest, { type: step.type, descriptor: step.descriptor, repository });
      else if (known.descriptor.size !== size) {
        throw new CorruptError(`Cannot plan the bundle: ${digest} has ${known.descriptor.size} and ${size} bytes`);
      }
      const tag = step.manifest === root && step.type === "manifest" ? reference.tag : undefined;
      addDigest(digests, { type: step.type, name: repository, digest, size, tag, platform: step.manifest.platform });
    }
  }
  const carried = [...entries.values()].filter(({ descriptor }) => !have.has(descriptor.digest));
  const omitted = [...entries.values()].filter(({ descriptor }) => have.has(descriptor.digest));
  return {
    entries: carried,
    omitted: omitted.map(({ descriptor }) => descriptor.digest).sort(),
    omittedSize: sumOfSizes(omitted),
    digests: [...digests.values()],
    size: sumOfSizes(carried),
  };
}

function sumOfSizes(entries: readonly PlanEntry[]): number {
  return entries.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
}

/** The platforms that an image's manifests are for, in the order of the index, each once. */
export function platformsOf(root: CarriedManifest): string[] {
  const own = root.platform === undefined ? [] : [root.platform];
  return [...new Set([...own, ...root.children.flatMap(platformsOf)])];
}

interface Step {
  readonly type: "manifest" | "blob";
  readonly descriptor: Descriptor;
  readonly manifest: CarriedManifest;
}

function* walk(manifest: CarriedManifest): Generator<Step> {
  for (const descriptor of manifest.blobs) yield { type: "blob", descriptor, manifest };
  for (const child of manifest.children) yield* walk(child);
  yield { type: "manifest", descriptor: manifest.descriptor, manifest };
}

function addDigest(digests: Map<string, StatusDigest>, line: StatusDigest): void {
  const key = [line.type, line.name, line.digest, line.tag ?? ""].join(" ");
  const known = digests.get(key);
  // A layer that several platforms share is for none of them alone.
  const platform = known === undefined || known.platform === line.platform ? line.platform : undefined;
  digests.set(key, {
    type: line.type,
    name: line.name,
    digest: line.digest,
    size: line.size,
    ...(line.tag === undefined ? {} : { tag: line.tag }),
    ...(platform === undefined ? {} : { platform }),
  });
}

function sortByReference(images: readonly ResolvedImage[]): ResolvedImage[] {
  const keyed = images.map((image) => ({ image, key: formatReference(image.reference) }));
  return keyed.sort((a, b) => a.key < b.key ? -1 : a.key > b.key ? 1 : 0).map(({ image }) => image);
}
