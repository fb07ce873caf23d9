import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import { removePackage } from "../../../lib/install/remove_package.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { forgetImages } from "../../../lib/store/forget_images.ts";
import { verifyStore } from "../../../lib/store/verify_store.ts";
import { assertEquals } from "../../support/assert.ts";
import { streamOf } from "../../support/content.ts";
import { buildImage, type BuiltImage } from "../../support/images.ts";
import { installBundle } from "../../support/install_bundle.ts";
import { idOf, makeKubePkg } from "../../support/kubepkg.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { packBundle } from "../../support/pack_bundle.ts";
import { writeImage } from "../../support/put_image.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.test/app";
const IMAGES: Readonly<Record<string, BuiltImage>> = Object.fromEntries(
  ["x", "y", "z"].map((name) => [name, buildImage({ files: [{ name }] })]),
);

async function pack(
  name: string,
  image: BuiltImage,
  [tag = "1", version = "1.0.0"]: string[] = [],
): Promise<Uint8Array<ArrayBuffer>> {
  const store = new MemoryStore();
  await writeImage(store, `${REPO}:${tag}`, image);
  const parts: Uint8Array[] = [];
  await packBundle(parseKubePkg(makeKubePkg({ [`${REPO}:${tag}`]: "" }, { name, version })), store, {
    output: { write: (bytes) => void parts.push(bytes.slice()) },
  });
  return joinChunks(parts);
}

/** `NAME IMAGE [TAG VERSION]` is an import of a package that has the image under the tag. After each action, the image of the tag. */
const ROWS: readonly [what: string, actions: readonly (readonly [action: string, image: string | undefined])[]][] = [
  ["the last one is removed", [["a x", "x"], ["b y", "y"], ["remove b", "x"], ["remove a", undefined]]],
  ["the first one is removed", [["a x", "x"], ["b y", "y"], ["remove a", "y"], ["remove b", undefined]]],
  ["of three, one agrees with the tag", [["a x", "x"], ["b y", "y"], ["c y", "y"], ["remove c", "y"], [
    "remove b",
    "x",
  ]]],
  ["the last one was upgraded to a release without the tag", [["a x", "x"], ["b y", "y"], ["b y 2 1.1.0", "y"], [
    "remove b",
    "x",
  ]]],
  ["a tag that was moved by hand stays", [["a x", "x"], ["b y", "y"], ["tag z", "z"], ["remove b", "z"]]],
];

for (const [what, actions] of ROWS) {
  Deno.test(`a tag of two packages with different images goes back to the one that is left: ${what}`, async () => {
    await using folder = await TestFolder.create();
    const data = `${folder.path}/data`;
    const [store, records] = [new DiskStore(data), new PackageRecords(data)];
    for (const [action, image] of actions) {
      const [first = "", second = "", ...more] = action.split(" ");
      if (first === "remove") {
        await removePackage(idOf(second), {
          records,
          store,
          openHandover: () => undefined,
          forgetImages: (images, { keep }) => forgetImages(data, images, keep),
        });
      } else if (first === "tag") await writeImage(store, `${REPO}:1`, IMAGES[second]!);
      else await installBundle(streamOf(await pack(first, IMAGES[second]!, more)), { store, records });
      const found = await new DiskStore(data).resolve(REPO, "1");
      assertEquals(found?.digest, image && IMAGES[image]!.root.digest, action);
      assertEquals((await verifyStore(data, store)).links, [], action);
    }
  });
}

Deno.test("an import says which tag of another installed package it moves", async () => {
  await using folder = await TestFolder.create();
  const [store, records] = [new DiskStore(folder.path), new PackageRecords(folder.path)];
  const warnings: (readonly string[] | undefined)[] = [];
  for (const [name, image] of [["a", "x"], ["a", "x"], ["b", "y"], ["c", "y"]] as const) {
    const { plan } = await installBundle(streamOf(await pack(name, IMAGES[image]!)), { store, records });
    warnings.push(plan.warnings);
  }
  const [x, y] = ["x", "y"].map((name) => IMAGES[name]!.root.digest.slice(0, 19));
  const moved = `${REPO}:1 is ${x} in the package a, and becomes ${y}`;
  assertEquals(warnings, [undefined, undefined, [moved], [moved]]);
});
