import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { packBundle } from "../../support/pack_bundle.ts";
import { FileSource } from "../../../lib/bytes/file_source.ts";
import { installBundle } from "../../support/install_bundle.ts";
import type { InstallOptions } from "../../../lib/install/installation.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import type { KubePkg } from "../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { makeParts, type PartItem, type PartsOptions } from "../../support/bundle_parts.ts";
import { makeBytes } from "../../support/content.ts";
import { CountedFile } from "../../support/counted_file.ts";
import { buildImage } from "../../support/images.ts";
import { idOf, makeKubePkg } from "../../support/kubepkg.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { writeImage } from "../../support/put_image.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { listPending } from "../../support/list_pending.ts";

/** The repository of the image. */
export const REPO = "registry.test/app";
/** The name of the package. */
export const NAME = "line4";
export const ID = idOf(NAME);

/** Makes an image with a large layer and a small one. */
export function makeApp(seed: number) {
  const files: Record<string, Uint8Array>[] = [{ "large.bin": makeBytes(900_000, seed) }, {
    "small.bin": makeBytes(5000, seed + 1),
  }];
  return buildImage({ files, layerCompression: "none" });
}
/** The image of version 1.0.0. */
export const IMAGE = makeApp(1);

/** Packs a version of the package into one bundle. */
export async function packApp(version: string, image = IMAGE, have?: ReadonlySet<Digest>) {
  const store = new MemoryStore();
  await writeImage(store, `${REPO}:1`, image);
  const pieces: Uint8Array[] = [];
  const kubepkg = parseKubePkg(makeKubePkg({ [`${REPO}:1`]: "" }, { version, data: { version } }));
  const result = await packBundle(kubepkg, store, {
    ...(have === undefined ? {} : { have }),
    output: { write: (bytes) => void pieces.push(bytes.slice()) },
  });
  const contents = new Map<Digest, Uint8Array>(image.blobs);
  for (const { descriptor, bytes } of image.manifests) contents.set(descriptor.digest, bytes);
  return { kubepkg: result.kubepkg, bundle: joinChunks(pieces), contents };
}

/** Version 1.0.0 as one bundle, with the content of its image. */
export const APP = await packApp("1.0.0");
/** The digest of the large layer. */
export const LARGE = [...APP.contents].find(([, { length }]) => length > 800_000)![0];
export const LARGE_SIZE = APP.contents.get(LARGE)!.length;
/** The other blobs and manifests. */
export const REST: PartItem[] = [...APP.contents.keys()].filter((digest) => digest !== LARGE).map((digest) => [digest]);
/** The layout of three parts: the large layer is split over all of them, with the small blobs before and after it. */
export const LAYOUT: PartItem[][] = [
  [REST[0]!, [LARGE, 0, 300_000]],
  [[LARGE, 300_000, 400_000]],
  [[LARGE, 700_000, LARGE_SIZE - 700_000], ...REST.slice(1)],
];

/** Makes the parts of a bundle. */
export const parts = (kubepkg: KubePkg = APP.kubepkg, more: Partial<PartsOptions> = {}, layout = LAYOUT) => {
  return makeParts(kubepkg, layout, { contents: APP.contents, ...more });
};
/** Version 1.0.0 as three parts. */
export const PARTS = await parts();

/** Creates a site: a store and the records of its packages, both empty. */
export async function createSite() {
  const folder = await TestFolder.create();
  const data = `${folder.path}/data`;
  const [store, records] = [new DiskStore(data), new PackageRecords(data)];
  const install = async (bytes: Uint8Array<ArrayBuffer>, options: Partial<InstallOptions> = {}) => {
    const source = new FileSource(new CountedFile(bytes));
    return await installBundle(source, { store, records, what: "the.tgz", now: () => 0, ...options });
  };
  return {
    folder,
    data,
    store,
    records,
    install,
    /** The content and the records: path → digest. A receipt is another one each time, because a key of the node signs it. */
    async list() {
      const names = (await folder.listFiles("data")).filter((name) => {
        return /^(?:docker|kubepkg)\//.test(name) && !/\/(?:\.node-key\.pem|receipt\.json)$/.test(name);
      });
      const found: Record<string, string> = {};
      for (const name of names) found[name] = computeDigest(await Deno.readFile(`${data}/${name}`));
      return found;
    },
    listIngest: async () => (await folder.listFiles("data/ingest")).filter((name) => !name.endsWith(".lock")),
    /** Checks that no content that was received is visible. */
    async checkHidden() {
      assertEquals([await store.resolve(REPO, "1"), await records.list()], [undefined, []]);
      assertEquals((await store.listRepositories()).repositories, []);
    },
    async checkInstalled(version = "1.0.0") {
      assertEquals((await records.read(idOf(NAME)))?.spec.version, version);
      assertEquals((await store.resolve(REPO, "1"))?.digest, IMAGE.root.digest);
      assertEquals(await listPending(records.pending), []);
      assertEquals(await this.listIngest(), []);
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

async function listWhole(): Promise<Record<string, string>> {
  await using site = await createSite();
  assert((await site.install(APP.bundle)).isImported);
  return await site.list();
}
/** The content of a site that has installed `APP`. */
export const WHOLE = await listWhole();
