import { computeDigest } from "../../lib/oci/digest.ts";
import { makeBytes } from "../../tests/support/content.ts";
import { runCrpe, spawnCrpe } from "../../tests/support/crpe_process.ts";
import { buildImage, type BuiltImage } from "../../tests/support/images.ts";
import { makeKubePkg } from "../../tests/support/kubepkg.ts";
import { MemoryStore } from "../../tests/support/memory_store.ts";
import { createPackFixture } from "../../tests/support/pack_fixture.ts";
import { writeImage } from "../../tests/support/put_image.ts";
import type { Random } from "../../tests/support/random.ts";
import { type DyingUpstream, startDyingUpstream } from "./dying_upstream.ts";
import type { SoakSample } from "./judge_growth.ts";

/** The repository of the images that clients pull. */
export const REPO = "registry.test/app";
const IMAGES = 24;
const LAYER_BYTES = 1024 * 1024;
/** Two thirds of the images do not fit. */
const CACHE_MAX = "12MiB";
// Locks and the order of use are no partial files.
const PARTIAL = /\.(?:partial|pieces|pieces\.json|tmp)$/;
/** The packages, each in two releases. */
export const PACKAGES = ["imported", "pushed"] as const;

/** An agent with an upstream, and bundles for it. */
export interface SoakFixture extends AsyncDisposable {
  readonly url: string;
  readonly upstream: DyingUpstream;
  readonly images: readonly BuiltImage[];
  readonly processOptions: { readonly env: Record<string, string>; readonly cwd: string };
  readonly data: string;
  readonly log: () => string;
  /** Runs crpe to its end, or kills it after `killAfter` milliseconds. */
  run(args: readonly string[], killAfter?: number): Promise<{ code: number; stderr: string }>;
  sample(): SoakSample;
}

/** Packs the bundles and starts the agent. */
export async function createSoakFixture(random: Random): Promise<SoakFixture> {
  const images = Array.from({ length: IMAGES }, (_, i) => {
    const layers = [0, 1].map((j) => ({ [`${i}-${j}.bin`]: makeBytes(LAYER_BYTES / 2, 100 * i + j) }));
    return buildImage({ files: layers, layerCompression: "none" });
  });
  const store = new MemoryStore();
  for (const [i, image] of images.entries()) await writeImage(store, `${REPO}:${i}`, image);
  const pack = await createPackFixture({});
  const { folder, processOptions } = pack;
  for (const [p, name] of PACKAGES.entries()) {
    for (const version of [1, 2]) {
      const bytes = makeBytes(2 * LAYER_BYTES, 10_000 + 10 * p + version);
      const image = buildImage({ files: { "app.bin": bytes }, layerCompression: "none" });
      await writeImage(pack.store, `site.test/${name}:${version}`, image);
      const kubepkg = makeKubePkg({ [`site.test/${name}:${version}`]: "" }, { name, version: `${version}.0.0` });
      const { code, stderr } = await pack.pack(kubepkg, `${name}-${version}`);
      if (code !== 0) throw new Error(stderr);
    }
  }
  const upstream = startDyingUpstream(store, random);
  const agent = spawnCrpe([
    ...["agent", "--addr=127.0.0.1:0", "--data=site", "--manifests-dir=manifests", "--tag-ttl=1s", "--quiet"],
    ...[`--upstream=registry.test=${upstream.url}`, `--cache-max=${CACHE_MAX}`],
  ], processOptions);
  const url = await agent.listening;
  const data = `${folder.path}/site`;
  return {
    ...{ url, upstream, images, processOptions, data, log: agent.log },
    async run(args, killAfter) {
      if (killAfter === undefined) return await runCrpe(args, processOptions);
      const child = spawnCrpe(args, processOptions);
      child.listening.catch(() => {});
      const timer = setTimeout(() => child.kill("SIGKILL"), killAfter);
      const result = await child.finished;
      clearTimeout(timer);
      return result;
    },
    sample: () => takeSample(agent.pid, data),
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
      await pack[Symbol.asyncDispose]();
    },
  };
}

function takeSample(pid: number, data: string): SoakSample {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  const names = [...Deno.readDirSync(`${data}/ingest`)].map(({ name }) => name);
  return {
    memory: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024,
    openFiles: [...Deno.readDirSync(`/proc/${pid}/fd`)].length,
    partialFiles: names.filter((name) => PARTIAL.test(name)).length,
  };
}

/** Pulls an image as a client does. @throws {Error} when the bytes are wrong; an error of the upstream is no fault */
export async function pullImage(
  { url, images }: SoakFixture,
  index: number,
  signal?: AbortSignal,
): Promise<"pulled" | "unavailable" | "aborted"> {
  const paths = [`manifests/${index}`, ...[...images[index]!.blobs.keys()].map((digest) => `blobs/${digest}`)];
  for (const path of paths) {
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      const response = await fetch(`${url}/v2/${REPO}/${path}`, { signal: signal ?? null });
      if (!response.ok) {
        await response.body?.cancel();
        if (response.status < 500 && response.status !== 404 && response.status !== 429) {
          throw new WrongAnswerError(`GET ${path} is answered with ${response.status}`);
        }
        return "unavailable";
      }
      bytes = new Uint8Array(await response.arrayBuffer());
    } catch (error) {
      if (error instanceof WrongAnswerError) throw error;
      // The connection broke off, which tells the client that the blob is not whole.
      return signal?.aborted ? "aborted" : "unavailable";
    }
    const expected = path.startsWith("manifests/") ? images[index]!.root.digest : path.slice("blobs/".length);
    if (computeDigest(bytes) !== expected) throw new WrongAnswerError(`GET ${path} gives other bytes`);
  }
  return "pulled";
}

/** A server that is not ill gives no such answer. */
export class WrongAnswerError extends Error {
  override readonly name = "WrongAnswerError";
}
