import { DiskStore } from "../../../lib/store/disk_store.ts";
import { blobPath } from "../../../lib/store/layout.ts";
import { Scrub, type ScrubOptions, type ScrubResult } from "../../../lib/store/scrub.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeBlob, streamOf } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const DAY = 24 * 60 * 60 * 1000;
const PERIOD = 30 * DAY;
const blobs = Array.from({ length: 20 }, (_, i) => makeBlob(1000 + i, i + 1));

/** Creates a store, and starts its scrub on a clock that runs only while the scrub waits. */
async function openStore() {
  const folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  for (const { descriptor, bytes } of blobs) await store.writeBlob("a.b/c", descriptor, streamOf(bytes));
  await Deno.mkdir(`${folder.path}/ingest`, { recursive: true });
  const it = { time: 1_000_000, waits: [] as number[], isBusy: false, checked: 0, warnings: [] as string[] };
  /** Scrubs until `until` returns true. */
  const scrub = async (until: (cycles: readonly ScrubResult[]) => boolean, options: Partial<ScrubOptions> = {}) => {
    const cycles: ScrubResult[] = [];
    const done = Promise.withResolvers<void>();
    {
      await using _scrub = new Scrub({
        root: folder.path,
        store,
        period: PERIOD,
        isBusy: () => it.isBusy,
        onCycle: (result) => cycles.push(result),
        warn: (message) => it.warnings.push(message),
        now: () => it.time,
        wait: async (milliseconds, signal) => {
          await Promise.resolve();
          if (until(cycles)) done.resolve();
          if (signal.aborted) return;
          it.waits.push(milliseconds);
          it.time += milliseconds;
          // The test must get its turn to end the scrub.
          if (until(cycles)) await new Promise((resolve) => setTimeout(resolve, 0));
        },
        ...options,
      });
      await done.promise;
    }
    return cycles;
  };
  return Object.assign(it, {
    root: folder.path,
    store,
    scrub,
    damage: async (index: number) => {
      const path = `${folder.path}/${blobPath(blobs[index]!.descriptor.digest)}`;
      const bytes = await Deno.readFile(path);
      bytes[500]! ^= 1;
      await Deno.writeFile(path, bytes);
    },
    record: async () =>
      JSON.parse(await Deno.readTextFile(`${folder.path}/ingest/scrub.json`)) as Record<string, number>,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  });
}

const total = blobs.reduce((sum, { bytes }) => sum + bytes.length, 0);

Deno.test("[91] a scrub reads the whole store once in its period, and moves corrupt blobs aside", async () => {
  await using it = await openStore();
  await it.damage(7);
  const start = it.time;
  const [first, second] = await it.scrub((cycles) => cycles.length === 2);
  assertEquals(first, { blobs: 20, bytes: total, corrupt: 1 });
  assertEquals(second, { blobs: 19, bytes: total - 1007, corrupt: 0 });
  assertEquals(await it.store.statBlob("", blobs[7]!.descriptor.digest), undefined);
  // Two cycles end just before two periods: the last step is due 1/256 before the end.
  const days = (it.time - start) / DAY;
  assertEquals(days > 59 && days <= 61, true, `${days} days`);
});

Deno.test("[91] a restarted scrub continues where it was", async () => {
  await using it = await openStore();
  await it.scrub(() => it.time > 1_000_000 + 10 * DAY);
  const { done, since } = await it.record();
  assertEquals([since, done! > 80 && done! < 90], [1_060_000, true], `${done}`);
  const [cycle] = await it.scrub((cycles) => cycles.length === 1);
  assertEquals(cycle, { blobs: 20, bytes: total, corrupt: 0 });
});

for (const record of ["", "{", "[]", '{"since":1,"done":999,"blobs":0,"bytes":0,"corrupt":0}', '{"since":"x"}']) {
  Deno.test(`[91] a scrub begins again after a record that it cannot use: ${record}`, async () => {
    await using it = await openStore();
    await Deno.writeTextFile(`${it.root}/ingest/scrub.json`, record);
    assertEquals((await it.scrub((cycles) => cycles.length === 1)).length, 1);
    assertEquals(it.warnings, []);
  });
}

Deno.test("[91] a clock that was set back does not stop the scrub", async () => {
  await using it = await openStore();
  await it.scrub(() => it.time > 1_000_000 + 5 * DAY);
  it.time = 1000;
  await it.scrub((cycles) => cycles.length === 1);
  assertEquals(it.time < 2 * PERIOD, true);
});

Deno.test("[91] a scrub reads slowly, and more slowly while clients download", async () => {
  for (const isBusy of [false, true]) {
    await using it = await openStore();
    it.isBusy = isBusy;
    await it.scrub((cycles) => cycles.length === 1);
    assertEquals(it.waits.filter((wait) => wait === (isBusy ? 10_000 : 125)).length, blobs.length);
    assertEquals(Math.max(...it.waits) <= 60 * 60 * 1000, true);
  }
});

Deno.test("[91] a scrub that is disposed of ends at once", async () => {
  await using it = await openStore();
  const scrub = new Scrub({
    ...{ root: it.root, store: it.store, period: PERIOD, isBusy: () => false, warn: () => {} },
  });
  await scrub[Symbol.asyncDispose]();
});
