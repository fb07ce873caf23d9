import { DiskStore } from "../../lib/store/disk_store.ts";
import { runCrpe } from "./crpe_process.ts";
import type { BuiltImage } from "./images.ts";
import { writeImage } from "./put_image.ts";
import { TestFolder } from "./test_folder.ts";

/**
 * Creates a folder in which crpe packs and imports, with an empty folder `manifests`. Its data folder `source` has the
 * images.
 *
 * @param images by their references
 */
export async function createPackFixture(images: Readonly<Record<string, BuiltImage>>) {
  const folder = await TestFolder.create();
  await Deno.mkdir(`${folder.path}/manifests`);
  const store = new DiskStore(`${folder.path}/source`);
  for (const [reference, image] of Object.entries(images)) {
    const [repo = "", tag = ""] = reference.split(/:(?=[^:]*$)/);
    await writeImage(store, `${repo}:${tag}`, image);
  }
  const processOptions = { env: { HOME: folder.path }, cwd: folder.path };
  const crpe = async (...args: string[]) => await runCrpe(args, processOptions);
  return {
    folder,
    store,
    processOptions,
    crpe,
    /** Packs the images of `source` into `<name>.tgz`. */
    async pack(kubepkg: unknown, name: string, ...flags: string[]) {
      await folder.write(`${name}.json`, JSON.stringify(kubepkg));
      return await crpe("pack", `${name}.json`, "-o", `${name}.tgz`, "--data=source", "--offline", ...flags);
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}
