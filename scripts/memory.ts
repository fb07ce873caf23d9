/**
 * Sends a large layer through registry (cold, then warm), pack, import and verify, and prints the peak resident memory of
 * each crpe. Exits with status 1 if one of them exceeds the limit.
 *
 *   deno run -A scripts/memory.ts [--size=2GiB] [--limit=200MiB] [--json]
 *
 * $CRPE names an executable to measure instead of the sources.
 */
import { parseSize } from "../lib/cli/console/quantity.ts";
import { createRegistryHandler } from "../lib/registry/handler.ts";
import { type CrpeProcess, spawnCrpe } from "../tests/support/crpe_process.ts";
import { buildImage } from "../tests/support/images.ts";
import { makeKubePkg } from "../tests/support/kubepkg.ts";
import { makeLargeLayer } from "../tests/support/large_blob.ts";
import { MemoryStore } from "../tests/support/memory_store.ts";
import { writeImage } from "../tests/support/put_image.ts";
import { download } from "./bench/download.ts";
import { watchMemory } from "./bench/process_stat.ts";

function option(name: string, fallback: string): number {
  const given = Deno.args.find((argument) => argument.startsWith(`--${name}=`));
  return parseSize(given?.slice(name.length + 3) ?? fallback, `--${name}`);
}

const CLIENTS = 4;
const size = option("size", "2GiB");
const limit = option("limit", "200MiB");
const root = await Deno.makeTempDir({ prefix: "crpe-memory-" });
const rows: { work: string; peak: number; seconds: number }[] = [];

async function measure(work: string, crpe: Pick<CrpeProcess, "pid">, run: () => Promise<void>): Promise<void> {
  const memory = watchMemory(crpe.pid);
  const started = performance.now();
  await run();
  const seconds = (performance.now() - started) / 1000;
  rows.push({ work, peak: memory.stop(), seconds });
}

try {
  const image = buildImage({ largeLayer: makeLargeLayer(size) });
  const [layer] = image.largeBlobs.values();
  const store = new MemoryStore();
  await writeImage(store, "registry.test/large:1", { ...image, largeBlobs: new Map() });
  const handler = createRegistryHandler(store);
  await using upstream = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    if (!request.url.includes(layer!.digest)) return handler(request);
    return new Response(request.method === "HEAD" ? null : layer!.open(), {
      headers: { "content-length": String(layer!.size), "content-type": "application/octet-stream" },
    });
  });
  const upstreamFlag = `--upstream=registry.test=http://127.0.0.1:${upstream.addr.port}`;
  const env = { HOME: root };
  {
    await using crpe = spawnCrpe(["registry", "--addr=127.0.0.1:0", `--data=${root}/office`, upstreamFlag], { env });
    const blob = `${await crpe.listening}/v2/registry.test/large/blobs/${layer!.digest}`;
    await measure(`registry, cold, ${CLIENTS} clients`, crpe, async () => {
      await download(blob, layer!.size, CLIENTS);
    });
    await measure(`registry, warm, ${CLIENTS} clients`, crpe, async () => {
      await download(blob, layer!.size, CLIENTS);
    });
  }
  await Deno.writeTextFile(`${root}/large.json`, JSON.stringify(makeKubePkg({ "registry.test/large:1": "" })));
  const commands: [string, string[]][] = [
    ["pack", ["pack", `${root}/large.json`, "-o", `${root}/large.tgz`, `--data=${root}/office`, upstreamFlag]],
    ["import", ["import", `${root}/large.tgz`, `--data=${root}/site`]],
    ["verify", ["verify", `${root}/large.tgz`]],
  ];
  for (const [work, args] of commands) {
    await using crpe = spawnCrpe(args, { env });
    await measure(work, crpe, async () => {
      const { code, stderr } = await crpe.finished;
      if (code !== 0) throw new Error(`crpe ${work} ended with ${code}: ${stderr}`);
    });
  }
} finally {
  await Deno.remove(root, { recursive: true });
}

const mib = (bytes: number) => Math.round(bytes / 2 ** 20);
if (Deno.args.includes("--json")) console.log(JSON.stringify({ size, limit, rows }));
else {
  console.log(`a layer of ${mib(size)} MiB; limit ${mib(limit)} MiB`);
  for (const { work, peak, seconds } of rows) {
    console.log(`${work.padEnd(28)} ${String(mib(peak)).padStart(5)} MiB resident  ${seconds.toFixed(1)} s`);
  }
}
if (rows.some(({ peak }) => peak === 0 || peak > limit)) Deno.exit(1);
