import { packBundle } from "./pack_bundle.ts";
import { PullThrough } from "../../lib/cache/pull_through.ts";
import { FolderHandover } from "../../lib/install/handover/folder_handover.ts";
import { installBundle } from "../../lib/install/install_bundle.ts";
import type { InstallResult } from "../../lib/install/install_result.ts";
import { PackageRecords } from "../../lib/install/package_records.ts";
import { removePackage } from "../../lib/install/remove_package.ts";
import { rollBackPackage } from "../../lib/install/rollback_package.ts";
import type { KubePkg } from "../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../lib/kubepkg/parse_kubepkg.ts";
import type { Digest } from "../../lib/oci/digest.ts";
import { FolderInUseError, takeDataFolder } from "../../lib/store/data_folder.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { forgetImages, listForgotten } from "../../lib/store/forget_images.ts";
import { makeParts, type PartItem } from "./bundle_parts.ts";
import { makeBytes, readAll } from "./content.ts";
import { FakeUpstream } from "./fake_upstream.ts";
import { buildImage, buildIndex, type BuiltImage } from "./images.ts";
import { idOf, makeKubePkg } from "./kubepkg.ts";
import { writeImage } from "./put_image.ts";

/** The work of a process that is killed. */
export type CrashWork = "pull" | "import" | "upgrade" | "parts" | "rollback" | "remove";

/** The folders of the work. */
export interface CrashFolders {
  /** Contains the data folder and the folder of hand-over files. */
  readonly root: string;
  /** Contains the bundles. */
  readonly bundles: string;
}

/** The package of the bundles. */
export const PACKAGE = "line4";
/** The image that is pulled. */
export const PULLED = { repo: "registry.test/team/app", tag: "1.0" };

