import { randomBytes } from "node:crypto";
import { blobPath } from "../../lib/store/layout.ts";
import { ContainerTools } from "../../tests/support/container_tools.ts";
import { makeKubePkg } from "../../tests/support/kubepkg.ts";
import type { Bench } from "./bench.ts";
import { HOST, TAG } from "./content.ts";
import { measurePrograms } from "./measure.ts";
import { importTo, packTo } from "./pack_import.ts";
import { removeAll } from "./program.ts";
import { createRatioBars, type Row } from "./row.ts";
import { type Contender, measureInTurns, type Series } from "./samples.ts";
import { StoreWriter, type WrittenImage } from "./store_writer.ts";

const LAYERS = 15;
const LAYER_BYTES = 16 * 1024;
const SKOPEO = "skopeo, one archive for each image";
const ROUNDS = 3;

/** P11: packs and imports a release of many images with small layers. */
export async function measureManyLayers(bench: Bench): Promise<Row[]> {
  const { rounds, bundled } = bench.options;
  const dataDir = bench.newPath("many-layers");
  const writer = new StoreWriter(dataDir);
  const names = Array.from({ length: bundled }, (_, at) => `app${at}`);
  const images = names.map((name) => {
    // Text of six bits a byte, so that only the compression of formats costs something.
    const layers = Array.from({ length: LAYERS }, () => randomBytes(LAYER_BYTES * 3 / 4).toString("base64"));
    return { name, image: writer.image(name, layers, [TAG]) };
  });
  const kubepkg = bench.newPath("many-layers.json");
  const listed = Object.fromEntries(names.map((name) => [`${HOST}/${name}:${TAG}`, ""]));
  await Deno.writeTextFile(kubepkg, JSON.stringify(makeKubePkg(listed)));
  const bundle = bench.newPath("many-layers.tgz");
  const folder = bench.newPath("imported");
  const pack = async () => {
    await removeAll(bundle);
    return await measurePrograms(() => packTo(bench, { dataDir, kubepkg }, bundle));
  };
  const bring = async () => {
    await removeAll(folder);
    return await measurePrograms(() => importTo(bench, bundle, folder));
  };
  const packed = await measureInTurns(Math.min(rounds, ROUNDS), [{ name: "crpe", measure: pack }]);
  const imported = await measureInTurns(Math.min(rounds, ROUNDS), [{ name: "crpe", measure: bring }]);
  const copied = bench.has("skopeo") ? await measureSkopeo(bench, writer, images) : undefined;
  await removeAll(dataDir, bundle, folder);
  const row = (work: string, crpe: readonly Series[], skopeo: readonly Series[]): Row => {
    const series = [...crpe, ...skopeo];
    return {
      id: "P11",
      work: `${work} of ${bundled} images with ${bundled * LAYERS} layers of ${LAYER_BYTES / 1024} KiB`,
      unit: "s",
      series,
      bars: (["median", "cpu"] as const).flatMap((figure) =>
        createRatioBars(series, { of: "crpe", to: SKOPEO, sense: "at most", limit: 0.5, figure })
      ),
      notes: copied === undefined ? [] : ["skopeo: one round, without syncing"],
    };
  };
  return [
    row("pack", packed, copied === undefined ? [] : [copied.out]),
    row("import", imported, copied === undefined ? [] : [copied.back]),
  ];
}

interface NamedImage {
  readonly name: string;
  readonly image: WrittenImage;
}

/** Copies all images from an OCI image layout to archives, and back to an empty layout. */
async function measureSkopeo(
  bench: Bench,
  { dataDir }: StoreWriter,
  images: readonly NamedImage[],
): Promise<{ out: Series; back: Series }> {
  await using tools = await ContainerTools.create();
  const [layout, archives, copy] = [bench.newPath("layout"), bench.newPath("archives"), bench.newPath("copy")];
  await writeLayout(layout, dataDir, images);
  await Deno.mkdir(archives);
  const run = (from: (name: string) => string, to: (name: string) => string) => async () => {
    for (const { name } of images) {
      const { code, stderr } = await tools.skopeo(["copy", "--all", from(name), to(name)]);
      if (code !== 0) throw new Error(`skopeo ended with ${code}: ${stderr}`);
    }
  };
  const archive = (name: string) => `oci-archive:${archives}/${name}.tar:${name}`;
  const measure = (contender: () => Promise<void>): Contender[] => [
    { name: SKOPEO, measure: () => measurePrograms(contender) },
  ];
  const [out] = await measureInTurns(1, measure(run((name) => `oci:${layout}:${name}`, archive)));
  const [back] = await measureInTurns(1, measure(run(archive, (name) => `oci:${copy}:${name}`)));
  await removeAll(layout, archives, copy);
  return { out: out!, back: back! };
}

// The blobs are hard links to those of the data folder.
async function writeLayout(folder: string, dataDir: string, images: readonly NamedImage[]): Promise<void> {
  const blobs = `${folder}/blobs/sha256`;
  await Deno.mkdir(blobs, { recursive: true });
  const digests = new Set(images.flatMap(({ image }) => image.digests));
  for (const digest of digests) await Deno.link(`${dataDir}/${blobPath(digest)}`, `${blobs}/${digest.slice(7)}`);
  const manifests = images.map(({ name, image: { manifest } }) => {
    return { ...manifest, annotations: { "org.opencontainers.image.ref.name": name } };
  });
  await Deno.writeTextFile(`${folder}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  await Deno.writeTextFile(`${folder}/index.json`, JSON.stringify({ schemaVersion: 2, manifests }));
}
