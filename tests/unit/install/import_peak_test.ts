import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { packBundle } from "../../support/pack_bundle.ts";
import type { BundleSource } from "../../../lib/bytes/byte_reader.ts";
import { FileSource } from "../../../lib/bytes/file_source.ts";
import { installBundle } from "../../support/install_bundle.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { partialPath } from "../../../lib/store/layout.ts";
import { assert, assertEquals, assertGreater, assertLess } from "../../support/assert.ts";
import { makeParts, type PartItem } from "../../support/bundle_parts.ts";
import { makeBytes, streamOf } from "../../support/content.ts";
import { CountedFile } from "../../support/counted_file.ts";
import { buildImage } from "../../support/images.ts";
import { makeKubePkg } from "../../support/kubepkg.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { writeImage } from "../../support/put_image.ts";
import { TestFolder } from "../../support/test_folder.ts";

const KIB = 1024;
const REPO = "registry.test/app";
const SIZES = [1800, 900, 2500, 1200];
const files = SIZES.map((size, i) => ({ "data.bin": makeBytes(size * KIB, i + 1) }));
const IMAGE = buildImage({ files, layerCompression: "none" });
const CONTENTS = new Map<Digest, Uint8Array>([
  ...IMAGE.blobs,
  ...IMAGE.manifests.map(({ descriptor, bytes }) => [descriptor.digest, bytes] as const),
]);
const TOTAL = [...CONTENTS.values()].reduce((sum, { length }) => sum + length, 0);
const LARGEST = Math.max(...[...CONTENTS.values()].map(({ length }) => length));
// The most bytes of links, the package record and the pending record.
const RECORDS = 64 * KIB;

async function packImage() {
  const store = new MemoryStore();
  await writeImage(store, `${REPO}:1`, IMAGE);
  const pieces: Uint8Array[] = [];
  const kubepkg = parseKubePkg(makeKubePkg({ [`${REPO}:1`]: "" }));
  const result = await packBundle(kubepkg, store, {
    output: { write: (bytes) => void pieces.push(bytes.slice()) },
  });
  return { bundle: joinChunks(pieces), kubepkg: result.kubepkg };
}
const { bundle: BUNDLE, kubepkg: KUBEPKG } = await packImage();

/** Returns the total size of all files below a folder, in bytes. */
function measure(folder: string): number {
  let sum = 0;
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    sum += isDirectory ? measure(`${folder}/${name}`) : Deno.lstatSync(`${folder}/${name}`).size;
  }
  return sum;
}

const sources: [string, () => Promise<BundleSource[]>][] = [
  ["a file", () => Promise.resolve([new FileSource(new CountedFile(BUNDLE))])],
  ["a stream", () => Promise.resolve([streamOf(BUNDLE)])],
  ["parts", async () => {
    const all = [...CONTENTS].flatMap(([digest, { length }]): PartItem[] => {
      const half = Math.floor(length / 2);
      return length < 100_000 ? [[digest]] : [[digest, 0, half], [digest, half, length - half]];
    });
    const layout = [0, 1, 2].map((part) => all.filter((_, i) => i % 3 === part));
    const parts = await makeParts(KUBEPKG, layout, { contents: CONTENTS });
    return parts.map((bytes) => new FileSource(new CountedFile(bytes)));
  }],
];
for (const [what, open] of sources) {
  Deno.test(`installBundle() of ${what} needs at most the space of the blobs, and of one more`, async () => {
    await using folder = await TestFolder.create();
    const [store, records] = [new DiskStore(folder.path), new PackageRecords(folder.path)];
    // An interrupted import has left a partial file. An import of parts would not use it.
    const [digest, bytes] = [...CONTENTS][1]!;
    if (what !== "parts") await folder.write(partialPath(digest), bytes.subarray(0, 300_000));
    let [peak, looks] = [0, 0];
    const look = () => {
      peak = Math.max(peak, measure(folder.path));
      looks++;
    };
    let isImported = false;
    for (const source of await open()) {
      const result = await installBundle(source, { store, records, onProgress: look });
      isImported = result.isImported;
      look();
    }
    assert(isImported);
    assertGreater(looks, SIZES.length * 2);
    assertLess(peak, TOTAL + LARGEST + RECORDS);
    assertGreater(peak, TOTAL);
    assertEquals((await folder.listFiles("ingest")).filter((name) => !name.endsWith(".lock")), []);
    assertLess(measure(folder.path), TOTAL + RECORDS);
  });
}
