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
import { createOffice } from "../support/office.ts";

const MIB = 1024 * 1024;
const KILLS = 50;
// So many imports are killed and looked after at a time.
const LANES = 2;
const SIZES = [26, 20, 14];
const IMAGES = Object.fromEntries(SIZES.map((size, i) => {
  const image = buildImage({ files: { "name.txt": `image ${i}` }, largeLayer: makeLargeLayer(size * MIB, i + 1) });
  return [`registry.test/team/app-${i}:1`, image];
}));
const TOTAL = SIZES.reduce((a, b) => a + b, 0) * MIB;

type Office = Awaited<ReturnType<typeof createOffice>>;

/** A generator of numbers from 0 to 1, always the same for a seed. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** What a site has: the content and the records, path → digest; and the manifests that were handed over. */
async function listSite({ folder }: Office, site: string): Promise<Record<string, string>> {
  const names = (await folder.listFiles(site)).filter((name) => !name.startsWith("data/ingest/"));
  const found: Record<string, string> = {};
  for (const name of names) {
    const bytes = await Deno.readFile(`${folder.path}/${site}/${name}`);
    // It says where the manifests went, which is another folder for each site; so its checksum differs too.
    found[name] = name.endsWith("/handover.json")
      ? new TextDecoder().decode(bytes).replace(/^\{"checksum":"[^"]*",/, "{").replaceAll(`/${site}/`, "/site/")
      : computeDigest(bytes);
  }
  return found;
}

/** How many bytes of content there are, in their place or on their way. */
function measure(folder: string): number {
  let sum = 0;
  try {
    for (const { name, isDirectory } of Deno.readDirSync(folder)) {
      if (isDirectory) sum += measure(`${folder}/${name}`);
      else sum += Deno.lstatSync(`${folder}/${name}`).size;
    }
  } catch (error) {
    // It has got its name meanwhile.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return sum;
}

/** Imports, and kills it some time after so many bytes are there. @returns whether it came to its end before */
async function importKilled(
  { folder, surroundings }: Office,
  site: string,
  files: readonly string[],
  moment: { bytes: number; milliseconds: number },
): Promise<boolean> {
  const flags = [`--data=${site}/data`, `--manifests-dir=${site}/manifests`];
  await Deno.mkdir(`${folder.path}/${site}/manifests`, { recursive: true });
  const running = spawnCrpe(["import", ...files, ...flags], surroundings);
  running.listening.catch(() => {});
  let isOver = false;
  running.finished.finally(() => isOver = true);
  while (!isOver && measure(`${folder.path}/${site}/data`) < moment.bytes) await pause(1);
  await pause(moment.milliseconds);
  if (!isOver) running.kill("SIGKILL");
  const { code, stderr } = await running.finished;
  assert(code === 0 || code === 137, `${code}: ${stderr}`);
  return code === 0;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** What who looks from outside finds: no tag without the whole, no record before all tags, and nothing broken. */
async function checkSite({ folder }: Office, site: string): Promise<void> {
  const data = `${folder.path}/${site}/data`;
  const store = new DiskStore(data, { warn: (message) => assert(false, message) });
  const { broken, unread } = await verifyStore(data, store);
  assertEquals([...broken, ...unread], []);
  let tags = 0;
  for (const repo of await store.listRepositories()) {
    for (const { digest } of await store.listTagLinks(repo)) {
      const root = await store.resolve(repo, digest);
      assert(root !== undefined && await isComplete(store, repo, root), `${repo} has a tag and is not whole`);
      tags++;
    }
  }
  if (tags > 0) {
    for (const [reference, { root }] of Object.entries(IMAGES)) {
      assert(await isComplete(store, reference.split(":")[0]!, root), `a tag is visible, ${reference} is not whole`);
    }
  }
  const isHandedOver = (await folder.listFiles(`${site}/manifests`)).includes("line4.yaml");
  const isRecorded = await new PackageRecords(data).read(idOf("line4")) !== undefined;
  if (isHandedOver) assertEquals(tags, SIZES.length, "handed over before all tags are in place");
  if (isRecorded) assert(isHandedOver, "recorded before it was handed over");
}

async function createBundles(...flags: string[]): Promise<Office> {
  const office = await createOffice(IMAGES);
  const names = Object.fromEntries(Object.keys(IMAGES).map((reference) => [reference, ""]));
  const { code, stderr } = await office.pack(makeKubePkg(names), "app", ...flags);
  assertEquals(code, 0, stderr);
  return office;
}

async function runLanes(office: Office, files: readonly string[], kills: number): Promise<void> {
  const whole = await importKilled(office, "whole", files, { bytes: Infinity, milliseconds: 0 });
  assert(whole);
  const expected = await listSite(office, "whole");
  const seed = crypto.getRandomValues(new Uint32Array(1))[0]!;
  console.log(`the moments of the kills are of seed ${seed}`);
  let left = kills;
  let resumed = 0;
  const runLane = async (_: unknown, lane: number) => {
    const random = createRandom(seed + lane * 7919);
    for (let round = 0; left > 0; round++) {
      const site = `site-${lane}-${round}`;
      const data = `${office.folder.path}/${site}/data`;
      for (let isDone = false; !isDone;) {
        const before = measure(data);
        // At the end as often as on the way to it.
        const bytes = random() < 0.5 ? before + random() * (TOTAL - before) : TOTAL;
        const isLast = left <= 0;
        isDone = await importKilled(office, site, files, {
          bytes: isLast ? Infinity : bytes,
          milliseconds: random() * 40,
        });
        if (isDone) break;
        left--;
        if (before > 0) resumed++;
        await checkSite(office, site);
      }
      assertEquals(await listSite(office, site), expected);
      const { code, stdout, stderr } = await office.crpe("verify", `--data=${site}/data`);
      assertEquals(code, 0, stdout + stderr);
      const ingest = (await office.folder.listFiles(`${site}/data/ingest`)).filter((name) =>
        !/\.(lock|tmp)$/.test(name)
      );
      assertEquals(ingest, []);
      await Deno.remove(`${office.folder.path}/${site}`, { recursive: true });
    }
  };
  await Promise.all(Array.from({ length: LANES }, runLane));
  assert(left <= 0);
  assertGreater(resumed, kills / 4);
}

Deno.test(`[26] an import that is killed at ${KILLS} moments breaks nothing, and ends as an undisturbed one`, async () => {
  await using office = await createBundles();
  await runLanes(office, ["app.tgz"], KILLS);
});

Deno.test("[26] an import of parts that is killed breaks nothing, and ends as an undisturbed one", async () => {
  await using office = await createBundles("--split=11MiB");
  const parts = (await office.folder.listFiles()).filter((name) => /\.part\d+of\d+\.tgz$/.test(name));
  assertGreater(parts.length, 5);
  // The last one first.
  await runLanes(office, parts.reverse(), 12);
});
