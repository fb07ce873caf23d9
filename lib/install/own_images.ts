import { rootDigest } from "../bundle/image_graph.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { formatPackageId, isSamePackage, packageIdOf } from "../kubepkg/package_id.ts";
import { unlessCorrupt } from "../oci/error.ts";
import { repositoryOf } from "../oci/reference.ts";
import type { UnwantedImage } from "../store/forget_images.ts";
import type { PackageRecords } from "./package_records.ts";
import { absentIfBroken } from "./records/record_file.ts";

const SHOWN_DIGITS = 19;

/** Lists the images of a package by the digests that its record gives, without what is attached to them. */
export function ownImages(kubepkg: KubePkg): UnwantedImage[] {
  return imagesOf(kubepkg).flatMap((image) => {
    const { reference } = image;
    const digest = unlessCorrupt(() => rootDigest(kubepkg, image));
    // The record has no digest for the image, so there is nothing to find in the store.
    if (digest === undefined) return [];
    return [{ repository: repositoryOf(reference), tag: reference.tag, digest }];
  });
}

/** Says which tags of other installed packages an import moves to another image, a sentence each. */
export async function describeMovedTags(kubepkg: KubePkg, records: PackageRecords): Promise<string[]> {
  const installed = await records.list().catch(absentIfBroken) ?? [];
  const own = new Map(ownImages(kubepkg).map(({ repository, tag, digest }) => [`${repository}:${tag}`, digest]));
  return installed.filter((other) => !isSamePackage(packageIdOf(other), packageIdOf(kubepkg))).flatMap((other) =>
    ownImages(other).flatMap(({ repository, tag, digest }) => {
      const moved = tag === undefined ? undefined : own.get(`${repository}:${tag}`);
      if (moved === undefined || moved === digest) return [];
      const [from, to] = [digest, moved].map((it) => it.slice(0, SHOWN_DIGITS));
      return [
        `${repository}:${tag} is ${from} in the package ${formatPackageId(packageIdOf(other))}, and becomes ${to}`,
      ];
    })
  );
}
