import { joinChunks } from "../../lib/bytes/join_chunks.ts";
import { layOutBundle } from "../../lib/bundle/bundle_layout.ts";
import { writePrepared } from "../../lib/bundle/pack_bundle.ts";
import { addDeltas } from "../../lib/bundle/pack_deltas.ts";
import { preparePack } from "../../lib/bundle/prepare_pack.ts";
import { modelNames } from "../../lib/delta/models/all.ts";
import { parseKubePkg } from "../../lib/kubepkg/parse_kubepkg.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { DELTA_REPO, makeAppFiles, readWholeBundle } from "./delta_fixture.ts";
import { buildImage } from "./images.ts";
import { makeKubePkg } from "./kubepkg.ts";
import { writeImage } from "./put_image.ts";
import { TestFolder } from "./test_folder.ts";

let packed: ReturnType<typeof pack> | undefined;

/** The second version of an application, packed for a site that has the first. It is packed once, and must not be changed. */
export function packDeltaBundle(): ReturnType<typeof pack> {
  return packed ??= pack();
}

async function pack() {
  await using folder = await TestFolder.create();
  const store = new DiskStore(`${folder.path}/source`);
  const images = [1, 2].map((version) => buildImage({ files: makeAppFiles(version, 8) }));
  for (const [i, image] of images.entries()) await writeImage(store, `${DELTA_REPO}:${i + 1}`, image);
  const have = new Set([...images[0]!.blobs.keys(), images[0]!.root.digest]);
  const release = parseKubePkg(makeKubePkg({ [`${DELTA_REPO}:2`]: "" }, { version: "2.0.0" }));
  const prepared = await preparePack(release, store, { have });
  using made = await addDeltas(prepared, { store, have, models: new Set(modelNames()), effort: "fast" });
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  await writePrepared({ pack: made.pack, layout: layOutBundle(made.pack) }, {}, {
    write: (bytes) => Promise.resolve(void pieces.push(new Uint8Array(bytes))),
  });
  const bytes = joinChunks(pieces);
  await Deno.writeFile(`${folder.path}/2.tgz`, bytes);
  return {
    /** The images of both versions. */
    images,
    /** The image of the first version. */
    old: images[0]!,
    bytes,
    bundle: await readWholeBundle(`${folder.path}/2.tgz`),
    /** `kubepkg.json` of the release without deltas. */
    whole: (await preparePack(release, store, {})).kubepkg,
  };
}
