import { freePorts, openS3Client, writeWeedLogin } from "./object_storage.ts";
import { findPeer } from "./peers.ts";

/** The processes of a cluster. */
export const WEED_PROCESSES = ["master", "volume-1", "volume-2", "filer", "s3"] as const;
type WeedProcess = typeof WEED_PROCESSES[number];

/** A SeaweedFS of several processes, each of which can be killed and started again with the same data. */
export interface WeedCluster extends AsyncDisposable {
  /** The S3 API: `http://127.0.0.1:40123` */
  readonly url: string;
  /** Kills a process, and waits for its end. */
  kill(process: WeedProcess): Promise<void>;
  /** Starts a process that was killed. It needs some seconds until it works. */
  restart(process: WeedProcess): void;
  /** Waits until objects can be written and read. */
  isReady(): Promise<void>;
}

/** Starts a cluster: a master, two volume servers, a filer and the S3 API. */
export async function startWeedCluster(): Promise<WeedCluster> {
  const folder = await Deno.makeTempDir({ prefix: "crpe-weed-cluster-" });
  const ports = freePorts(2 * WEED_PROCESSES.length);
  const portOf = (process: WeedProcess) => ports[2 * WEED_PROCESSES.indexOf(process)]!;
  const grpcPortOf = (process: WeedProcess) => ports[2 * WEED_PROCESSES.indexOf(process) + 1]!;
  // The notation of SeaweedFS for both ports of a process.
  const addressOf = (process: WeedProcess) => `127.0.0.1:${portOf(process)}.${grpcPortOf(process)}`;
  await writeWeedLogin(`${folder}/s3.json`);
  for (const process of WEED_PROCESSES) await Deno.mkdir(`${folder}/${process}`);

  const master = `-master=${addressOf("master")}`;
  const own: Readonly<Record<WeedProcess, readonly string[]>> = {
    master: ["master", `-mdir=${folder}/master`, "-volumeSizeLimitMB=64", "-electionTimeout=1s"],
    "volume-1": ["volume", master, `-dir=${folder}/volume-1`, "-max=20"],
    "volume-2": ["volume", master, `-dir=${folder}/volume-2`, "-max=20"],
    filer: ["filer", master, `-defaultStoreDir=${folder}/filer`],
    s3: [
      ...["s3", `-filer=${addressOf("filer")}`, `-config=${folder}/s3.json`, "-port.iceberg=0"],
      "-autoCreateBucket",
    ],
  };
  const running = new Map<WeedProcess, Deno.ChildProcess>();
  const start = (process: WeedProcess) => {
    const addresses = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1"];
    addresses.push(`-port=${portOf(process)}`, `-port.grpc=${grpcPortOf(process)}`);
    const child = new Deno.Command("sh", {
      args: ["-c", 'exec "$0" "$@" >>"$LOG" 2>&1', findPeer("weed")!, ...own[process], ...addresses],
      ...{ stdin: "null", stdout: "null", stderr: "null", clearEnv: true, cwd: folder },
      env: { PATH: Deno.env.get("PATH") ?? "", HOME: folder, LOG: `${folder}/${process}.log` },
    }).spawn();
    running.set(process, child);
  };
  const kill = async (process: WeedProcess) => {
    const child = running.get(process);
    running.delete(process);
    if (child === undefined) return;
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await child.status;
  };
  const url = `http://127.0.0.1:${portOf("s3")}`;
  const isReady = async () => {
    const client = openS3Client({ url }, "ready/");
    for (;;) {
      const key = crypto.randomUUID();
      const isWritten = await client.write(key, new Uint8Array(1)).then(() => true, () => false);
      if (isWritten && await client.read(key).then((it) => it !== undefined, () => false)) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  WEED_PROCESSES.forEach(start);
  await isReady();
  return {
    url,
    kill,
    restart: start,
    isReady,
    async [Symbol.asyncDispose]() {
      await Promise.all(WEED_PROCESSES.map(kill));
      await Deno.remove(folder, { recursive: true });
    },
  };
}
