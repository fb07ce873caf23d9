import type { RemoveOptions } from "../../install/remove_package.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { forgetImages, listForgotten, type UnwantedImage } from "../../store/forget_images.ts";
import type { AnyStore } from "./open_store.ts";

/**
 * Creates what removes the images of a package from a store. In a bucket only their tags go: their manifests may be in use
 * on another machine, and a garbage collection with `--untagged` finds out.
 *
 * @param data the data folder
 */
export function createForgetter(
  data: string,
  store: AnyStore,
): Pick<RemoveOptions, "forgetImages" | "listForgotten"> {
  if (store instanceof DiskStore) {
    return {
      forgetImages: (images, keep) => forgetImages(data, images, keep),
      listForgotten: (images) => listForgotten(data, images),
    };
  }
  const forEachTag = async (
    images: readonly UnwantedImage[],
    isForgotten: (repository: string, tag: string, digest: UnwantedImage["digest"]) => Promise<boolean>,
  ) => {
    const forgotten = new Set<string>();
    for (const { repository, tag, digest } of images) {
      if (tag !== undefined && await isForgotten(repository, tag, digest)) forgotten.add(`${repository}:${tag}`);
    }
    return [...forgotten].sort();
  };
  return {
    forgetImages: (images) => forEachTag(images, store.untag),
    listForgotten: (images) =>
      forEachTag(images, async (repository, tag, digest) => (await store.resolve(repository, tag))?.digest === digest),
  };
}
