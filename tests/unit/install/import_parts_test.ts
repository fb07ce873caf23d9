import { FileSource } from "../../../lib/bytes/file_source.ts";
import { installBundle } from "../../support/install_bundle.ts";
import { collectPackageDigests } from "../../../lib/install/package_digests.ts";
import { IncompleteError, NoSpaceError, RefusedError } from "../../../lib/oci/error.ts";
import { collectGarbage } from "../../../lib/store/gc.ts";
import { blobPath } from "../../../lib/store/layout.ts";
import { assert, assertEquals, assertLess, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { makeParts, type PartItem } from "../../support/bundle_parts.ts";
import { streamOf } from "../../support/content.ts";
import { CountedFile } from "../../support/counted_file.ts";
import {
  APP,
  createSite,
  ID,
  IMAGE,
  LARGE,
  LARGE_SIZE,
  LAYOUT,
  makeApp,
  packApp,
  PARTS,
  parts,
  REPO,
  REST,
  WHOLE,
} from "./import_parts_support.ts";
import { listPending } from "../../support/list_pending.ts";

const ORDERS = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1], [2, 2, 1, 1, 2, 3]];
for (const [i, order] of ORDERS.entries()) {
  const compression = (["ours", "gzip", "none"] as const)[i % 3]!;
  Deno.test(`installBundle() accepts parts (${compression}) in the order ${order}; the last one installs`, async () => {
    await using site = await createSite();
    const files = await parts(APP.kubepkg, { compression });
    const received = new Set<number>();
    for (const [turn, number] of order.entries()) {
      received.add(number);
      const { isImported, part, plan } = await site.install(files[number - 1]!);
      const isLast = turn === order.length - 1;
      assertEquals([plan.verdict, isImported, part?.number, part?.count], ["install", isLast, number, 3]);
      assertEquals(part?.missing, [1, 2, 3].filter((each) => !received.has(each)));
      if (isLast) continue;
      await site.checkHidden();
      const pending = await site.records.pending.read(ID);
      assertEquals([pending?.part?.received, pending?.part?.count], [[...received].sort(), 3]);
      assertEquals(pending?.kubepkg.status?.part, undefined);
      // Garbage collection between the parts removes nothing.
      const readKeep = () => collectPackageDigests(site.records);
      const { blobs, links } = await collectGarbage(site.data, { readKeep, untagged: true });
      assertEquals([blobs, links], [0, 0]);
    }
    await site.checkInstalled();
    assertEquals(await site.list(), WHOLE);
    const again = await site.install(files[0]!);
    assertEquals([again.isImported, again.plan.verdict, again.part?.missing], [false, "same", []]);
    await site.checkInstalled();
  });
}

Deno.test("installBundle() reads a new part to its end, and of a part that was imported before only the start", async () => {
  await using site = await createSite();
  for (const isKnown of [false, true]) {
    const file = new CountedFile(PARTS[1]!);
    const { blobs } = await installBundle(new FileSource(file), { store: site.store, records: site.records });
    assertEquals(
      blobs,
      isKnown ? { written: 0, skipped: 1, bytesWritten: 0 } : { written: 1, skipped: 0, bytesWritten: 400_000 },
    );
    if (isKnown) assertLess(file.bytesRead, 2 * 64 * 1024);
    else assert(file.bytesRead >= PARTS[1]!.length);
  }
});

Deno.test("installBundle() refuses a part of another pack; a higher version, or force, discards the earlier parts", async () => {
  await using site = await createSite();
  await site.install(PARTS[0]!);
  const alien = await parts({ ...APP.kubepkg, metadata: { ...APP.kubepkg.metadata, labels: { other: "pack" } } });
  const before = await site.records.pending.read(ID);
  const foreign = await assertRejects(() => site.install(alien[1]!), RefusedError);
  assertStringIncludes(foreign.message, "Cannot import the.tgz: it is part 2 of 3 of another pack of line4@1.0.0");
  assertStringIncludes(foreign.message, `part 1 of line4@1.0.0, packed as ${before?.part?.id} in 3 parts, was`);
  // A part with the same id but another document is refused as well.
  const forged = await parts({ ...APP.kubepkg, spec: { ...APP.kubepkg.spec, manifests: {} } });
  await assertRejects(() => site.install(forged[1]!), RefusedError);
  const lower = await makeParts((await packApp("0.9.0")).kubepkg, LAYOUT, { contents: APP.contents });
  const { message } = await assertRejects(() => site.install(lower[1]!), RefusedError);
  assertStringIncludes(
    message,
    "Cannot import line4@0.9.0: part 1 of line4@1.0.0 was imported before, which is higher",
  );
  assertEquals(await site.records.pending.read(ID), before);
  assertEquals((await site.install(alien[1]!, { dryRun: true })).plan.refusal?.message, foreign.message);

  const higher = await makeParts((await packApp("1.1.0")).kubepkg, LAYOUT, { contents: APP.contents });
  assertEquals((await site.install(higher[1]!)).part?.missing, [1, 3]);
  // Both packs have the same content, so it is complete with this part.
  await assertRejects(() => site.install(PARTS[2]!), RefusedError);
  assertEquals((await site.install(PARTS[2]!, { force: true })).isImported, true);
  await site.checkInstalled();
});

