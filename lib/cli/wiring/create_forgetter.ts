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
export function createForgetter(data: string, store: AnyStore): RemoveOptions["forgetImages"] {
  if (!(store instanceof DiskStore)) return (images, options) => store.forgetImages(images, options);
  return async (images, { keep, dryRun }) =>
    dryRun ? listForgotten(data, images) : await forgetImages(data, images, keep);
}
