import { freePorts, startVersitygw } from "../../tests/support/object_storage.ts";
import { startWeedCluster, WEED_PROCESSES } from "../../tests/support/weed_cluster.ts";

/** An object storage whose processes are killed, and started again with what they have stored. */
export interface KilledEngine extends AsyncDisposable {
  readonly url: string;
  /** The processes that may be killed. */
  readonly processes: readonly string[];
  kill(process: string): Promise<void>;
  restart(process: string): Promise<void>;
  /** Waits until it works. */
  isReady(): Promise<void>;
}

/** Starts SeaweedFS as a cluster, or versitygw. */
export async function startEngine(name: "weed" | "versitygw"): Promise<KilledEngine> {
  if (name === "versitygw") return await startKilledVersitygw();
  const cluster = await startWeedCluster();
  return {
    url: cluster.url,
    // Not the master: its election takes half a minute, in which nothing can be written.
    processes: WEED_PROCESSES.filter((process) => process !== "master"),
    kill: (process) => cluster.kill(process as typeof WEED_PROCESSES[number]),
    restart: (process) => Promise.resolve(cluster.restart(process as typeof WEED_PROCESSES[number])),
    isReady: () => cluster.isReady(),
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}

async function startKilledVersitygw(): Promise<KilledEngine> {
  const folder = await Deno.makeTempDir({ prefix: "crpe-killed-versitygw-" });
  const [port = 0] = freePorts(1);
  let running = await startVersitygw({ folder, port });
  return {
    url: running.url,
    processes: ["versitygw"],
    kill: () => Promise.resolve(running.kill()),
    async restart() {
      running = await startVersitygw({ folder, port });
    },
    isReady: () => Promise.resolve(),
    async [Symbol.asyncDispose]() {
      running.kill();
      await Deno.remove(folder, { recursive: true });
    },
  };
}
