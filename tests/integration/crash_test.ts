import type { Digest } from "../../lib/oci/digest.ts";
import { listBlobs } from "../../lib/store/store_scan.ts";
import { assert, assertEquals, assertGreater } from "../support/assert.ts";
import { copyFolder } from "../support/copy_folder.ts";
import { checkState, differences, listContent } from "../support/crash_state.ts";
import { packBundles } from "../support/crash_bundles.ts";
import { imagesOfBundle } from "../support/crash_images.ts";
import { type CrashFolders, type CrashWork, doWork, PACKAGE, takeFolderSoon } from "../support/crash_work.ts";
import { MEMORY_FOLDER, TestFolder } from "../support/test_folder.ts";
import { type FileOperation, findUndurable } from "../support/watched_files.ts";

const CHILD = new URL("../support/crash_child.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;
const WORKS: readonly CrashWork[] = ["pull", "import", "upgrade", "parts", "rollback", "remove"];
/** The releases that are installed before a work begins. */
const INSTALLED: Readonly<Partial<Record<CrashWork, readonly ("import" | "upgrade")[]>>> = {
  upgrade: ["import"],
  rollback: ["import", "upgrade"],
  remove: ["import", "upgrade"],
};
// How many processes are started, killed and checked at the same time.
const LANES = 3;
// Whether a work is killed at every change: 582 kills instead of 207.
const isEveryKill = Deno.env.get("CRPE_EVERY_KILL") !== undefined;
/** When the process kills itself. */
interface Kill {
  /** The number of the change, counted from 1; 0 for none. */
  readonly killAt: number;
  /** Before the change, or when half of the bytes of a write are written. */
  readonly mode: "before" | "half";
}

/** The recorded undisturbed run of a work, and how to start another one. */
interface CrashScenario {
  readonly work: CrashWork;
  readonly operations: readonly FileOperation[];
  /** The files at the end of the run: path → digest. */
  readonly outcome: Readonly<Record<string, string>>;
  readonly bundles: string;
  /** Creates the folder in which the work starts. */
  createFolder(): Promise<TestFolder>;
}

async function prepare(work: CrashWork, bundles: string): Promise<CrashScenario> {
  await packBundles(bundles);
  const createFolder = async () => {
    const folder = await TestFolder.create(MEMORY_FOLDER);
    await Deno.mkdir(`${folder.path}/manifests`);
    if (INSTALLED[work] !== undefined) {
      await copyFolder(`${bundles}/installed`, folder.path);
      const [from, to] = [await Deno.realPath(`${bundles}/installed`), await Deno.realPath(folder.path)];
      const record = `${to}/data/kubepkg/${PACKAGE}/handover.json`;
      const text = (await Deno.readTextFile(record)).replaceAll(from, to);
      await Deno.writeTextFile(record, text.replace(/^\{"checksum":"[^"]*",/, "{"));
    }
    return folder;
  };
  await Deno.mkdir(`${bundles}/installed/manifests`, { recursive: true });
  for (const before of INSTALLED[work] ?? []) {
    await doWork(before, { root: `${bundles}/installed`, bundles });
  }
  await using folder = await createFolder();
  const { success, stdout } = await runChild(work, { root: folder.path, bundles }, { killAt: 0, mode: "before" });
  assert(success);
  const operations = JSON.parse(new TextDecoder().decode(stdout), (key, value) => {
    return key === "ended" && value === null ? NaN : value;
  });
  return { work, operations, outcome: await listContent(folder.path), bundles, createFolder };
}

function runChild(work: CrashWork, { root, bundles }: CrashFolders, { killAt, mode }: Kill) {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `--config=${CONFIG}`, CHILD, work, root, bundles, String(killAt), mode],
    stderr: "inherit",
  }).output();
}

/** Lists the committed blobs: digest → inode and size. */
async function listInodes(data: string): Promise<Map<Digest, { ino: number | null; size: number }>> {
  const found = new Map<Digest, { ino: number | null; size: number }>();
  for await (const digest of listBlobs(data)) {
    const [algorithm, hex = ""] = digest.split(":");
    const path = `${data}/docker/registry/v2/blobs/${algorithm}/${hex.slice(0, 2)}/${hex}/data`;
    try {
      const { ino, size } = await Deno.lstat(path);
      found.set(digest, { ino, size });
    } catch (error) {
      // The folder exists, but the kill prevented the rename of the file.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return found;
}

/**
 * Kills the work at one of its changes, checks what is visible, and does the work again.
 *
 * @returns whether it was killed: a run whose chunks arrive together has fewer writes, and may end before the last changes
 */
async function crash(scenario: CrashScenario, { killAt, mode }: Kill): Promise<boolean> {
  const { work, operations, outcome, bundles } = scenario;
  await using folder = await scenario.createFolder();
  const folders = { root: folder.path, bundles };
  const { signal, success } = await runChild(work, folders, { killAt, mode });
  const { kind, to, path } = operations.filter(({ kind }) => kind !== "report")[killAt - 1]!;
  const where = `${work} killed at ${killAt}, ${mode} ${kind} of ${(to ?? path).replace(/^.*\/crpe-test-[^/]+\//, "")}`;
  try {
    assert(success || signal === "SIGKILL", "the process failed");
    await checkState(work, folder.path);
    const kept = await listInodes(`${folder.path}/data`);
    const result = await doWork(work, folders);
    const now = await listInodes(`${folder.path}/data`);
    for (const [digest, { ino }] of kept) assertEquals(now.get(digest)?.ino, ino, `${digest} was written again`);
    if (result !== undefined) assertEquals(result.blobs.bytesWritten, missingBytes(work, kept));
    assertEquals(differences(await listContent(folder.path), outcome), []);
    using _lock = await takeFolderSoon(`${folder.path}/data`);
    assertEquals((await folder.listFiles("data/ingest")).filter((name) => !name.endsWith(".lock")), []);
    return !success;
  } catch (error) {
    throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
  }
}

function missingBytes(work: CrashWork, kept: ReadonlyMap<Digest, unknown>): number {
  const sizes = new Map<Digest, number>();
  for (const { blobs, manifests } of Object.values(imagesOfBundle(work === "import" ? 1 : 2))) {
    for (const [digest, { length }] of blobs) sizes.set(digest, length);
    for (const { descriptor: { digest, size } } of manifests) sizes.set(digest, size);
  }
  return [...sizes].reduce((sum, [digest, size]) => kept.has(digest) ? sum : sum + size, 0);
}

/** Whether a call left everything as it was. A kill after it finds the state that one before it has found. */
function isIdle({ kind, made, ended }: FileOperation): boolean {
  return (kind === "mkdir" && made?.length === 0) || (["mkdir", "remove"].includes(kind) && Number.isNaN(ended));
}

/**
 * Whether a change makes a folder between its parent and its child, or removes one between its child and its parent. A kill
 * there leaves empty folders, as one beside the row does: only their number differs.
 */
function isAmidFolders(changes: readonly FileOperation[], i: number): boolean {
  const [before, change, after] = changes.slice(Math.max(i - 1, 0), i + 2);
  if (before === undefined || change === undefined || after === undefined) return false;
  const isWithin = (inner: FileOperation, outer: FileOperation) => inner.path.startsWith(`${outer.path}/`);
  const isRow = [before, after].every(({ kind }) => kind === change.kind);
  if (change.kind === "mkdir") return isRow && isWithin(change, before) && isWithin(after, change);
  return change.kind === "remove" && isRow && isWithin(before, change) && isWithin(change, after);
}

/** Names a kind of change: what is done to which file, whatever its blob, image or folder. */
function nameKind({ kind, path, to }: FileOperation): string {
  const file = (to ?? path).replace(/^.*?\/(?=(?:data|manifests)(?:\/|$))/, "")
    .replace(/\b[0-9a-f]{8}-[-0-9a-f]+|\b[0-9a-f]{64}\b|\/[0-9a-f]{2}(?=\/|$)|team\/\w+|tags\/[\d.]+/g, "*");
  return `${kind} ${file}`;
}

/** Takes of each kind of change the first kill and the last one. */
function sampleKills(kills: readonly Kill[], changes: readonly FileOperation[]): Kill[] {
  const chosen = kills.filter(({ killAt }) => !isAmidFolders(changes, killAt - 1));
  const kinds = Map.groupBy(chosen, ({ killAt, mode }) => `${mode} ${nameKind(changes[killAt - 1]!)}`);
  return [...kinds.values()].flatMap((same) => [...new Set([same[0]!, same.at(-1)!])]);
}

for (const work of WORKS) {
  Deno.test(`[24] [26] ${work} is killed at every kind of change of its files, and completes when repeated`, async () => {
    await using bundles = await TestFolder.create(MEMORY_FOLDER);
    const scenario = await prepare(work, bundles.path);
    const changes = scenario.operations.filter(({ kind }) => kind !== "report");
    const all = changes.flatMap(({ kind }, i): Kill[] => {
      // What a sync makes durable survives a kill without it: the state is that before the next change.
      if (kind === "sync") return [];
      const half: Kill[] = kind === "write" ? [{ killAt: i + 1, mode: "half" }] : [];
      const last = changes.slice(0, i).findLast(({ kind }) => kind !== "sync");
      return last !== undefined && isIdle(last) ? half : [{ killAt: i + 1, mode: "before" }, ...half];
    });
    const kills = isEveryKill ? all : sampleKills(all, changes);
    const planned = kills.length;
    const failures: unknown[] = [];
    let killed = 0;
    const lane = async () => {
      for (let next = kills.shift(); next !== undefined; next = kills.shift()) {
        await crash(scenario, next).then((isKilled) => killed += Number(isKilled), (error) => failures.push(error));
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    const messages = failures.map((error) => (error as Error).message);
    assert(
      messages.length === 0,
      `${messages.length} failures, the first of them: ${messages.slice(0, 3).join("\n\n")}`,
    );
    assertGreater(killed, 0.9 * planned);
  });

  // Content that is removed is moved aside, and nothing is promised of it.
  if (work === "remove") continue;
  Deno.test(`[25] ${work} syncs all its files and folders, in order, before it reports success`, async () => {
    await using bundles = await TestFolder.create(MEMORY_FOLDER);
    const { operations } = await prepare(work, bundles.path);
    const bytes = operations.reduce((sum, operation) => sum + (operation.bytes ?? 0), 0);
    const renames = operations.filter(({ kind, to = "" }) => kind === "rename" && /\/(?:data|link)$/.test(to));
    // Enough operations were recorded for the order to mean something.
    // A rollback writes only what refers to content.
    if (work !== "rollback") assertGreater(bytes, 150_000);
    assertGreater(renames.length, work === "rollback" ? 1 : 8);
    assertGreater(operations.filter(({ kind }) => kind === "report").length, 0);
    const isVisible = (path: string) => /\/_manifests\/tags\/|\/kubepkg\/|\/manifests\/[^.]/.test(path);
    assertEquals(findUndurable(operations, isVisible), []);
  });
}
