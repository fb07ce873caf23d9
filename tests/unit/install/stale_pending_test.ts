import { PackageRecords } from "../../../lib/install/package_records.ts";
import { measurePending } from "../../../lib/install/pending_progress.ts";
import { endStalePending } from "../../../lib/install/stale_pending.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { partialPath } from "../../../lib/store/layout.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeBlob } from "../../support/content.ts";
import { idOf, makeKubePkg } from "../../support/kubepkg.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { listPending } from "../../support/list_pending.ts";

const DAY = 24 * 60 * 60 * 1000;
const NOW = Date.UTC(2030, 5, 1);
const [OWN, SHARED] = [makeBlob(2000, 1).descriptor, makeBlob(3000, 2).descriptor];

function makePending(name: string, blobs: readonly { digest: string; size: number }[] = [OWN]) {
  const digests = blobs.map(({ digest, size }) => ({ type: "blob", name: "registry.test/app", digest, size }));
  return { kubepkg: parseKubePkg({ ...makeKubePkg({}, { name, version: "1.0.0" }), status: { digests } }) };
}

async function setAge(path: string, days: number): Promise<void> {
  await Deno.utime(path, new Date(NOW - days * DAY), new Date(NOW - days * DAY));
}

const namesOf = (list: readonly { kubepkg: { metadata: { name: string } } }[]) =>
  list.map(({ kubepkg }) => kubepkg.metadata.name);

const ROWS: readonly [what: string, options: { record: number; partial?: number; ttl?: number }, isEnded: boolean][] = [
  ["a record that is older", { record: 15 }, true],
  ["a record that is younger", { record: 13 }, false],
  ["a blob that is being received", { record: 15, partial: 1 }, false],
  ["a blob that was given up, too", { record: 15, partial: 15 }, true],
  ["a record of the future", { record: -400 }, false],
  ["no limit", { record: 4000, ttl: 0 }, false],
];
for (const [what, { record, partial, ttl = 14 * DAY }, isEnded] of ROWS) {
  Deno.test(`[94] endStalePending() ${isEnded ? "ends" : "keeps"} a package: ${what}`, async () => {
    await using folder = await TestFolder.create();
    const records = new PackageRecords(folder.path);
    await records.pending.write(makePending("gone"));
    await setAge(`${folder.path}/kubepkg/gone/pending.json`, record);
    if (partial !== undefined) await setAge(await folder.write(partialPath(OWN.digest), "abc"), partial);
    const dry = await endStalePending(records, { ttl, now: () => NOW, dryRun: true });
    assertEquals(namesOf(await listPending(records.pending)), ["gone"]);
    const ended = await endStalePending(records, { ttl, now: () => NOW });
    assertEquals([namesOf(dry), namesOf(ended)], isEnded ? [["gone"], ["gone"]] : [[], []]);
    const left = (await folder.listFiles()).filter((name) => !name.endsWith(".lock"));
    if (isEnded) assertEquals(left, []);
    else assertEquals(left.includes("kubepkg/gone/pending.json"), true);
  });
}

Deno.test("[94] a record from before the clock was set gets its whole time", async () => {
  await using folder = await TestFolder.create();
  const records = new PackageRecords(folder.path);
  await records.pending.write(makePending("early"));
  await Deno.utime(`${folder.path}/kubepkg/early/pending.json`, 1000, 1000);
  const options = { ttl: 14 * DAY, now: () => NOW };
  assertEquals(await endStalePending(records, options), []);
  assertEquals(await endStalePending(records, { ...options, now: () => NOW + 13 * DAY }), []);
  assertEquals(namesOf(await endStalePending(records, { ...options, now: () => NOW + 15 * DAY })), ["early"]);
});

Deno.test("[94] a pending package that ends takes its partial files with it, not those of others or in use", async () => {
  await using folder = await TestFolder.create();
  const [records, store] = [new PackageRecords(folder.path), new DiskStore(folder.path)];
  const busy = makeBlob(4000, 3).descriptor;
  await records.pending.write(makePending("gone", [OWN, SHARED, busy]));
  await records.pending.write(makePending("stays", [SHARED]));
  for (const { digest } of [OWN, SHARED]) await folder.write(partialPath(digest), "abc");
  const ingest = await store.openIngest(busy.digest);
  await ingest.write(new Uint8Array(10));
  assertEquals(await measurePending(makePending("gone", [OWN, SHARED, busy]), store), {
    received: 16,
    size: 9000,
    missingParts: undefined,
  });
  await records.pending.remove(idOf("gone"));
  assertEquals(
    (await folder.listFiles("ingest")).filter((name) => name.endsWith(".partial")),
    [
      partialPath(SHARED.digest),
      partialPath(busy.digest),
    ].map((path) => path.slice("ingest/".length)).sort(),
  );
  ingest.keep();
});
