import { makeBytes } from "./content.ts";
import { buildImage, buildIndex, type BuiltImage } from "./images.ts";

const shared = { "shared.bin": makeBytes(3000, 1) };
const single = (version: number) => {
  return buildImage({ files: [shared, { "version.txt": `${version}` }], layerCompression: "none" });
};
/** The image of a version that is an index. */
export const multi = (version: number) => {
  return buildIndex([buildImage({ files: { "app.bin": makeBytes(150_000, version) }, layerCompression: "none" })]);
};
const IMAGES = [1, 2].map((version) => ({
  "registry.test/team/app:1.0": multi(version),
  "registry.test/team/tool:2": single(version),
}));

/** The images of a version's bundle, by their references. */
export function imagesOfBundle(version: 1 | 2): Readonly<Record<string, BuiltImage>> {
  return IMAGES[version - 1]!;
}
