import type { StatusDigest } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import type { Descriptor } from "../oci/manifest.ts";
import { formatReference, type Reference, repositoryOf } from "../oci/reference.ts";

/** A manifest or index that the bundle carries, with everything below it. */
export interface CarriedManifest {
  readonly descriptor: Descriptor;
  /** Normalized `os/architecture[/variant]`; absent for an index or an artifact. */
  readonly platform?: string;
  /** Config and layers, or the entries of an index that are no manifests. */
  readonly blobs: readonly Descriptor[];
  /** Layers that the manifest locates by URLs, outside of any registry. They are not carried. */
  readonly foreignLayers?: readonly Descriptor[];
  /** The carried manifests of an index, in the order of the index. */
  readonly children: readonly CarriedManifest[];
}

/** What is attached to an image: a signature, an attestation, an SBOM. */
export interface CarriedReferrer {
  readonly root: CarriedManifest;
  /** The manifest that it is about: one of the image, or of another referrer. */
  readonly subject: Digest;
  /** Set where cosign's tag, and not a field of the manifest, says what it is about. */
  readonly tag?: string;
}

/** An image, resolved to the content that the bundle carries. */
export interface ResolvedImage {
  readonly reference: Reference;
  readonly root: CarriedManifest;
  /** Requested platforms that the image does not have, and the one that a machine of that platform takes instead. */
  readonly substitutes?: readonly { readonly requested: string; readonly taken: string }[];
  /** Requested platforms for which the image has nothing. */
  readonly missing?: readonly string[];
  /** Default platforms that the image lists, and whose manifest its source does not have. */
  readonly absent?: readonly string[];
  readonly referrers?: readonly CarriedReferrer[];
}

/** A file `blobs/<alg>/<hash>` of a bundle. */
export interface PlanEntry {
  readonly type: "manifest" | "blob";
  readonly descriptor: Descriptor;
  /** A repository that has the content. */
  readonly repository: string;
  /** Set for a delta, which `descriptor` is of then: the layer that it makes. */
  readonly layer?: Digest;
}

/** The content of a bundle. */
export interface BundlePlan {
  /** In file order: children before the manifests that refer to them. */
  readonly entries: readonly PlanEntry[];
  /** Needed content that is left out because the site holds it; sorted. */
  readonly omitted: readonly Digest[];
  /** Total size of the omitted content, in bytes. */
  readonly omittedSize: number;
  /** All needed content, with one line for each repository and tag that needs it. */
  readonly digests: readonly StatusDigest[];
  /** Total size of the entries, in bytes. */
  readonly size: number;
}

/**
 * Plans the content of a bundle and its order: the referrers of all images, and then for every image, sorted by
 * reference, its config and layers, then its manifest, then the index. Each digest occurs once. The referrers come first
 * because a reader verifies the signatures of images before it writes anything.
 *
 * @param have digests that the site holds, which are left out
 * @throws {CorruptError} when manifests disagree on the size of a blob
 */
export function planBundle(
  images: readonly ResolvedImage[],
  have: Pick<ReadonlySet<Digest>, "has"> = new Set(),
): BundlePlan {
  const entries = new Map<Digest, PlanEntry>();
  const digests = new Map<string, StatusDigest>();
  for (const { repository, root, tag, subject } of listRoots(sortByReference(images))) {
    for (const step of walk(root)) {
      const { digest, size } = step.descriptor;
      const known = entries.get(digest);
      if (known === undefined) entries.set(digest, { type: step.type, descriptor: step.descriptor, repository });
      else if (known.descriptor.size !== size) {
        throw new CorruptError(cannot("plan the bundle", `${digest} has ${known.descriptor.size} and ${size} bytes`));
      }
      const isRoot = step.manifest === root && step.type === "manifest";
      addDigest(digests, {
        type: step.type,
        name: repository,
        digest,
        size,
        tag: isRoot ? tag : undefined,
        // The platforms of a package are those of its images.
        platform: subject === undefined ? step.manifest.platform : undefined,
        subject: isRoot ? subject : undefined,
      });
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

/** Lists the platforms of an image's manifests, in the order of the index, without duplicates. */
export function platformsOf(root: CarriedManifest): string[] {
  const own = root.platform === undefined ? [] : [root.platform];
  return [...new Set([...own, ...root.children.flatMap(platformsOf)])];
}

interface Root extends Pick<CarriedReferrer, "root"> {
  readonly repository: string;
  readonly tag?: string | undefined;
  readonly subject?: Digest;
}

function* listRoots(images: readonly ResolvedImage[]): Generator<Root> {
  for (const { reference, referrers = [] } of images) {
    for (const referrer of referrers) yield { ...referrer, repository: repositoryOf(reference) };
  }
  for (const { reference, root } of images) yield { root, repository: repositoryOf(reference), tag: reference.tag };
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
  // A layer that several platforms share gets no platform.
  const platform = known === undefined || known.platform === line.platform ? line.platform : undefined;
  const subject = line.subject ?? known?.subject;
  digests.set(key, {
    type: line.type,
    name: line.name,
    digest: line.digest,
    size: line.size,
    ...(line.tag === undefined ? {} : { tag: line.tag }),
    // deno-lint-ignore crpe/conditional-spread -- a line of a document
    ...(platform === undefined ? {} : { platform }),
    // deno-lint-ignore crpe/conditional-spread -- a line of a document
    ...(subject === undefined ? {} : { subject }),
  });
}

function sortByReference(images: readonly ResolvedImage[]): ResolvedImage[] {
  const keyed = images.map((image) => ({ image, key: formatReference(image.reference) }));
  return keyed.sort((a, b) => a.key < b.key ? -1 : a.key > b.key ? 1 : 0).map(({ image }) => image);
}
