import type { InstallResult } from "../../../lib/install/install_result.ts";
import { collectPackageDigests } from "../../../lib/install/package_digests.ts";
import { NoSpaceError, RefusedError } from "../../../lib/oci/error.ts";
import { collectGarbage } from "../../../lib/store/gc.ts";
import { pieceListPath, piecesPath } from "../../../lib/store/layout.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { buildImage } from "../../support/images.ts";
import { APP, createSite, LARGE, LARGE_SIZE, NAME, packApp, PARTS, REPO, WHOLE } from "./import_parts_support.ts";
import { idOf } from "../../support/kubepkg.ts";
import { listPending } from "../../support/list_pending.ts";

Deno.test("[32] installBundle() reports a disk that is full in the middle of a piece, and frees what it has written", async () => {
  await using site = await createSite();
  await site.install(PARTS[0]!);
  const { store } = site;
  const open = store.openPieces.bind(store);
  const listed = await site.listIngest();
  for (const digest of [LARGE, undefined]) {
    store.openPieces = async (it) => {
      const pieces = await open(it);
      const write = pieces.write.bind(pieces);
      pieces.write = async (position, chunk) => {
        await write(position, chunk.subarray(0, 1000));
        throw new NoSpaceError("Cannot write: no space left on the device");
      };
      return pieces;
    };
    // The second time no piece is recorded.
    if (digest === undefined) await site.folder.write(`data/${pieceListPath(LARGE)}`, "{}");
    await assertRejects(() => site.install(PARTS[1]!), NoSpaceError);
    await site.checkHidden();
    const left = digest === undefined ? listed.filter((name) => name.endsWith(".json")) : listed;
    assertEquals(await site.listIngest(), left);
  }
  store.openPieces = open;
  for (const number of [0, 1, 2]) await site.install(PARTS[number]!);
  await site.checkInstalled();
});

Deno.test("[25] installBundle() ignores recorded pieces whose bytes were lost in a power loss", async () => {
  await using site = await createSite();
  for (const number of [1, 2]) await site.install(PARTS[number]!);
  await Deno.truncate(`${site.data}/${piecesPath(LARGE)}`, 600_000);
  assertEquals(await site.store.listPieces(LARGE), []);
  assertEquals((await site.install(PARTS[0]!)).part?.missing, [2, 3]);
  await site.checkHidden();
  assertEquals((await site.install(PARTS[1]!)).part?.missing, [3]);
  assert((await site.install(PARTS[2]!)).isImported);
  await site.checkInstalled();
});

Deno.test("[26] installBundle() of any part commits a blob whose pieces were complete before", async () => {
  await using site = await createSite();
  await site.install(PARTS[0]!);
  await site.install(PARTS[1]!);
  // This imitates an import of the last part that is killed after it has recorded its pieces.
  const pieces = await site.store.openPieces(LARGE);
  await pieces.write(700_000, APP.contents.get(LARGE)!.slice(700_000));
  await pieces.record([{ start: 700_000, length: LARGE_SIZE - 700_000, part: 3 }]);
  pieces.close();
  assertEquals((await site.install(PARTS[1]!)).isImported, false);
  assertEquals(await site.store.statBlob(REPO, LARGE), LARGE_SIZE);
  assertEquals((await site.install(PARTS[2]!)).blobs.bytesWritten < 100_000, true);
  await site.checkInstalled();
});

Deno.test("[35] collectGarbage() removes pieces that no pending package needs, and keeps the others", async () => {
  await using site = await createSite();
  await site.install(PARTS[1]!);
  const readKeep = () => collectPackageDigests(site.records);
  await collectGarbage(site.data, { readKeep });
  const files = [piecesPath(LARGE), pieceListPath(LARGE)].map((path) => path.slice("ingest/".length));
  assertEquals(await site.listIngest(), files);
  // The installation of another version, which does not need the pieces, removes them.
  const other = await packApp("1.1.0", buildImage({ files: { a: "b" } }));
  await site.install(other.bundle);
  assertEquals([await site.listIngest(), await listPending(site.records.pending)], [[], []]);
  await site.folder.write(`data/${piecesPath(LARGE)}`, "left over");
  await collectGarbage(site.data, { readKeep });
  assertEquals(await site.listIngest(), []);
});

Deno.test("[38] installBundle() does not record a part during whose import another version was installed", async () => {
  const other = await packApp("1.1.0", buildImage({ files: { a: "b" } }));
  await using site = await createSite();
  await site.install(PARTS[0]!);
  const onRead = async () => void await site.install(other.bundle);
  const { message } = await assertRejects(() => site.install(PARTS[1]!, { onRead }), RefusedError);
  assertStringIncludes(message, "1.1.0 is installed");
  assertEquals([await listPending(site.records.pending), await site.listIngest()], [[], []]);

  await using below = await createSite();
  const lower = await packApp("0.9.0", buildImage({ files: { a: "b" } }));
  const error = await assertRejects(() =>
    below.install(PARTS[1]!, { onRead: async () => void await below.install(lower.bundle) })
  );
  assertStringIncludes((error as Error).message, "they were removed during the import; import that part again");
  assertEquals(await listPending(below.records.pending), []);
  for (const part of PARTS) await below.install(part);
  await below.checkInstalled();
});

Deno.test("[38] installBundle() needs no pieces of a blob that another import has completed, and removed the pieces of", async () => {
  await using site = await createSite();
  const [reached, opening, opened] = [1, 2, 3].map(() => Promise.withResolvers<void>());
  const openPieces = site.store.openPieces.bind(site.store);
  let isFirst = true;
  site.store.openPieces = async (digest) => {
    if (!isFirst) return await openPieces(digest);
    isFirst = false;
    reached!.resolve();
    await opening!.promise;
    const pieces = await openPieces(digest);
    opened!.resolve();
    return pieces;
  };
  const { pending } = site.records;
  const remove = pending.remove.bind(pending);
  pending.remove = async (id) => {
    opening!.resolve();
    await opened!.promise;
    await remove(id);
  };
  const late = site.install(PARTS[1]!);
  await reached!.promise;
  for (const part of PARTS) await site.install(part);
  await late;
  await site.checkInstalled();
  assertEquals((await site.records.listHistory(idOf(NAME))).length, 0);
});

Deno.test("[38] installBundle() of concurrent parts installs the package once", async () => {
  for (let round = 0; round < 5; round++) {
    await using site = await createSite();
    const order = round % 2 === 0 ? [0, 1, 2, 1] : [2, 1, 0, 0];
    const results: InstallResult[] = await Promise.all(order.map((number) => site.install(PARTS[number]!)));
    // An import that finds a blob's pieces locked leaves the commit to the other one. If both do, the next part
    // commits.
    if (!results.some(({ isImported }) => isImported)) await site.install(PARTS[0]!);
    await site.checkInstalled();
    assertEquals(await site.list(), WHOLE);
    assertEquals((await site.records.listHistory(idOf(NAME))).length, 0);
  }
});
