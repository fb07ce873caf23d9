import { findOldLayers } from "../../../lib/bundle/old_images.ts";
import { ImageResolver } from "../../../lib/bundle/resolve_image.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { parseReference } from "../../../lib/oci/reference.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assertEquals } from "../../support/assert.ts";
import { buildImage, buildIndex, type BuiltImage, type ImageOptions } from "../../support/images.ts";
import { writeImage } from "../../support/put_image.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.test/app";
const BASE = { "base.txt": "base" };
const build = (app: string, more: ImageOptions = {}) => buildImage({ files: [BASE, { "app.txt": app }], ...more });
const NEW = build("new");
/** The layer of the application, which follows that of the base. */
const appLayer = (image: BuiltImage) => [...image.blobs.keys()][1]!;
const baseLayer = [...NEW.blobs.keys()][0]!;

interface Case {
  /** Older images of the store, by tag. */
  readonly images: Readonly<Record<string, BuiltImage>>;
  /** The tags that the site does not have. */
  readonly without?: readonly string[];
  /** Digests that the site does not have. */
  readonly lacks?: readonly Digest[];
  readonly repo?: string;
  readonly expected: readonly Digest[];
}

const [ONE, TWO] = [build("one"), build("two")];
const OTHER_BASE = buildImage({ files: [{ "other.txt": "other" }, { "app.txt": "one" }] });
const ARM = build("one", { platform: "linux/arm64" });
const ONLY_BASE = buildImage({ files: [BASE] });

const CASES: Readonly<Record<string, Case>> = {
  "the layers that the new image replaces": { images: { one: ONE }, expected: [appLayer(ONE)] },
  "nothing without an older image": { images: {}, expected: [] },
  "nothing of an image that the site does not have": { images: { one: ONE }, without: ["one"], expected: [] },
  "nothing of another platform": { images: { one: ARM }, expected: [] },
  "nothing of another repository": { images: { one: ONE }, repo: "registry.test/other", expected: [] },
  "the image that shares most": { images: { one: OTHER_BASE, two: TWO }, expected: [appLayer(TWO)] },
  "the one with the highest tag, of equal dates": {
    images: { "1.9.0": ONE, "1.10.0": TWO, "1.10.0-rc.1": build("three"), latest: ONE },
    expected: [appLayer(TWO)],
  },
  "the one with the highest tag, the other way": {
    images: { "1.9": TWO, "1.10": ONE },
    expected: [appLayer(ONE)],
  },
  "the one whose index has the highest tag": {
    images: { "1.9.0": TWO, "1.10.0": buildIndex([ONE, ARM]) },
    expected: [appLayer(ONE)],
  },
  "all layers, where the new image only adds some": { images: { one: ONLY_BASE }, expected: [baseLayer] },
  "no layer that the site does not have": {
    images: { one: OTHER_BASE },
    lacks: [appLayer(OTHER_BASE)],
    expected: [
      [...OTHER_BASE.blobs.keys()][0]!,
    ],
  },
};

for (const [title, { images, without = [], lacks = [], repo = REPO, expected }] of Object.entries(CASES)) {
  Deno.test(`findOldLayers() finds ${title}`, async () => {
    await using folder = await TestFolder.create();
    const store = new DiskStore(folder.path);
    const have = new Set<Digest>();
    for (const [tag, image] of Object.entries(images)) {
      await writeImage(store, `${repo}:${tag}`, image);
      const manifests = image.manifests.map(({ descriptor }) => descriptor.digest);
      if (!without.includes(tag)) { for (const digest of [...image.blobs.keys(), ...manifests]) have.add(digest); }
    }
    for (const digest of lacks) have.delete(digest);
    await writeImage(store, `${REPO}:new`, NEW);
    const resolver = new ImageResolver(store, { platforms: "all", isNamed: false });
    const { root } = await resolver.resolve({ name: REPO, reference: parseReference(`${REPO}:new`) });
    const layers = await findOldLayers(root, store, { repository: REPO, have });
    assertEquals(layers.map(({ digest }) => digest), expected);
  });
}
