/**
 * Holds idle and dripping connections open on a registry while skopeo pulls an image from it, and compares the time with
 * that of the same pull without them.
 *
 *   deno run -A scripts/hostile_connections.ts [--idle=2000] [--dripping=200] [--rounds=5] [--size=64MiB]
 *
 * $CRPE names an executable; without it the sources run. All connections go to 127.0.0.1.
 */
import { DiskStore } from "../lib/store/disk_store.ts";
import { parseSize } from "../lib/cli/console/quantity.ts";
import { ContainerTools } from "../tests/support/container_tools.ts";
import { startCrpe } from "../tests/support/crpe_process.ts";
import { openHostileConnections } from "../tests/support/hostile_connections.ts";
import { buildImage } from "../tests/support/images.ts";
import { makeLargeLayer } from "../tests/support/large_blob.ts";
import { writeImage } from "../tests/support/put_image.ts";
import { TestFolder } from "../tests/support/test_folder.ts";

function option(name: string, fallback: string): string {
  return Deno.args.find((argument) => argument.startsWith(`--${name}=`))?.slice(name.length + 3) ?? fallback;
}

function count(name: string, fallback: number): number {
  const value = Number(option(name, String(fallback)));
  if (!Number.isInteger(value) || value < 0) throw new Error(`Cannot use --${name}: write a whole number`);
  return value;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

const [idle, dripping, rounds] = [count("idle", 2000), count("dripping", 200), count("rounds", 5)];
await using folder = await TestFolder.create();
const store = new DiskStore(`${folder.path}/data`);
const image = buildImage({ largeLayer: makeLargeLayer(parseSize(option("size", "64MiB"), "--size")) });
await writeImage(store, "registry.test/team/app:1.0", image);
await using tools = await ContainerTools.create();
await using crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", "--offline", `--data=${folder.path}/data`]);
const port = Number(new URL(crpe.url).port);

let pulls = 0;
async function pull(): Promise<number> {
  const target = `${folder.path}/pulled-${pulls++}`;
  const started = performance.now();
  const { code, stderr } = await tools.skopeo([
    ...["copy", `docker://127.0.0.1:${port}/registry.test/team/app:1.0`, `dir:${target}`],
  ]);
  if (code !== 0) throw new Error(`Cannot pull: ${stderr}`);
  const time = (performance.now() - started) / 1000;
  await Deno.remove(target, { recursive: true });
  return time;
}

await pull();
const [alone, loaded]: [number[], number[]] = [[], []];
let open = 0;
for (let round = 0; round < rounds; round++) {
  alone.push(await pull());
  await using hostile = await openHostileConnections({ port, idle, dripping });
  loaded.push(await pull());
  open = hostile.open;
}
const ratio = median(loaded) / median(alone);
console.log(
  `a pull alone ${median(alone).toFixed(3)} s, with ${open} open connections ${median(loaded).toFixed(3)} s`,
);
console.log(`ratio ${ratio.toFixed(2)}, required ≤ 1.5: ${ratio <= 1.5 ? "met" : "MISSED"}`);
