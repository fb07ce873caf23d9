import { isComplete } from "../../lib/cache/completeness.ts";
import { PackageRecords } from "../../lib/install/package_records.ts";
import { computeDigest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { verifyStore } from "../../lib/store/verify_store.ts";
import { assert, assertEquals, assertGreater } from "../support/assert.ts";
import { spawnCrpe } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { idOf, makeKubePkg } from "../support/kubepkg.ts";
import { makeLargeLayer } from "../support/large_blob.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { Random } from "../support/random.ts";

const MIB = 1024 * 1024;
const KILLS = 50;
// How many imports run, are killed and are checked at the same time.
const LANES = 2;
const SIZES = [26, 20, 14];
const IMAGES = Object.fromEntries(SIZES.map((size, i) => {
  const image = buildImage({ files: { "name.txt": `image ${i}` }, largeLayer: makeLargeLayer(size * MIB, i + 1) });
  return [`registry.test/team/app-${i}:1`, image];
}));
const TOTAL = SIZES.reduce((a, b) => a + b, 0) * MIB;

type PackFixture = Awaited<ReturnType<typeof createPackFixture>>;

/** Lists the content, the records and the handed-over manifests of an import: path → digest. */
async function listTarget({ folder }: PackFixture, target: string): Promise<Record<string, string>> {
  // The key of the node is another one for each target, and the audit log names each attempt.
  const names = (await folder.listFiles(target)).filter((name) => {
    return !/^data\/(?:ingest\/|audit\.ndjson$|kubepkg\/\.node-key\.pem$)/.test(name);
  });
  const found: Record<string, string> = {};
  for (const name of names) {
    const bytes = await Deno.readFile(`${folder.path}/${target}/${name}`);
    // These files contain the path of the manifests and the time, which differ for each target.
    found[name] = /\/(?:handover|receipt)\.json$/.test(name)
      ? new TextDecoder().decode(bytes).replace(/^\{"checksum":"[^"]*",/, "{").replaceAll(`/${target}/`, "/site/")
        .replace(/"(?:imported|signature)": "[^"]*"/g, "")
      : computeDigest(bytes);
  }
  return found;
}

/** Measures the content below a folder, committed or in progress, in bytes. */
function measure(folder: string): number {
  let sum = 0;
  try {
    for (const { name, isDirectory } of Deno.readDirSync(folder)) {
      if (isDirectory) sum += measure(`${folder}/${name}`);
      else sum += Deno.lstatSync(`${folder}/${name}`).size;
    }
  } catch (error) {
    // The file was renamed in the meantime.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return sum;
}

interface KilledImport {
  /** The folder of the import, with its data folder and its manifests. */
  readonly target: string;
  readonly files: readonly string[];
  /** It is killed `milliseconds` after this many bytes are in the data folder. */
  readonly bytes: number;
  readonly milliseconds: number;
}

/**
 * Runs an import, and kills it some milliseconds after it has written a number of bytes.
 *
 * @returns whether the import completed before it was killed
 */
async function importKilled(
  { folder, processOptions }: PackFixture,
  { target, files, bytes, milliseconds }: KilledImport,
): Promise<boolean> {
  const flags = [`--data=${target}/data`, `--manifests-dir=${target}/manifests`];
  await Deno.mkdir(`${folder.path}/${target}/manifests`, { recursive: true });
  const running = spawnCrpe(["import", ...files, ...flags], processOptions);
  running.listening.catch(() => {});
  let isOver = false;
  running.finished.finally(() => isOver = true);
  while (!isOver && measure(`${folder.path}/${target}/data`) < bytes) await pause(1);
  await pause(milliseconds);
  if (!isOver) running.kill("SIGKILL");
  const { code, stderr } = await running.finished;
  assert(code === 0 || code === 137, `${code}: ${stderr}`);
  return code === 0;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Checks what is visible after a kill: no tag of an incomplete image, no record before all tags, nothing broken. */
async function checkTarget({ folder }: PackFixture, target: string): Promise<void> {
  const data = `${folder.path}/${target}/data`;
  const store = new DiskStore(data, { warn: (message) => assert(false, message) });
  const { broken, unread } = await verifyStore(data, store);
  assertEquals([...broken, ...unread], []);
  let tags = 0;
  for (const repo of (await store.listRepositories()).repositories) {
    for (const { digest } of await store.listTagLinks(repo)) {
      const root = await store.resolve(repo, digest);
      assert(root !== undefined && await isComplete(store, repo, root), `${repo} has a tag and is incomplete`);
      tags++;
    }
  }
  if (tags > 0) {
    for (const [reference, { root }] of Object.entries(IMAGES)) {
      assert(
        await isComplete(store, reference.split(":")[0]!, root),
        `a tag is visible, but ${reference} is incomplete`,
      );
    }
  }
  const isHandedOver = (await folder.listFiles(`${target}/manifests`)).includes("line4.yaml");
  const isRecorded = await new PackageRecords(data).read(idOf("line4")) !== undefined;
  if (isHandedOver) assertEquals(tags, SIZES.length, "handed over before all tags are in place");
  if (isRecorded) assert(isHandedOver, "recorded before it was handed over");
}

async function createBundles(...flags: string[]): Promise<PackFixture> {
  const fixture = await createPackFixture(IMAGES);
  const names = Object.fromEntries(Object.keys(IMAGES).map((reference) => [reference, ""]));
  const { code, stderr } = await fixture.pack(makeKubePkg(names), "app", ...flags);
  assertEquals(code, 0, stderr);
  return fixture;
}

async function runLanes(fixture: PackFixture, files: readonly string[], kills: number): Promise<void> {
  const whole = await importKilled(fixture, { target: "whole", files, bytes: Infinity, milliseconds: 0 });
  assert(whole);
  const expected = await listTarget(fixture, "whole");
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
  console.log(`the seed of the kills: ${seed}`);
  let left = kills;
  let resumed = 0;
  const runLane = async (_: unknown, lane: number) => {
    const random = new Random(seed, lane);
    for (let round = 0; left > 0; round++) {
      const target = `target-${lane}-${round}`;
      const data = `${fixture.folder.path}/${target}/data`;
      for (let isDone = false; !isDone;) {
        const before = measure(data);
        // Half of the kills happen during the transfer, and half at its end.
        const bytes = random.fraction() < 0.5 ? before + random.fraction() * (TOTAL - before) : TOTAL;
        const isLast = left <= 0;
        isDone = await importKilled(fixture, {
          target,
          files,
          bytes: isLast ? Infinity : bytes,
          milliseconds: random.fraction() * 40,
        });
        if (isDone) break;
        left--;
        if (before > 0) resumed++;
        await checkTarget(fixture, target);
      }
      assertEquals(await listTarget(fixture, target), expected);
      const { code, stdout, stderr } = await fixture.crpe("verify", `--data=${target}/data`);
      assertEquals(code, 0, stdout + stderr);
      const ingest = (await fixture.folder.listFiles(`${target}/data/ingest`)).filter((name) =>
        !/\.(lock|tmp)$/.test(name)
      );
      assertEquals(ingest, []);
      await Deno.remove(`${fixture.folder.path}/${target}`, { recursive: true });
    }
  };
  await Promise.all(Array.from({ length: LANES }, runLane));
  assert(left <= 0);
  assertGreater(resumed, kills / 4);
}

Deno.test(`[26] an import that is killed ${KILLS} times breaks nothing, and completes like an undisturbed one`, async () => {
  await using fixture = await createBundles();
  await runLanes(fixture, ["app.tgz"], KILLS);
});

Deno.test("[26] an import of parts that is killed breaks nothing, and completes like an undisturbed one", async () => {
  await using fixture = await createBundles("--split=11MiB");
  const parts = (await fixture.folder.listFiles()).filter((name) => /\.part\d+of\d+\.tgz$/.test(name));
  assertGreater(parts.length, 5);
  // The last part comes first.
  await runLanes(fixture, parts.reverse(), 12);
});
