import { DiskStore } from "../../lib/store/disk_store.ts";
import { assertEquals } from "./assert.ts";
import { runCrpe } from "./crpe_process.ts";
import type { BuiltImage } from "./images.ts";
import { makeKubePkg } from "./kubepkg.ts";
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

const packed = new Map<string, Promise<Uint8Array>>();

/**
 * A fixture with images that have the tags `1`, `2` and so on, each packed as the release `release<tag>.tgz`. Each is packed
 * once for all tests of a worker.
 */
export async function createReleases(repository: string, images: readonly BuiltImage[]) {
  const references = images.map((_, i) => `${repository}:${i + 1}`);
  const fixture = await createPackFixture(Object.fromEntries(images.map((image, i) => [references[i]!, image])));
  for (const [i, { root }] of images.entries()) {
    const name = `release${i + 1}`;
    const pack = async () => {
      const release = makeKubePkg({ [references[i]!]: root.digest }, { version: `${i + 1}.0.0` });
      const { code, stderr } = await fixture.pack(release, name);
      assertEquals(code, 0, stderr);
      return await Deno.readFile(`${fixture.folder.path}/${name}.tgz`);
    };
    const key = `${references[i]} ${root.digest}`;
    if (!packed.has(key)) packed.set(key, pack());
    await fixture.folder.write(`${name}.tgz`, await packed.get(key)!);
  }
  return fixture;
}
