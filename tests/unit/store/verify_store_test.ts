import { DiskStore } from "../../../lib/store/disk_store.ts";
import { blobPath } from "../../../lib/store/layout.ts";
import { verifyStore } from "../../../lib/store/verify_store.ts";
import { assertEquals } from "../../support/assert.ts";
import { type Content, makeBlob, makeIndex, makeManifest, streamOf } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const [config, layer, other] = [makeBlob(100, 1), makeBlob(2000, 2), makeBlob(300, 3)];
const image = makeManifest(config, [layer]);

/** Makes a chain of indexes, each of which lists the one before it `times` times. The first lists `image`. */
function nest(depth: number, times: number): Content[] {
  const indexes: Content[] = [];
  for (let i = 0; i < depth; i++) {
    indexes.push(makeIndex(Array(times).fill(indexes.at(-1) ?? image)));
  }
  return indexes;
}

interface Row {
  readonly what: string;
  /** The indexes over the image. The last one has the tag `1`. */
  readonly indexes: readonly Content[];
  /** Further manifests and their tags. */
  readonly others?: readonly (readonly [tag: string, Content])[];
  readonly images: readonly string[];
}
const flat = nest(1, 1);
const rows: Row[] = [
  { what: "an index that lists it a thousand times", indexes: nest(1, 1000), images: ["1"] },
  { what: "nested indexes that list each other twice", indexes: nest(12, 2), images: ["1"] },
  { what: "nested indexes that list each other four times", indexes: nest(6, 4), images: ["1"] },
  { what: "a long chain of indexes", indexes: nest(60, 1), images: ["1"] },
  {
    what: "many tags of one index",
    indexes: flat,
    others: Array.from({ length: 30 }, (_, i) => [`t${i}`, flat[0]!]),
    images: ["1", ...Array.from({ length: 30 }, (_, i) => `t${i}`)],
  },
  { what: "two images", indexes: flat, others: [["2", makeManifest(other, [layer])]], images: ["1", "2"] },
];
for (const { what, indexes, others = [], images } of rows) {
  Deno.test(`[89] verifyStore() reads each manifest once to find the images of a corrupt layer: ${what}`, async () => {
    await using folder = await TestFolder.create();
    const store = new DiskStore(folder.path);
    for (const { descriptor, bytes } of [config, layer, other]) {
      await store.writeBlob(REPO, descriptor, streamOf(bytes));
    }
    const manifests = [image, ...indexes, ...others.map(([, content]) => content)];
    for (const { descriptor, bytes } of manifests) await store.writeManifest(REPO, descriptor, bytes);
    await store.tag(REPO, "1", indexes.at(-1)!.descriptor.digest);
    for (const [tag, { descriptor }] of others) await store.tag(REPO, tag, descriptor.digest);
    const path = blobPath(layer.descriptor.digest);
    await Deno.writeFile(`${folder.path}/${path}`, layer.bytes.map((byte) => byte ^ 1));

    let reads = 0;
    const read = store.readManifest.bind(store);
    store.readManifest = (repository, digest) => {
      reads++;
      return read(repository, digest);
    };
    const { broken } = await verifyStore(folder.path, store);
    assertEquals(broken.map((blob) => ({ digest: blob.digest, images: blob.images, uses: blob.uses })), [{
      digest: layer.descriptor.digest,
      images: images.map((tag) => `${REPO}:${tag}`).sort(),
      uses: [{ repository: REPO, size: layer.bytes.length, isManifest: false }],
    }]);
    assertEquals(reads, new Set(manifests.map(({ descriptor }) => descriptor.digest)).size);
  });
}
