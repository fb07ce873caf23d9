import { isComplete } from "../../lib/cache/completeness.ts";
import { PullThrough } from "../../lib/cache/pull_through.ts";
import { PackageRecords } from "../../lib/install/package_records.ts";
import { computeDigest, type Digest } from "../../lib/oci/digest.ts";
import { takeDataFolder } from "../../lib/store/data_folder.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { listBlobs, verifyStore } from "../../lib/store/verify_store.ts";
import { idOf } from "../support/kubepkg.ts";
import { assert, assertEquals, assertGreater } from "../support/assert.ts";
import {
  type CrashFolders,
  type CrashWork,
  doWork,
  imagesOfBundle,
  PACKAGE,
  packBundles,
  PULLED,
} from "../support/crash_work.ts";
import { TestFolder } from "../support/test_folder.ts";
import { type FileOperation, findUndurable } from "../support/watched_files.ts";

const CHILD = new URL("../support/crash_child.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;
const WORKS: readonly CrashWork[] = ["pull", "import", "upgrade", "parts"];
// So many processes are started, killed and looked after at a time.
const LANES = 3;
// Where there is a file system in memory, thousands of syncs cost nothing; a kill is the same there.
const MEMORY = await Deno.stat("/dev/shm").then(() => "/dev/shm", () => undefined);

/** The undisturbed run of a work, and where the disturbed ones are to begin. */
interface Scene {
  readonly work: CrashWork;
  readonly operations: readonly FileOperation[];
  /** What the folders hold in the end: path → digest. */
  readonly outcome: Readonly<Record<string, string>>;
  readonly bundles: string;
  /** Makes the folder in which the work is begun. */
  begin(): Promise<TestFolder>;
}

async function prepare(work: CrashWork, bundles: string): Promise<Scene> {
  await packBundles(bundles);
  const begin = async () => {
    const folder = await TestFolder.create(MEMORY);
    await Deno.mkdir(`${folder.path}/manifests`);
    if (work === "upgrade") {
      const { success } = await new Deno.Command("cp", { args: ["-a", `${bundles}/installed/.`, folder.path] })
        .output();
      assert(success);
    }
    return folder;
  };
  await Deno.mkdir(`${bundles}/installed/manifests`, { recursive: true });
  if (work === "upgrade") await doWork("import", { root: `${bundles}/installed`, bundles });
  await using folder = await begin();
  const { success, stdout } = await runChild(work, { root: folder.path, bundles }, 0, "before");
  assert(success);
  const operations = JSON.parse(new TextDecoder().decode(stdout), (key, value) => {
    return key === "ended" && value === null ? NaN : value;
  });
  return { work, operations, outcome: await listContent(folder), bundles, begin };
}

function runChild(work: CrashWork, { root, bundles }: CrashFolders, killAt: number, mode: "before" | "half") {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-lock", `--config=${CONFIG}`, CHILD, work, root, bundles, String(killAt), mode],
    stderr: "inherit",
  }).output();
}

