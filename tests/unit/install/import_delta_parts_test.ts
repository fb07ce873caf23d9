import { layOutParts } from "../../../lib/bundle/split_bundle.ts";
import { collectPackageDigests } from "../../../lib/install/package_digests.ts";
import { packageIdOf } from "../../../lib/kubepkg/package_id.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { collectGarbage } from "../../../lib/store/gc.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { makeParts, type PartItem } from "../../support/bundle_parts.ts";
import { packDeltaBundle } from "../../support/delta_bundle.ts";
import { DELTA_REPO, deltaOf } from "../../support/delta_fixture.ts";
import { writeImage } from "../../support/put_image.ts";
import { createSite } from "./import_parts_support.ts";
import { listPending } from "../../support/list_pending.ts";

const { old, bundle } = await packDeltaBundle();
const { kubepkg, entries } = bundle;
const delta = deltaOf(bundle);
const contents = new Map(entries.map(({ bytes }) => [computeDigest(bytes), bytes]));
const rest: PartItem[] = [...contents.keys()].filter((digest) => digest !== delta.delta).map((digest) => [digest]);
const half = Math.floor(delta.size / 2);
const LAYOUTS: readonly (readonly [what: string, layout: PartItem[][], whole: number])[] = [
  ["a delta that is cut", [[...rest, [delta.delta, 0, half]], [[delta.delta, half, delta.size - half]]], -1],
  ["a whole delta", [rest, [[delta.delta]]], 1],
];

for (const [what, layout, whole] of LAYOUTS) {
  for (const order of [[0, 1], [1, 0]]) {
    Deno.test(`[99] parts with ${what} are imported in the order ${order}, and rebuild the layer`, async () => {
      await using site = await createSite();
      await writeImage(site.store, `${DELTA_REPO}:1`, old);
      const parts = await makeParts(kubepkg, layout, { contents });
      const first = await site.install(parts[order[0]!]!);
      assertEquals([first.isImported, first.part?.missing], [false, [order[1]! + 1]]);
      const { kubepkg: pending } = (await site.records.pending.read(packageIdOf(kubepkg)))!;
      assertEquals(pending.status?.deltas, [delta]);
      const readKeep = () => collectPackageDigests(site.records);
      await collectGarbage(site.data, { readKeep, untagged: true });
      const isRebuilt = await site.store.statBlob("", delta.digest) !== undefined;
      assertEquals(isRebuilt, order[0] === whole);

      const last = await site.install(parts[order[1]!]!);
      assert(last.isImported);
      assert(await site.store.statBlob(DELTA_REPO, delta.digest) !== undefined);
      assertEquals(await site.store.statBlob("", delta.delta), undefined);
      assertEquals((await listPending(site.records.pending)).length, 0);
      assertEquals(await site.listIngest(), []);
      const again = await site.install(parts[0]!);
      assertEquals([again.isImported, again.plan.verdict], [false, "same"]);
    });
  }
}

Deno.test("a part of a bundle with deltas has them as blobs or pieces of their own digest", () => {
  const bytes = 300_000;
  const descriptor = { mediaType: "application/octet-stream", digest: delta.delta, size: bytes };
  const entry = { type: "blob" as const, repository: DELTA_REPO, descriptor, layer: delta.digest };
  const plan = { entries: [entry], omitted: [], size: bytes };
  const files = layOutParts({ kubepkg, plan } as unknown as Parameters<typeof layOutParts>[0], 200 * 1024);
  const names = files.flatMap(({ entries }) => entries.map(({ name }) => name));
  const hash = delta.delta.slice("sha256:".length);
  assert(names.length > 1);
  assert(names.every((name) => name.startsWith(`pieces/sha256/${hash}/`)));
});
