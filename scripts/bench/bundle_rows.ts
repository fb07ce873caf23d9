import { ContainerTools } from "../../tests/support/container_tools.ts";
import type { Bench } from "./bench.ts";
import { TAG } from "./content.ts";
import { measurePrograms } from "./measure.ts";
import { importTo, packTo } from "./pack_import.ts";
import { removeAll, runShell } from "./program.ts";
import { createRatioBars, type Row } from "./row.ts";
import { type Contender, measureInTurns } from "./samples.ts";

const MIB = 2 ** 20;
// gzip takes 20 seconds, and the same in every round.
const GZIP_ROUNDS = 1;
const GUNZIP_ROUNDS = 2;
const R = "R: dd conv=fsync, then openssl dgst";
const SKOPEO = "skopeo to an oci-archive, then gzip -1";

/** P5: packs a release with all its blobs into one file. */
export async function measurePack(bench: Bench): Promise<Row[]> {
  const { content: { large: { layer }, ociLayout }, options: { rounds } } = bench;
  await using tools = await ContainerTools.create();
  const out = bench.newPath("packed");
  const run = (work: () => Promise<void>) => async () => {
    try {
      return await measurePrograms(work);
    } finally {
      await removeAll(out, `${out}.gz`);
    }
  };
  const contenders: Contender[] = [
    { name: "crpe pack", measure: run(() => packTo(bench, bench.content, out)) },
    ...limit(bench),
  ];
  if (bench.has("skopeo", "gzip")) {
    const work = async () => {
      const { code, stderr } = await tools.skopeo(["copy", `oci:${ociLayout}:${TAG}`, `oci-archive:${out}:${TAG}`]);
      if (code !== 0) throw new Error(`skopeo ended with ${code}: ${stderr}`);
      await runShell('gzip -1 "$1"; sync "$1.gz"', out);
    };
    contenders.push({ name: SKOPEO, measure: run(work), maxRounds: GZIP_ROUNDS });
  }
  if (bench.has("tar", "gzip")) {
    const work = () => runShell('tar -C "$1" -c . | gzip -1 > "$2"; sync "$2"', ociLayout, out);
    contenders.push({ name: "GNU tar, then gzip -1", measure: run(work), maxRounds: GZIP_ROUNDS });
  }
  contenders.push({ name: "cp", measure: run(() => runShell('cp "$1" "$2"; sync "$2"', layer.file, out)) });
  const series = await measureInTurns(rounds, contenders);
  return [{
    id: "P5",
    work: `pack from the store, ${Math.round(layer.size / MIB)} MiB, synced`,
    unit: "s",
    series,
    bars: [
      ...createRatioBars(series, { of: "crpe pack", to: R, sense: "at most", limit: 1.25 }),
      ...createRatioBars(series, { of: "crpe pack", to: SKOPEO, sense: "at least", limit: 8, isInverse: true }),
    ],
    notes: ["gzip: one round"],
  }];
}

/** P6: imports a bundle into an empty store. */
export async function measureImport(bench: Bench): Promise<Row[]> {
  const { content: { large: { layer } }, options: { rounds } } = bench;
  const bundle = bench.newPath("bundle");
  await packTo(bench, bench.content, bundle);
  const run = (work: (folder: string) => Promise<void>) => async () => {
    const folder = bench.newPath("imported");
    try {
      return await measurePrograms(() => work(folder));
    } finally {
      await removeAll(folder);
    }
  };
  const contenders: Contender[] = [
    { name: "crpe import", measure: run((folder) => importTo(bench, bundle, folder)) },
    ...limit(bench),
  ];
  if (bench.has("tar", "gzip", "sha256sum")) {
    const line = 'mkdir "$2"; tar -C "$2" -xzf "$1"; sync "$2"/blobs/sha256/*; sha256sum "$2"/blobs/sha256/*';
    contenders.push({
      name: "GNU tar -xz, sync, then sha256sum",
      measure: run((to) => runShell(line, bundle, to)),
      maxRounds: GUNZIP_ROUNDS,
    });
  }
  const series = await measureInTurns(rounds, contenders);
  await removeAll(bundle);
  return [{
    id: "P6",
    work: `import into an empty store, ${Math.round(layer.size / MIB)} MiB, synced`,
    unit: "s",
    series,
    bars: createRatioBars(series, { of: "crpe import", to: R, sense: "at most", limit: 1.5 }),
    notes: [],
  }];
}

/** The reference R: writes the same bytes to the disk and hashes them with standard tools. */
function limit(bench: Bench): Contender[] {
  if (!bench.has("dd", "openssl")) return [];
  const out = bench.newPath("copy");
  const line = 'dd if="$1" of="$2" bs=1M conv=fsync; openssl dgst -sha256 "$2"';
  const measure = async () => {
    try {
      return await measurePrograms(() => runShell(line, bench.content.large.layer.file, out));
    } finally {
      await removeAll(out);
    }
  };
  return [{ name: R, measure }];
}
