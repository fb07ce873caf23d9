import { startDistribution } from "../../tests/support/distribution.ts";
import type { Bench } from "./bench.ts";
import { findProgram, removeAll } from "./program.ts";
import { type Server, startServer } from "./server.ts";

/** A running registry of another project. */
export type PeerServer = Pick<Server, "url" | "pid"> & AsyncDisposable;

/** A registry of another project, which crpe is compared with. */
export interface PeerRegistry {
  readonly name: string;
  /** The path of its program. */
  readonly program: string;
  /** Starts it as a pull-through cache of the registry at `upstream`. */
  readonly startProxy: (upstream: string, dataDir: string) => Promise<PeerServer>;
  /** Starts it on a data folder with CNCF distribution's layout; absent when it does not have that layout. */
  readonly serve?: (dataDir: string) => Promise<PeerServer>;
}

/** The name of the release of CNCF distribution that is also the upstream of all others. */
export const DISTRIBUTION = "distribution 2.8";

const RELEASES = [[DISTRIBUTION, "docker-registry"], ["distribution 3.1", "distribution3"]] as const;

/** Returns the registries that are installed. The other ones are recorded as missing. */
export function findRegistries(bench: Bench): PeerRegistry[] {
  const found: PeerRegistry[] = [];
  for (const [name, file] of RELEASES) {
    const program = findRegistry(bench, file);
    if (program === undefined) continue;
    found.push({
      name,
      program,
      startProxy: (proxyRemote, dataDir) => startDistribution({ program, proxyRemote, dataDir }),
      serve: (dataDir) => startDistribution({ program, dataDir }),
    });
  }
  const nora = findRegistry(bench, "nora");
  if (nora === undefined) return found;
  return [...found, {
    name: "nora",
    program: nora,
    startProxy: (upstream, dataDir) => startNora(nora, upstream, dataDir),
  }];
}

/**
 * Starts a registry that has, or can get, the content of the benchmark's store. One with a layout of its own pulls it
 * from `upstream` when it is requested for the first time.
 */
export async function startWarm(
  bench: Bench,
  { serve, startProxy }: PeerRegistry,
  upstream: string | undefined,
): Promise<PeerServer | undefined> {
  if (serve !== undefined) return await serve(bench.content.dataDir);
  return upstream === undefined ? undefined : await startProxy(upstream, bench.newPath("proxy"));
}

/** Starts a registry of another project and waits for its first answer, as `startServer` does. */
export async function startTimed(start: () => Promise<PeerServer>): Promise<Server> {
  const started = performance.now();
  const server = await start();
  await (await fetch(`${server.url}/v2/`)).text();
  return { ...server, startTime: performance.now() - started };
}

// The folder that scripts/peers/registries has printed, then the PATH.
function findRegistry(bench: Bench, file: string): string | undefined {
  const built = bench.options.peers === undefined ? undefined : `${bench.options.peers}/${file}`;
  const path = built !== undefined && isFile(built) ? built : findProgram(file);
  if (path === undefined) bench.missing.add(file);
  return path;
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

async function startNora(program: string, upstream: string, dataDir: string): Promise<PeerServer> {
  await Deno.mkdir(dataDir, { recursive: true });
  const settings = (port: number) => [
    "NORA_HOST=127.0.0.1",
    `NORA_PORT=${port}`,
    `NORA_PUBLIC_URL=http://127.0.0.1:${port}`,
    "NORA_STORAGE_MODE=local",
    `NORA_STORAGE_PATH=${dataDir}`,
    "NORA_AUTH_ENABLED=false",
    "NORA_RATE_LIMIT_ENABLED=false",
    "NORA_REGISTRIES_ENABLE=docker",
    `NORA_DOCKER_UPSTREAMS=${upstream}`,
  ];
  // It keeps files of its own in the current folder.
  const server = await startServer((port) => ["env", "-C", dataDir, ...settings(port), program, "serve"]);
  return {
    ...server,
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      await removeAll(dataDir);
    },
  };
}