Deno.test("installBundle() checks version, space and missing content with the first part, before it writes anything", async () => {
  await using site = await createSite();
  assert((await site.install((await packApp("2.0.0")).bundle)).isImported);
  const before = await site.list();
  await assertRejects(() => site.install(PARTS[1]!), RefusedError, "2.0.0 is installed, which is higher");
  assertEquals([await site.list(), await listPending(site.records.pending)], [before, []]);

  await using fresh = await createSite();
  const freeBytes = (free: number) => ({ freeBytes: () => Promise.resolve(free) });
  const { message } = await assertRejects(() => fresh.install(PARTS[1]!, freeBytes(399_999)), NoSpaceError);
  assertStringIncludes(message, "it needs 391 KiB, 391 KiB are free, 1 B are missing");
  assertEquals(await fresh.folder.listFiles(), []);
  const { plan, part } = await fresh.install(PARTS[1]!, { ...freeBytes(400_000), dryRun: true });
  assertEquals([plan.blobs, plan.freeBytes, part?.missing], [
    {
      ...{ toWrite: 1, bytesToWrite: 400_000, held: 0, inOtherParts: APP.contents.size - 1 },
      ...{ temporaryBytes: undefined, missing: [] },
    },
    400_000,
    [1, 2, 3],
  ]);
  assertEquals(await fresh.folder.listFiles(), []);
  await fresh.install(PARTS[1]!, freeBytes(400_000));
  // The piece is on the disk already, so no more space is needed.
  await fresh.install(PARTS[1]!, freeBytes(0));
});

Deno.test("installBundle() refuses a part if the store does not hold the omitted blobs, and names them and the images", async () => {
  const [omitted] = REST[0]!;
  const delta = await packApp("1.0.0", IMAGE, new Set([omitted]));
  const layout = LAYOUT.map((items) => items.filter(([digest]) => digest !== omitted));
  const files = await makeParts(delta.kubepkg, layout, { contents: APP.contents });
  await using site = await createSite();
  const error = await assertRejects(() => site.install(files[2]!), IncompleteError);
  assertEquals(error.missing, [omitted]);
  assertStringIncludes(error.message, `needed by ${REPO}:1: ${omitted}`);
  assertEquals(await site.folder.listFiles(), []);
  const bytes = APP.contents.get(omitted)!;
  await site.store.writeBlob(
    "elsewhere",
    { mediaType: "x/y", digest: omitted, size: bytes.length },
    streamOf(bytes.slice()),
  );
  for (const [i, file] of files.entries()) assertEquals((await site.install(file)).isImported, i === 2);
  await site.checkInstalled();
});

Deno.test("installBundle() of a repair keeps the parts of a pending release", async () => {
  await using site = await createSite();
  await site.install(APP.bundle);
  const next = await packApp("1.1.0", makeApp(7));
  const large = [...next.contents].find(([, { length }]) => length > 800_000)![0];
  const rest: PartItem[] = [...next.contents.keys()].filter((digest) => digest !== large).map((digest) => [digest]);
  const size = next.contents.get(large)!.length;
  const layout: PartItem[][] = [[[large, 0, 300_000]], [[large, 300_000, size - 300_000], ...rest]];
  const [first, second] = await parts(next.kubepkg, { contents: next.contents }, layout);
  await site.install(first!);
  await Deno.remove(`${site.data}/${blobPath(LARGE)}`);
  assert((await site.install(APP.bundle)).plan.isRepair);
  assertEquals((await site.records.pending.read(ID))?.part?.received, [1]);
  assert((await site.install(second!)).isImported);
  assertEquals((await site.records.read(ID))?.spec.version, "1.1.0");
});

Deno.test("[26] installBundle() with force keeps what parts have brought of an installed release that misses content", async () => {
  await using site = await createSite();
  await site.install(APP.bundle);
  await site.store.discardBlob(LARGE);
  for (const [i, part] of PARTS.entries()) {
    const { isImported } = await site.install(part, { force: true });
    const pending = await listPending(site.records.pending);
    assertEquals(
      [isImported, pending.map((it) => it.part?.received)],
      i < 2 ? [false, [[1, 2].slice(0, i + 1)]] : [
        true,
        [],
      ],
    );
  }
  await site.checkInstalled();
  assertEquals(await site.store.statBlob(REPO, LARGE), LARGE_SIZE);
});
