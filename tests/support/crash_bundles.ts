import type { KubePkg } from "../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../lib/kubepkg/parse_kubepkg.ts";
import type { Digest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { makeParts, type PartItem } from "./bundle_parts.ts";
import { imagesOfBundle } from "./crash_images.ts";
import { PACKAGE } from "./crash_work.ts";
import type { BuiltImage } from "./images.ts";
import { makeKubePkg } from "./kubepkg.ts";
import { packBundle } from "./pack_bundle.ts";
import { writeImage } from "./put_image.ts";

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
