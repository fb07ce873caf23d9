import { rebuildFromDelta, type RebuildJob } from "../../../lib/install/rebuild_layers.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { assertEquals } from "../../support/assert.ts";
import { packDeltaBundle } from "../../support/delta_bundle.ts";
import { DELTA_REPO, deltaOf } from "../../support/delta_fixture.ts";
import { writeImage } from "../../support/put_image.ts";
import { TestFolder } from "../../support/test_folder.ts";

const { old, bundle, whole } = await packDeltaBundle();
const delta = deltaOf(bundle);
const { size } = whole.status!.digests!.find(({ digest }) => digest === delta.digest)!;
const { bytes } = bundle.entries.find(({ name }) => name.startsWith("deltas/"))!;

const CASES: readonly (readonly [what: string, fails: boolean, after: readonly string[]])[] = [
  ["joins the one in progress", false, ["rebuilt", "rebuilt", "held"]],
  ["joins one that fails, and starts over after it", true, ["failed", "failed", "rebuilt"]],
];

for (const [what, fails, expected] of CASES) {
  Deno.test(`a second rebuild of a layer ${what}`, async () => {
    await using folder = await TestFolder.create();
    const store = new DiskStore(folder.path);
    await writeImage(store, `${DELTA_REPO}:1`, old);
    const descriptor = { mediaType: "application/octet-stream", digest: computeDigest(bytes), size: bytes.length };
    await store.writeBlob("", descriptor, new Blob([bytes.slice()]).stream());
    // The scratch space is opened once for each rebuild.
    const openScratch = store.openScratch.bind(store);
    let count = 0;
    const second = Promise.withResolvers<void>();
    store.openScratch = async () => {
      if (++count === 2) second.resolve();
      await second.promise;
      if (fails && count === 1) throw new Error("no space");
      return await openScratch();
    };
    const seen = [0, 0, 0];
    const run = (i: number) => {
      const onBytes = (more: number) => {
        seen[i]! += more;
        if (i === 1) second.resolve();
      };
      const job: RebuildJob = { delta, size, repository: `${DELTA_REPO}${i}`, onBytes };
      return rebuildFromDelta(store, job).catch(() => "failed" as const);
    };
    const outcomes: string[] = await Promise.all([run(0), run(1)]);
    assertEquals(count, 1);
    outcomes.push(await run(2));
    assertEquals([outcomes, count], [[...expected], fails ? 2 : 1]);
    assertEquals(seen, fails ? [0, 0, size] : [size, size, size]);
    const linked = await Promise.all([0, 1].map((i) => store.isLinkedBlob(`${DELTA_REPO}${i}`, delta.digest)));
    assertEquals(linked, [!fails, !fails]);
    assertEquals(await store.statBlob("", delta.delta), undefined);
  });
}

Deno.test("[99] a rebuild is neither joined nor spoiled by a package that declares the same delta wrongly", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  await writeImage(store, `${DELTA_REPO}:1`, old);
  const descriptor = { mediaType: "application/octet-stream", digest: computeDigest(bytes), size: bytes.length };
  await store.writeBlob("", descriptor, new Blob([bytes.slice()]).stream());
  const run = (changed: Partial<RebuildJob["delta"]>) => {
    const job: RebuildJob = { delta: { ...delta, ...changed }, size, repository: DELTA_REPO, onBytes() {} };
    return rebuildFromDelta(store, job).catch(({ message }) => message);
  };
  const [wrong, right] = await Promise.all([run({ plainSize: delta.plainSize + 1 }), run({})]);
  assertEquals([/its header is not what the package declares/.test(wrong), right], [true, "rebuilt"]);
});