/** All files of the store, the package records and the hand-over. */
async function listContent(folder: TestFolder): Promise<Record<string, string>> {
  const names = (await folder.listFiles()).filter((name) => /^(?:data\/(?:docker|kubepkg)|manifests)\//.test(name));
  const found: Record<string, string> = {};
  for (const name of names) {
    const bytes = await Deno.readFile(`${folder.path}/${name}`);
    // It says where the manifests were written to, which is another folder each time; so its checksum differs too.
    const place = await Deno.realPath(folder.path);
    found[name] = computeDigest(
      name.endsWith("/handover.json")
        ? new TextDecoder().decode(bytes).replace(/^\{"checksum":"[^"]*",/, "{").replaceAll(place, "")
        : bytes,
    );
  }
  return found;
}

/** What who looks from outside finds: only what is whole. */
async function checkState(work: CrashWork, { path }: TestFolder): Promise<void> {
  const store = new DiskStore(`${path}/data`, { warn: (message) => assert(false, message) });
  const { broken, unread } = await verifyStore(`${path}/data`, store);
  assertEquals([...broken, ...unread], []);
  if (work === "pull") {
    // A cache has a manifest before its blobs; what it may not do is to offer it without them.
    const root = await new PullThrough({ store }).resolve(PULLED.repo, PULLED.tag);
    assert(root === undefined || await isComplete(store, PULLED.repo, root));
    return;
  }
  const [before, after] = work === "import" || work === "parts" ? [undefined, 1 as const] : [1 as const, 2 as const];
  const tags: unknown[] = [];
  for (const [reference, image] of Object.entries(imagesOfBundle(after))) {
    const [repo = "", tag = ""] = reference.split(/:(?=[^:]*$)/);
    const links = await store.listTagLinks(repo);
    assert(links.length <= 1 && links.every((link) => link.tag === tag));
    for (const { digest } of links) {
      const root = await store.resolve(repo, digest);
      assert(root !== undefined && await isComplete(store, repo, root), `${reference} is not whole`);
    }
    const old = before && imagesOfBundle(before)[reference]?.root.digest;
    const isNew = links[0]?.digest === image.root.digest;
    assert(isNew || links[0]?.digest === old, `${reference} is neither the old nor the new one`);
    tags.push(isNew);
  }
  if (tags.includes(true)) {
    for (const [reference, { root }] of Object.entries(imagesOfBundle(after))) {
      assert(await isComplete(store, reference.split(":")[0]!, root), `a tag is visible, ${reference} is not whole`);
    }
  }
  const record = (await new PackageRecords(`${path}/data`).read(idOf(PACKAGE)))?.spec.version;
  const handover = await readHandover(path);
  assert([before, after].includes(handover), `the hand-over file is of ${handover}`);
  assert([before, after].map((version) => version && `${version}.0.0`).includes(record as "1.0.0"));
  if (handover === after) assert(!tags.includes(false), "handed over before all tags are in place");
  if (record === `${after}.0.0`) assert(handover === after, "recorded before it was handed over");
}

async function readHandover(path: string): Promise<1 | 2 | undefined> {
  try {
    const text = await Deno.readTextFile(`${path}/manifests/${PACKAGE}.yaml`);
    assert(text.endsWith("\n") && text.includes("kind: ConfigMap"), text);
    return Number(/line: "([12])"/.exec(text)?.[1]) as 1 | 2;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The blobs in place: path → inode and size. */
async function listInodes(data: string): Promise<Map<Digest, { ino: number | null; size: number }>> {
  const found = new Map<Digest, { ino: number | null; size: number }>();
  for await (const digest of listBlobs(data)) {
    const [algorithm, hex = ""] = digest.split(":");
    const path = `${data}/docker/registry/v2/blobs/${algorithm}/${hex.slice(0, 2)}/${hex}/data`;
    try {
      const { ino, size } = await Deno.lstat(path);
      found.set(digest, { ino, size });
    } catch (error) {
      // The folder is there, the file did not come to it.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return found;
}

/** Kills the work at one of its changes, looks at what is there, and does the work again. */
async function crash(scene: Scene, killAt: number, mode: "before" | "half"): Promise<void> {
  const { work, operations, outcome, bundles } = scene;
  await using folder = await scene.begin();
  const folders = { root: folder.path, bundles };
  const { signal } = await runChild(work, folders, killAt, mode);
  const { kind, to, path } = operations.filter(({ kind }) => kind !== "report")[killAt - 1]!;
  const where = `${work} killed at ${killAt}, ${mode} ${kind} of ${(to ?? path).replace(/^.*\/crpe-test-[^/]+\//, "")}`;
  try {
    assertEquals(signal, "SIGKILL");
    await checkState(work, folder);
    const kept = await listInodes(`${folder.path}/data`);
    const result = await doWork(work, folders);
    const now = await listInodes(`${folder.path}/data`);
    for (const [digest, { ino }] of kept) assertEquals(now.get(digest)?.ino, ino, `${digest} was written again`);
    if (result !== undefined) assertEquals(result.blobs.bytesWritten, bytesLacking(work, kept));
    assertEquals(differences(await listContent(folder), outcome), []);
    using _lock = await takeDataFolder(`${folder.path}/data`);
    assertEquals((await folder.listFiles("data/ingest")).filter((name) => !name.endsWith(".lock")), []);
  } catch (error) {
    throw new Error(`${where}: ${(error as Error).message}`, { cause: error });
  }
}

/** The names of files that are not the same in both, or not in both. */
function differences(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): string[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((name) => a[name] !== b[name]).map((name) => {
    return `${a[name] === undefined ? "lacking" : b[name] === undefined ? "too many" : "other content"}: ${name}`;
  });
}

function bytesLacking(work: CrashWork, kept: ReadonlyMap<Digest, unknown>): number {
  const sizes = new Map<Digest, number>();
  for (const { blobs, manifests } of Object.values(imagesOfBundle(work === "import" ? 1 : 2))) {
    for (const [digest, { length }] of blobs) sizes.set(digest, length);
    for (const { descriptor: { digest, size } } of manifests) sizes.set(digest, size);
  }
  return [...sizes].reduce((sum, [digest, size]) => kept.has(digest) ? sum : sum + size, 0);
}

for (const work of WORKS) {
  Deno.test(`[24][26] ${work} is killed at every write, sync and rename, and done again`, async () => {
    await using bundles = await TestFolder.create(MEMORY);
    const scene = await prepare(work, bundles.path);
    const changes = scene.operations.filter(({ kind }) => kind !== "report");
    const cases = changes.flatMap(({ kind }, i): [number, "before" | "half"][] => {
      return kind === "write" ? [[i + 1, "before"], [i + 1, "half"]] : [[i + 1, "before"]];
    });
    const failures: unknown[] = [];
    const lane = async () => {
      for (let next = cases.shift(); next !== undefined; next = cases.shift()) {
        await crash(scene, ...next).catch((error) => failures.push(error));
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    const messages = failures.map((error) => (error as Error).message);
    assert(
      messages.length === 0,
      `${messages.length} failures, the first of them: ${messages.slice(0, 3).join("\n\n")}`,
    );
  });

  Deno.test(`[25] ${work} syncs everything, in order, before it reports success`, async () => {
    await using bundles = await TestFolder.create(MEMORY);
    const { operations } = await prepare(work, bundles.path);
    const bytes = operations.reduce((sum, operation) => sum + (operation.bytes ?? 0), 0);
    const renames = operations.filter(({ kind, to = "" }) => kind === "rename" && /\/(?:data|link)$/.test(to));
    // Else there would be nothing that the order could be seen of.
    assertGreater(bytes, 150_000);
    assertGreater(renames.length, 8);
    assertGreater(operations.filter(({ kind }) => kind === "report").length, 0);
    const isVisible = (path: string) => /\/_manifests\/tags\/|\/kubepkg\/|\/manifests\/[^.]/.test(path);
    assertEquals(findUndurable(operations, isVisible), []);
  });
}
