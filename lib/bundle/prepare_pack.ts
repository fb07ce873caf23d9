import { readSmallBlob } from "../content/read_small_blob.ts";
import type { ContentSource } from "../content/source.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import { imagesOf, withImageDigests } from "../kubepkg/images_of.ts";
import { type KubePkg, PLATFORMS_ANNOTATION } from "../kubepkg/kubepkg.ts";
import { formatRelease } from "../kubepkg/package_id.ts";
import type { Digest } from "../oci/digest.ts";
import { parsePlatforms, type Platform } from "../oci/platform.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import type { DocumentSigner } from "../signature/signature_lines.ts";
import { type BundlePlan, type CarriedManifest, planBundle, platformsOf, type ResolvedImage } from "./bundle_plan.ts";
import { ReferrerFinder, type ReferrerFinderOptions } from "./find_referrers.ts";
import { ImageResolver, type PlatformChoice } from "./resolve_image.ts";
import { MAX_SIGNATURE_LAYER } from "../signature/image_signature.ts";
import { type ImageKeys, type SignedImage, verifyImages } from "./verify_images.ts";
import { cannot, type Failure } from "../oci/error.ts";

/** What is done with the referrers of images. */
export interface ReferrerChoice extends Pick<ReferrerFinderOptions, "catalog" | "only"> {
  /** Whether they are carried with the images. */
  readonly isCarried: boolean;
  /** Keys of which one has to have signed each image. */
  readonly keys?: ImageKeys | undefined;
}

/** Selects what is packed of a package. */
export interface PackChoice {
  /** Platforms requested by name. They take precedence. */
  readonly platforms?: readonly Platform[];
  /** Platforms configured on this device (`$PLATFORMS`), used when neither the option nor the annotation names any. */
  readonly devicePlatforms?: readonly Platform[];
  /** Digests that the site holds, which are left out. */
  readonly have?: Pick<ReadonlySet<Digest>, "has"> | undefined;
  /** See `PreparedPack.sign`. */
  readonly sign?: DocumentSigner | undefined;
  /** Absent: referrers are not looked for. */
  readonly referrers?: ReferrerChoice | undefined;
}

/** A package with all its images resolved, ready to be packed. */
export interface PreparedPack {
  /** The package as written to the bundle. */
  readonly kubepkg: KubePkg;
  readonly images: readonly ResolvedImage[];
  readonly platforms: readonly string[];
  readonly plan: BundlePlan;
  readonly source: Pick<ContentSource, "openBlob">;
  /** Platforms that the release asks for by its annotation, and that an image does not have. */
  readonly unavailable: readonly { readonly image: string; readonly platforms: readonly string[] }[];
  /** Referrers that are not carried, and why, a sentence each. */
  readonly withoutReferrers: readonly { readonly image: string; readonly reason: string }[];
  /** The bytes of all manifests. */
  readonly manifests: ReadonlyMap<Digest, Uint8Array>;
  /** Returns the text of `kubepkg.json.sig` for a document; absent: the bundle is not signed. */
  readonly sign?: DocumentSigner | undefined;
}

const DEFAULT_PLATFORMS: readonly Platform[] = parsePlatforms("linux/amd64,linux/arm64");

/**
 * Resolves the images of a package. Reads only manifests and configs.
 *
 * @throws {Error} when an image or a platform requested by name is missing
 * @throws {DigestMismatchError} when a manifest does not match its digest; the message names the image
 * @throws {UntrustedError} when an image is not signed by one of the keys that are required
 */
export async function preparePack(kubepkg: KubePkg, source: ContentSource, choice: PackChoice): Promise<PreparedPack> {
  const resolver = new ImageResolver(source, choosePlatforms(kubepkg, choice));
  const resolved: ResolvedImage[] = [];
  for (const image of imagesOf(kubepkg)) {
    resolved.push(
      await resolver.resolve(image).catch((error) => rethrow(error, "", [formatReference(image.reference)])),
    );
  }
  const { images, manifests, withoutReferrers } = await addReferrers(kubepkg, resolved, { source, choice });
  const plan = planBundle(images, choice.have);
  // The annotation of an earlier pack lists the platforms of all images together.
  const isRequest = kubepkg.status?.digests === undefined && kubepkg.metadata.annotations?.[PLATFORMS_ANNOTATION];
  const platforms = [...new Set(images.flatMap(({ root }) => platformsOf(root)))].sort();
  return {
    kubepkg: describePackage(kubepkg, { images, platforms, plan }),
    images,
    platforms,
    plan,
    source,
    unavailable: isRequest
      ? images.flatMap(({ reference, missing: platforms }) => {
        return platforms === undefined ? [] : [{ image: formatReference(reference), platforms }];
      })
      : [],
    withoutReferrers,
    manifests: new Map([...resolver.manifests, ...manifests]),
    sign: choice.sign,
  };
}

