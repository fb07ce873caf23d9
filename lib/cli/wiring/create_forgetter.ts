import type { RemoveOptions } from "../../install/remove_package.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { forgetImages, listForgotten } from "../../store/forget_images.ts";
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
  return {
    forgetImages: (images, keep) => store.forgetImages(images, { keep }),
    listForgotten: (images) => store.forgetImages(images, { dryRun: true }),
  };
}
