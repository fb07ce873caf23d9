import { StalePartialError } from "../../lib/install/write_bundle_blob.ts";
import { createRegistryHandler } from "../../lib/registry/handler.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { checkStore } from "../fuzz/check_store.ts";
import { findLossStates, type LossState, writeState } from "../power_loss/loss_states.ts";
import { parseTrace, straceWords, type SystemCall } from "../power_loss/parse_trace.ts";
import { assertEquals, assertGreater } from "../support/assert.ts";
import { copyFolder } from "../support/copy_folder.ts";
import { checkState, differences, listContent } from "../support/crash_state.ts";
import { packBundles } from "../support/crash_bundles.ts";
import { imagesOfBundle } from "../support/crash_images.ts";
import { type CrashWork, doWork, PACKAGE, PULLED } from "../support/crash_work.ts";
import { runCrpe, spawnCrpe } from "../support/crpe_process.ts";
import { MemoryStore } from "../support/memory_store.ts";
import { findPeer, peerTest } from "../support/peers.ts";
import { pullTags } from "../support/pull_tags.ts";
import { writeImage } from "../support/put_image.ts";
import { MEMORY_FOLDER, TestFolder } from "../support/test_folder.ts";

// The states of a disk are found from the system calls of the real program, so that what is not synced is lost, which a
// kill of the process cannot show.

const SEED = 1;
// Every so many states, the work is done again, in the folder that the records name. All are checked in memory.
const REPEATED = 31;
const IMAGE = imagesOfBundle(1)["registry.test/team/app:1.0"]!;

interface PowerLossWork {
  readonly what: string;
  /** The work that has the same states, and completes this one when it is repeated. */
  readonly like: CrashWork;
  /** What is done before, in the same folder. */
  readonly before: readonly CrashWork[];
  /** Runs crpe; `within` are the words before its own. */
  readonly run: (paths: Paths, within: readonly string[]) => Promise<void>;
  /** Finds the call by which success is reported; missing if nothing is promised. */
  readonly isReport?: (call: SystemCall) => boolean;
}

interface Paths {
  /** The folder that a power loss affects. */
  readonly root: string;
  readonly bundles: string;
}

const decoder = new TextDecoder();
const textOf = ({ strings }: SystemCall) => strings.map((bytes) => decoder.decode(bytes)).join("");
// Results are written to standard output, which only `write` to descriptor 1 does.
const isResult = (call: SystemCall) => call.name === "write" && call.args[0] === "1" && textOf(call).length > 1;

async function runToEnd(within: readonly string[], { root }: Paths, ...args: string[]): Promise<void> {
  const { code, stderr } = await runCrpe([...args, `--data=${root}/data`, "--json"], { env: { HOME: root }, within });
  assertEquals(code, 0, stderr);
}

function startUpstream(store: MemoryStore): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, createRegistryHandler(store));
}

/** Starts a server under strace, uses it, and ends it. */
async function withServer(
  args: readonly string[],
  { root, within }: { readonly root: string; readonly within: readonly string[] },
  use: (url: string) => Promise<void>,
): Promise<void> {
  const words = [...args, "--addr=127.0.0.1:0", `--data=${root}/data`];
  const { pid, listening, finished } = spawnCrpe(words, { env: { HOME: root }, within });
  try {
    await use(await listening);
  } finally {
    // strace does not pass signals on.
    const [child = ""] = (await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`)).trim().split(" ");
    Deno.kill(Number(child), "SIGTERM");
  }
  const { code, stderr } = await finished;
  assertEquals(code, 0, stderr);
}

const upstreamOf = async () => {
  const store = new MemoryStore();
  await writeImage(store, `${PULLED.repo}:${PULLED.tag}`, IMAGE);
  return startUpstream(store);
};

const WORKS: readonly PowerLossWork[] = [
  {
    what: "import",
    like: "import",
    before: [],
    run: (paths, within) => {
      const { root, bundles } = paths;
      return runToEnd(within, paths, "import", `${bundles}/1.tgz`, `--manifests-dir=${root}/manifests`);
    },
    isReport: isResult,
  },
  {
    what: "pull",
    like: "pull",
    before: [],
    run: async (paths, within) => {
      await using upstream = await upstreamOf();
      const url = `http://127.0.0.1:${upstream.addr.port}`;
      await runToEnd(within, paths, "pull", `${PULLED.repo}:${PULLED.tag}`, `--upstream=registry.test=${url}`);
    },
    isReport: isResult,
  },
  {
    what: "a cold pull by a client",
    like: "pull",
    before: [],
    run: async ({ root }, within) => {
      await using upstream = await upstreamOf();
      const flag = `--upstream=registry.test=http://127.0.0.1:${upstream.addr.port}`;
      await withServer(["registry", flag], { root, within }, async (url) => {
        const digests = IMAGE.manifests.map(({ descriptor: { digest } }) => `manifests/${digest}`);
        const blobs = [...IMAGE.blobs.keys()].map((digest) => `blobs/${digest}`);
        for (const path of [`manifests/${PULLED.tag}`, ...digests, ...blobs]) {
          const response = await fetch(`${url}/v2/${PULLED.repo}/${path}`);
          assertEquals(response.status, 200);
          await response.arrayBuffer();
        }
      });
    },
  },
  {
    what: "push",
    like: "import",
    before: [],
    run: async ({ root, bundles }, within) => {
      await withServer(["agent", `--manifests-dir=${root}/manifests`], { root, within }, async (url) => {
        const token = `--token-file=${root}/data/kubepkg/.token`;
        const { code, stderr } = await runCrpe(["push", `${bundles}/1.tgz`, `--to=${url}`, token], {
          env: { HOME: bundles },
        });
        assertEquals(code, 0, stderr);
      });
    },
    isReport: (call) => call.name !== "pwrite64" && textOf(call).includes(`"imported":true`),
  },
  {
    what: "rollback",
    like: "rollback",
    before: ["import", "upgrade"],
    run: (paths, within) => runToEnd(within, paths, "packages", "rollback", PACKAGE, "--to=1.0.0"),
    isReport: isResult,
  },
];

