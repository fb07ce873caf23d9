import { DiskStore } from "../../lib/store/disk_store.ts";
import { runCrpe } from "./crpe_process.ts";
import type { BuiltImage } from "./images.ts";
import { writeImage } from "./put_image.ts";
import { TestFolder } from "./test_folder.ts";

/**
 * A folder in which crpe packs and imports, with an empty folder `manifests`, and with a store `office` that has images.
 *
 * @param images by their references
 */
export async function createOffice(images: Readonly<Record<string, BuiltImage>>) {
  const folder = await TestFolder.create();
  await Deno.mkdir(`${folder.path}/manifests`);
  const store = new DiskStore(`${folder.path}/office`);
  for (const [reference, image] of Object.entries(images)) {
    const [repo = "", tag = ""] = reference.split(/:(?=[^:]*$)/);
    await writeImage(store, repo, tag, image);
  }
  const surroundings = { env: { HOME: folder.path }, cwd: folder.path };
  const crpe = async (...args: string[]) => await runCrpe(args, surroundings);
  return {
    folder,
    store,
    surroundings,
    crpe,
    /** Packs into `<name>.tgz`. */
    async pack(kubepkg: unknown, name: string, ...flags: string[]) {
      await folder.write(`${name}.json`, JSON.stringify(kubepkg));
      return await crpe("pack", `${name}.json`, "-o", `${name}.tgz`, "--data=office", "--offline", ...flags);
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}