async function addReferrers(
  kubepkg: KubePkg,
  images: readonly ResolvedImage[],
  { source, choice: { referrers: choice } }: { readonly source: ContentSource; readonly choice: PackChoice },
): Promise<Pick<PreparedPack, "images" | "manifests" | "withoutReferrers">> {
  if (choice === undefined) return { images, manifests: new Map(), withoutReferrers: [] };
  const finder = new ReferrerFinder({ ...choice, source });
  const complete: ResolvedImage[] = [];
  const withoutReferrers: { image: string; reason: string }[] = [];
  for (const image of images) {
    const { referrers, problems } = await finder.find(image);
    complete.push({ ...image, referrers });
    withoutReferrers.push(...problems.map((reason) => ({ image: formatReference(image.reference), reason })));
  }
  const { manifests } = finder;
  if (choice.keys !== undefined) {
    const signed = complete.map((image) => describeSigned(image, source, manifests));
    await verifyImages(signed, choice.keys, `pack ${formatRelease(kubepkg)}`);
  }
  return choice.isCarried
    ? { images: complete, manifests, withoutReferrers }
    : { images, manifests: new Map(), withoutReferrers: [] };
}

function describeSigned(
  { reference, root, referrers = [] }: ResolvedImage,
  source: ContentSource,
  manifests: ReadonlyMap<Digest, Uint8Array>,
): SignedImage {
  const { digest } = root.descriptor;
  return {
    name: formatReference(reference),
    digest,
    attached: referrers.filter(({ subject }) => subject === digest)
      .map(({ root }) => manifests.get(root.descriptor.digest)!),
    read: ({ digest, size }) => {
      return readSmallBlob(source, repositoryOf(reference), { digest, size, limit: MAX_SIGNATURE_LAYER });
    },
  };
}

/** Content that does not match its digest, so that the images that need it cannot be packed. */
export class WrongContentError extends DigestMismatchError {
  /** Empty for a manifest. */
  readonly digest: Digest | "";

  constructor(failure: Failure | string, digest: Digest | "") {
    super(failure);
    this.digest = digest;
  }
}

/** Rethrows an error. A digest mismatch is rethrown with the names of the images that need the blob. */
export function rethrowWithImages(error: unknown, digest: Digest, images: readonly ResolvedImage[]): never {
  const broken = images.filter(({ root }) => hasBlob(root, digest));
  rethrow(error, digest, broken.map(({ reference }) => formatReference(reference)));
}

function rethrow(error: unknown, digest: Digest | "", names: readonly string[]): never {
  if (!(error instanceof DigestMismatchError)) throw error;
  throw new WrongContentError(
    cannot(`pack ${names.join(", ")}`, error.clause, "run crpe verify to see what is broken"),
    digest,
  );
}

function hasBlob({ blobs, children }: CarriedManifest, digest: Digest): boolean {
  return blobs.some((blob) => blob.digest === digest) || children.some((child) => hasBlob(child, digest));
}

function choosePlatforms(kubepkg: KubePkg, { platforms, devicePlatforms }: PackChoice): PlatformChoice {
  if (platforms !== undefined && platforms.length > 0) return { platforms, isNamed: true };
  // An earlier pack writes the platforms of all images together: not every image has each of them.
  const annotated = parsePlatforms(kubepkg.metadata.annotations?.[PLATFORMS_ANNOTATION] ?? "");
  if (annotated.length > 0) return { platforms: annotated, isNamed: false };
  if (devicePlatforms !== undefined && devicePlatforms.length > 0) return { platforms: devicePlatforms, isNamed: true };
  return { platforms: DEFAULT_PLATFORMS, isNamed: false, isExact: true };
}

function describePackage(
  kubepkg: KubePkg,
  { images, platforms, plan }: Pick<PreparedPack, "images" | "platforms" | "plan">,
): KubePkg {
  const digests = new Map(images.map(({ reference, root }) => [formatReference(reference), root.descriptor.digest]));
  const filled = withImageDigests(kubepkg, ({ reference }) => digests.get(formatReference(reference)) as Digest);
  const annotations = platforms.length === 0
    ? kubepkg.metadata.annotations
    : { ...kubepkg.metadata.annotations, [PLATFORMS_ANNOTATION]: platforms.join(",") };
  return {
    ...filled,
    metadata: { ...filled.metadata, ...(annotations === undefined ? {} : { annotations }) },
    // The status of an earlier pack describes another bundle.
    status: { digests: plan.digests, ...(plan.omitted.length === 0 ? {} : { omitted: plan.omitted }) },
  };
}