const shared = { "shared.bin": makeBytes(3000, 1) };
const single = (version: number) => {
  return buildImage({ files: [shared, { "version.txt": `${version}` }], layerCompression: "none" });
};
const multi = (version: number) => {
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

/** Packs both versions into `<folder>/1.tgz` and `<folder>/2.tgz`, and the first also in two parts. */
export async function packBundles(folder: string): Promise<void> {
  for (const version of [1, 2] as const) {
    const images = imagesOfBundle(version);
    const store = new DiskStore(`${folder}/source-${version}`);
    for (const [reference, image] of Object.entries(images)) {
      const [repo = "", tag = ""] = reference.split(/:(?=[^:]*$)/);
      await writeImage(store, `${repo}:${tag}`, image);
    }
    const names = Object.fromEntries(Object.keys(images).map((reference) => [reference, ""]));
    const kubepkg = makeKubePkg(names, { name: PACKAGE, version: `${version}.0.0`, data: { line: `${version}` } });
    using file = await Deno.open(`${folder}/${version}.tgz`, { write: true, create: true, truncate: true });
    const write = async (bytes: Uint8Array) => {
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
    };
    // Data that leaves the package stays in the hand-over file.
    const claim = { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata: { name: "data" } };
    if (version === 1) Object.assign(kubepkg.spec.manifests, { claim });
    const { kubepkg: packed } = await packBundle(parseKubePkg(kubepkg), store, { output: { write } });
    if (version === 1) await writeParts(folder, packed, images);
  }
}

async function writeParts(
  folder: string,
  kubepkg: KubePkg,
  images: Readonly<Record<string, BuiltImage>>,
): Promise<void> {
  const contents = new Map<Digest, Uint8Array>();
  for (const { blobs, manifests } of Object.values(images)) {
    for (const [digest, bytes] of blobs) contents.set(digest, bytes);
    for (const { descriptor, bytes } of manifests) contents.set(descriptor.digest, bytes);
  }
  const first: PartItem[] = [];
  const second: PartItem[] = [];
  for (const [digest, { length }] of contents) {
    if (length < 100_000) (first.length < 3 ? first : second).push([digest]);
    else {
      first.push([digest, 0, 70_000]);
      second.unshift([digest, 70_000, length - 70_000]);
    }
  }
  const parts = await makeParts(kubepkg, [first, second], { contents });
  for (const [i, bytes] of parts.entries()) await Deno.writeFile(`${folder}/1.part${i + 1}.tgz`, bytes);
}

/**
 * Does the work, or the rest of it after a kill.
 *
 * @param report called for each result that is reported to a client or user
 */
export async function doWork(
  work: CrashWork,
  { root, bundles }: CrashFolders,
  report: (what: string) => void = () => {},
): Promise<InstallResult | undefined> {
  if (work === "pull") {
    await pull(`${root}/data`, report);
    return undefined;
  }
  if (work === "parts") {
    for (const number of [1, 2]) {
      await install(root, `${bundles}/1.part${number}.tgz`);
      report(`part ${number} is imported`);
    }
    return undefined;
  }
  if (work === "rollback" || work === "remove") {
    await change(root, work);
    report(`${work} is done`);
    return undefined;
  }
  const result = await install(root, `${bundles}/${work === "import" ? 1 : 2}.tgz`);
  report(`${work} is done`);
  return result;
}

async function pull(data: string, report: (what: string) => void): Promise<void> {
  const image = multi(1);
  const manifests = image.manifests.map(({ bytes, descriptor }) => ({ bytes, descriptor }));
  const blobs = [...image.blobs].map(([digest, bytes]) => {
    return { bytes, descriptor: { mediaType: "application/octet-stream", digest, size: bytes.length } };
  });
  const upstream = new FakeUpstream(...manifests, ...blobs);
  upstream.tags.set(PULLED.tag, image.root.digest);
  const blobSizes = new Map(blobs.map(({ descriptor: { digest, size } }) => [digest, size]));
  using _lock = await takeFolderSoon(data);
  const cache = new PullThrough({ store: new DiskStore(data), upstream });
  await cache.resolve(PULLED.repo, PULLED.tag);
  report("the tag is served");
  for (const { descriptor: { digest } } of manifests.toReversed()) {
    await cache.readManifest(PULLED.repo, digest);
    report(`manifest ${digest} is served`);
  }
  for (const { descriptor: { digest } } of blobs) {
    await readAll(await cache.openBlob(PULLED.repo, digest));
    // The client has the blob before it is synced. Only `crpe pull` reports it when it is.
    await cache.fetchBlob(PULLED.repo, { digest, size: blobSizes.get(digest)! });
    report(`blob ${digest} is stored`);
  }
}

async function install(root: string, bundle: string): Promise<InstallResult> {
  const data = `${root}/data`;
  const file = await Deno.open(bundle);
  return await installBundle(file.readable, {
    store: new DiskStore(data),
    records: new PackageRecords(data),
    handover: new FolderHandover(`${root}/manifests`),
  });
}

async function change(root: string, work: "rollback" | "remove"): Promise<void> {
  const data = `${root}/data`;
  const records = new PackageRecords(data);
  // After a removal that was interrupted at its end, nothing is left to do.
  if (await records.read(idOf(PACKAGE)) === undefined) return;
  const handover = new FolderHandover(`${root}/manifests`, {
    addons: { readState: () => Promise.resolve({ state: "applied" }), listPresent: () => Promise.resolve([]) },
  });
  const options = { records, openHandover: () => handover };
  if (work === "rollback") {
    await rollBackPackage(idOf(PACKAGE), { ...options, store: new DiskStore(data), to: "1.0.0" });
  } else {
    await removePackage(idOf(PACKAGE), {
      ...options,
      forgetImages: (images, keep) => forgetImages(data, images, keep),
      listForgotten: (images) => listForgotten(data, images),
    });
  }
}

/** Takes a data folder, of which a process that is just being started may hold a copy of this one's lock. */
export async function takeFolderSoon(data: string): Promise<Disposable | undefined> {
  for (let tries = 1;; tries++) {
    try {
      return await takeDataFolder(data);
    } catch (error) {
      if (!(error instanceof FolderInUseError) || tries === 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
