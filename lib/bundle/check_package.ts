import { checkLists, checkObjects } from "../kubepkg/check_objects.ts";
import { compareImages, formatImageMismatch, type ImageMismatch } from "../kubepkg/compare_images.ts";
import { findImages, type ImageUse } from "../kubepkg/find_images.ts";
import { mapObjects } from "../kubepkg/flatten_objects.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { formatObjectFinding, type ObjectFindingCode } from "../kubepkg/object_finding.ts";
import { formatIdentity } from "../kubepkg/object_identity.ts";
import { packageObjects } from "../kubepkg/package_objects.ts";
import { stripLiveFields } from "../kubepkg/strip_live_fields.ts";
import type { Descriptor } from "../oci/manifest.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import type { CarriedManifest, ResolvedImage } from "./bundle_plan.ts";
import type { PreparedPack } from "./prepare_pack.ts";

/**
 * What a warning is about: the codes of `checkObjects`; `unlisted-image` and `other-digest` (what objects use and
 * `spec.images` does not provide), `foreign-layer` (a layer outside of registries), `unavailable-platform`, `left-out-referrer`,
 * `empty-package`, `live-field` (removed, since only the cluster that the object was exported from has it).
 */
export type WarningCode =
  | ObjectFindingCode
  | "unlisted-image"
  | "other-digest"
  | "foreign-layer"
  | "unavailable-platform"
  | "left-out-referrer"
  | "empty-package"
  | "live-field";

/** Something that will not work at the site, or not as the package says it. */
export interface PackageWarning {
  readonly code: WarningCode;
  /** `kind/namespace/name` of an object, or the reference of an image. */
  readonly object: string;
  /** A field of the object, several separated by commas, or the digest of a layer; "" for the whole. */
  readonly field: string;
  /** One sentence with all of it. */
  readonly message: string;
}

/** A package whose objects were checked. */
interface CheckedPackage {
  /** Without the fields that only a live cluster gives an object. */
  readonly kubepkg: KubePkg;
  readonly warnings: readonly PackageWarning[];
  /** The images that the objects use. */
  readonly uses: readonly ImageUse[];
}

/** Largest number of warnings that are collected of one kind. */
const MAX_WARNINGS = 1000;

/**
 * Checks the objects of a package for what no cluster takes, and removes the fields of the cluster that they were exported
 * from.
 *
 * @throws {CorruptError} as `packageObjects`
 */
export function checkPackage(given: KubePkg): CheckedPackage {
  const live = packageObjects(given).flatMap(({ identity, object, isAdded }): PackageWarning[] => {
    const { stripped } = isAdded ? { stripped: [] } : stripLiveFields(object);
    if (stripped.length === 0) return [];
    const [name, field] = [formatIdentity(identity), stripped.join(", ")];
    const message = `${name}: left out what only a live cluster has: ${field}`;
    return [{ code: "live-field", object: name, field, message }];
  });
  const manifests = mapObjects(given.spec.manifests, (object) => stripLiveFields(object).object);
  const kubepkg = { ...given, spec: { ...given.spec, manifests } };
  const objects = packageObjects(kubepkg);
  const findings = [...checkLists(given.spec.manifests), ...checkObjects(objects)].map((finding): PackageWarning => {
    const { code, object, field } = finding;
    return { code, object, field, message: formatObjectFinding(finding) };
  });
  return {
    kubepkg,
    warnings: [...findings, ...live.slice(0, MAX_WARNINGS)],
    uses: objects.flatMap(({ object }) => findImages(object)),
  };
}

/** The images that the objects use and the package does not provide, as far as is known before it is packed. */
export function listMissingImages({ spec }: KubePkg, { kubepkg, uses }: CheckedPackage): ImageMismatch[] {
  return compareImages({ ...kubepkg, spec }, uses);
}

/**
 * The images that the objects use and the packed bundle does not provide. A manifest that the bundle carries below an
 * index is provided: clients that have its digest ask for it.
 */
export function listMissingInPack({ kubepkg, plan }: PreparedPack, { uses }: CheckedPackage): ImageMismatch[] {
  const carried = new Set(
    plan.digests.filter(({ type }) => type === "manifest").map(({ name, digest }) => `${name}@${digest}`),
  );
  return compareImages(kubepkg, uses).filter(({ reference }) => {
    return reference.digest === undefined || !carried.has(`${repositoryOf(reference)}@${reference.digest}`);
  });
}

/** Warns about images that the objects use and the package does not provide. */
export function describeMissingImages(mismatches: readonly ImageMismatch[]): PackageWarning[] {
  return mismatches.slice(0, MAX_WARNINGS).map((mismatch) => {
    const [use] = mismatch.uses;
    return {
      code: mismatch.problem === "unlisted" ? "unlisted-image" : "other-digest",
      object: use?.object ?? "",
      field: use?.field ?? "",
      message: `${formatImageMismatch(mismatch)}; add it with --add-images`,
    };
  });
}

/** Warns about a package that installs nothing. */
export function describeEmptyPackage({ kubepkg }: PreparedPack): PackageWarning[] {
  const { metadata: { name }, spec: { version, images, manifests } } = kubepkg;
  if (Object.keys(images).length + Object.keys(manifests).length > 0) return [];
  const message = `${name}@${version} is empty: spec.manifests has no object and spec.images no image`;
  return [{ code: "empty-package", object: name, field: "spec", message }];
}

/** Warns about the layers of an image that its manifest locates outside of registries. */
export function describeForeignLayers({ reference, root }: ResolvedImage): PackageWarning[] {
  const object = formatReference(reference);
  return [...listForeignLayers(root)].map(([digest, { mediaType, urls }]) => ({
    code: "foreign-layer",
    object,
    field: digest,
    message: `${object}: its layer ${digest} (${mediaType}) is not in any registry, only at ${urls?.[0]}: it is not ` +
      `carried, and the site cannot pull the image; build the image with the layer in it`,
  }));
}

/**
 * Warns about images that the site will not have whole: foreign layers, platforms that an image does not have, and
 * referrers that are left out.
 */
export function describeIncompleteImages({ images, unavailable, withoutReferrers }: PreparedPack): PackageWarning[] {
  const foreign = images.flatMap(describeForeignLayers);
  const missing = unavailable.map(({ image, platforms }): PackageWarning => ({
    code: "unavailable-platform",
    object: image,
    field: platforms.join(", "),
    message: `${image} is not available for ${platforms.join(", ")}, which the annotation of the release asks for`,
  }));
  const absent = images.filter((it) => it.absent !== undefined).map(({ reference, absent = [] }): PackageWarning => {
    const [object, field] = [formatReference(reference), absent.join(", ")];
    const message = `${object} lists ${field}, and its manifest was not found: it is not carried`;
    return { code: "unavailable-platform", object, field, message };
  });
  const referrers = withoutReferrers.map(({ image, reason }): PackageWarning => ({
    code: "left-out-referrer",
    object: image,
    field: "",
    message: `${image}: ${reason}`,
  }));
  return [...foreign, ...missing, ...absent, ...referrers].slice(0, MAX_WARNINGS);
}

function listForeignLayers({ foreignLayers = [], children }: CarriedManifest): Map<string, Descriptor> {
  const own = foreignLayers.map((layer) => [layer.digest, layer] as const);
  return new Map([...own, ...children.flatMap((child) => [...listForeignLayers(child)])]);
}