for (const { what, like, before, run, isReport } of WORKS) {
  peerTest(`[25] ${what} is right after a power loss at any of its system calls`, ["strace"], async () => {
    await using temporary = await TestFolder.create();
    await using memory = await TestFolder.create(MEMORY_FOLDER);
    const top = await Deno.realPath(temporary.path);
    const paths: Paths = { root: `${top}/root`, bundles: `${top}/bundles` };
    await Deno.mkdir(`${paths.root}/manifests`, { recursive: true });
    await Deno.mkdir(paths.bundles);
    await packBundles(paths.bundles);
    for (const work of before) await doWork(work, paths);
    await copyFolder(paths.root, `${top}/before`);
    await run(paths, straceWords(findPeer("strace")!, `${top}/trace`));
    const outcome = await listContent(paths.root);
    const calls = parseTrace(await Deno.readTextFile(`${top}/trace`));
    const states = findLossStates(calls, {
      before: `${top}/before`,
      folder: paths.root,
      seed: SEED,
      isReport: isReport ?? (() => false),
    });
    // Enough states for the test to mean something: the work has many steps, and success was seen to be reported.
    assertGreater(states.length, 20);
    assertEquals(
      states.some(({ isReported }) => isReported),
      isReport !== undefined,
    );
    for (const [i, state] of states.entries()) {
      try {
        await writeState(memory.path, state);
        await checkAfterLoss(state, { like, paths, folder: memory.path, outcome });
        if (i % REPEATED > 0) continue;
        await writeState(paths.root, state);
        await repeat(like, paths);
        await checkState(like, paths.root);
        // An import does not make the token of an agent.
        const left = missing(await listContent(paths.root), outcome).filter((line) => !line.endsWith("/.token"));
        assertEquals(left, []);
      } catch (error) {
        throw new Error(`${state.what} (state ${i}, seed ${SEED}): ${(error as Error).message}`, { cause: error });
      }
    }
    console.log(`${what}: ${states.length} states of ${calls.length} calls`);
  });
}

// The bytes of a partial file may be lost while its size is kept. The next run finds that out, removes the file, and asks
// for another run.
async function repeat(like: CrashWork, paths: Paths): Promise<void> {
  try {
    await doWork(like, paths);
  } catch (error) {
    if (!(error instanceof StalePartialError)) throw error;
    await doWork(like, paths);
  }
}

/** Checks that nothing half done is visible, and that what was reported as done is there. */
async function checkAfterLoss(
  { isReported }: LossState,
  { like, paths, folder, outcome }: {
    readonly like: CrashWork;
    readonly paths: Paths;
    readonly folder: string;
    readonly outcome: Readonly<Record<string, string>>;
  },
): Promise<void> {
  await checkState(like, folder);
  const isWhole = like !== "pull";
  // A cache has manifests before their blobs.
  if (isWhole) {
    checkStore(`${folder}/data`, (message) => {
      throw new Error(message);
    });
  }
  await pullTags(new DiskStore(`${folder}/data`), { isWhole: isWhole || isReported });
  if (isReported) assertEquals(missing(await listContent(folder, paths.root), outcome), []);
}

// Files that a removal left behind are not visible.
function missing(now: Readonly<Record<string, string>>, outcome: Readonly<Record<string, string>>): string[] {
  return differences(now, outcome).filter((line) => !line.startsWith("unexpected: "));
}
