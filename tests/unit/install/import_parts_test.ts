import { packBundle } from "../../../lib/bundle/pack_bundle.ts";
import { verifyBundle } from "../../../lib/bundle/verify_bundle.ts";
import { FileSource } from "../../../lib/bytes/file_source.ts";
import { installBundle, type InstallOptions, type InstallResult } from "../../../lib/install/install_bundle.ts";
import { collectPackageDigests } from "../../../lib/install/package_digests.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import type { KubePkg } from "../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { CorruptError, IncompleteError, NoSpaceError, RefusedError } from "../../../lib/oci/error.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { collectGarbage } from "../../../lib/store/gc.ts";
import { blobPath, pieceListPath, piecesPath } from "../../../lib/store/layout.ts";
import { assert, assertEquals, assertLess, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { makeParts, type PartItem, type PartsOptions } from "../../support/bundle_parts.ts";
import { makeBytes, streamOf } from "../../support/content.ts";
import { CountedFile } from "../../support/counted_file.ts";
import { buildImage } from "../../support/images.ts";
import { idOf, makeKubePkg } from "../../support/kubepkg.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { writeImage } from "../../support/put_image.ts";
import { concat } from "../../support/tar.ts";
import { TestFolder } from "../../support/test_folder.ts";

// These tests sync hundreds of files, which is fast on a file system in memory.
const MEMORY = await Deno.stat("/dev/shm").then(() => "/dev/shm", () => undefined);
const REPO = "registry.test/app";
const NAME = "line4";
const ID = idOf(NAME);
const makeApp = (seed: number) => {
  const files: Record<string, Uint8Array>[] = [{ "large.bin": makeBytes(900_000, seed) }, {
    "small.bin": makeBytes(5000, seed + 1),
  }];
  return buildImage({ files, layerCompression: "none" });
};
const IMAGE = makeApp(1);

async function packApp(version: string, image = IMAGE, have?: ReadonlySet<Digest>) {
  const store = new MemoryStore();
  await writeImage(store, REPO, "1", image);
  const pieces: Uint8Array[] = [];
  const kubepkg = parseKubePkg(makeKubePkg({ [`${REPO}:1`]: "" }, { version, data: { version } }));
  const result = await packBundle(kubepkg, store, have === undefined ? {} : { have }, {
    write: (bytes) => void pieces.push(bytes.slice()),
  });
  const contents = new Map<Digest, Uint8Array>(image.blobs);
  for (const { descriptor, bytes } of image.manifests) contents.set(descriptor.digest, bytes);
  return { kubepkg: result.kubepkg, bundle: concat(pieces), contents };
}

const APP = await packApp("1.0.0");
const LARGE = [...APP.contents].find(([, { length }]) => length > 800_000)![0];
const LARGE_SIZE = APP.contents.get(LARGE)!.length;
const REST: PartItem[] = [...APP.contents.keys()].filter((digest) => digest !== LARGE).map((digest) => [digest]);
// The large layer is split over three parts; the small blobs are before and after it.
const LAYOUT: PartItem[][] = [
  [REST[0]!, [LARGE, 0, 300_000]],
  [[LARGE, 300_000, 400_000]],
  [[LARGE, 700_000, LARGE_SIZE - 700_000], ...REST.slice(1)],
];

const parts = (kubepkg: KubePkg = APP.kubepkg, more: Partial<PartsOptions> = {}, layout = LAYOUT) => {
  return makeParts(kubepkg, layout, { contents: APP.contents, ...more });
};
const PARTS = await parts();

async function createSite() {
  const folder = await TestFolder.create(MEMORY);
  const data = `${folder.path}/data`;
  const [store, records] = [new DiskStore(data), new PackageRecords(data)];
  const install = async (bytes: Uint8Array<ArrayBuffer>, options: Partial<InstallOptions> = {}) => {
    const source = new FileSource(new CountedFile(bytes));
    return await installBundle(source, { store, records, what: "the.tgz", ...options });
  };
  return {
    folder,
    data,
    store,
    records,
    install,
    /** The content and the records: path → digest. */
    async list() {
      const names = (await folder.listFiles("data")).filter((name) => /^(?:docker|kubepkg)\//.test(name));
      const found: Record<string, string> = {};
      for (const name of names) found[name] = computeDigest(await Deno.readFile(`${data}/${name}`));
      return found;
    },
    listIngest: async () => (await folder.listFiles("data/ingest")).filter((name) => !name.endsWith(".lock")),
    /** Checks that no content that was received is visible. */
    async checkHidden() {
      assertEquals([await store.resolve(REPO, "1"), await records.list()], [undefined, []]);
      assertEquals(await store.listRepositories(), []);
    },
    async checkInstalled(version = "1.0.0") {
      assertEquals((await records.read(ID))?.spec.version, version);
      assertEquals((await store.resolve(REPO, "1"))?.digest, IMAGE.root.digest);
      assertEquals(await records.pending.list(), []);
      assertEquals(await this.listIngest(), []);
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

async function listWhole(): Promise<Record<string, string>> {
  await using site = await createSite();
  assert((await site.install(APP.bundle)).isImported);
  return await site.list();
}
const WHOLE = await listWhole();

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
  assertStringIncludes(foreign.message, `part 1 of line4@1.0.0, packed as ${before?.part?.id}`);
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

Deno.test("[48] installBundle() refuses a damaged or truncated part, names it, and does not record its pieces", async () => {
  const flipped = PARTS[1]!.slice();
  flipped[flipped.length - 100_000]! ^= 1;
  const damages: [string, Uint8Array<ArrayBuffer>, string][] = [
    ["a flipped bit", flipped, "its checksum does not match the data"],
    ["cut in the piece", PARTS[1]!.slice(0, 200_000), "the.tgz"],
    ["without a trailer", PARTS[1]!.slice(0, -8), "the.tgz"],
    ["without its end", PARTS[1]!.slice(0, -1100), "the.tgz"],
  ];
  for (const [what, bytes, message] of damages) {
    await using site = await createSite();
    await site.install(PARTS[0]!);
    for (const _ of [1, 2]) {
      const error = await assertRejects(() => site.install(bytes), CorruptError);
      assertStringIncludes(error.message, message, what);
      assertEquals((await site.records.pending.read(ID))?.part?.received, [1]);
      assertEquals((await site.store.listPieces(LARGE)).length, 1, what);
    }
    await site.install(PARTS[2]!);
    await site.checkHidden();
    await site.install(PARTS[1]!);
    await site.checkInstalled();
    assertEquals(await site.list(), WHOLE);
  }
});

Deno.test("[48] installBundle() of a damaged part does not overwrite bytes that are recorded already", async () => {
  await using site = await createSite();
  await site.install(PARTS[0]!);
  const layout: PartItem[][] = [[], [[LARGE, 200_000, 500_000]], []];
  const spoil = (_: string, bytes: Uint8Array) => bytes.slice().with(5, 1 + bytes[5]!);
  const damaged = (await parts(APP.kubepkg, { spoil }, layout))[1]!.slice();
  damaged[damaged.length - 6]! ^= 1;
  await assertRejects(() => site.install(damaged), CorruptError);
  await site.install(PARTS[1]!);
  await site.install(PARTS[2]!);
  await site.checkInstalled();
});

Deno.test("[43] installBundle() deletes pieces that do not make the blob, and names their parts, which can be imported again", async () => {
  await using site = await createSite();
  const spoil = (name: string, bytes: Uint8Array) =>
    name.startsWith("pieces") ? bytes.slice().with(5, 1 + bytes[5]!) : bytes;
  const wrong = await parts(APP.kubepkg, { spoil });
  await site.install(wrong[1]!);
  await site.install(PARTS[0]!);
  const { message } = await assertRejects(() => site.install(PARTS[2]!), CorruptError);
  assertStringIncludes(message, `Cannot import line4@1.0.0: Cannot accept ${LARGE}: the content has digest`);
  assertStringIncludes(message, "it was assembled from parts 1, 2 and 3; import these again");
  await site.checkHidden();
  assertEquals([await site.listIngest(), (await site.records.pending.read(ID))?.part?.received], [[], []]);
  for (const part of PARTS) await site.install(part);
  await site.checkInstalled();
});

Deno.test("[53] installBundle() refuses a part whose content differs from the list of what it carries", async () => {
  const [digest] = REST[0]!;
  const wrong: [PartsOptions["spoil"], string][] = [
    [
      (name, bytes) => name.startsWith("pieces") ? undefined : bytes,
      `it does not contain pieces/${LARGE.replace(":", "/")}/0`,
    ],
    [
      (name, bytes) => name.startsWith("blobs") ? undefined : bytes,
      `it does not contain blobs/${digest.replace(":", "/")}`,
    ],
    [(name, bytes) => name.startsWith("pieces") ? bytes.slice(1) : bytes, "has 299999 bytes, kubepkg.json says 300000"],
  ];
  for (const [spoil, message] of wrong) {
    await using site = await createSite();
    const [first] = await parts(APP.kubepkg, spoil === undefined ? {} : { spoil });
    const error = await assertRejects(() => site.install(first!), CorruptError);
    assertStringIncludes(error.message, message);
    assertEquals([await site.store.listPieces(LARGE), (await site.records.pending.read(ID))?.part?.received], [
      [],
      [],
    ]);
    await site.checkHidden();
  }
  await using site = await createSite();
  const beyond = await parts(APP.kubepkg, {}, [[[LARGE, LARGE_SIZE - 10, 11]], LAYOUT[1]!]);
  await assertRejects(() => site.install(beyond[0]!), CorruptError, "its status.part lists more of");
  const many = Array.from({ length: 17 }, (_, i): PartItem => [LARGE, i, 1]);
  const crumbs = await parts(APP.kubepkg, {}, [many, LAYOUT[1]!]);
  await assertRejects(() => site.install(crumbs[0]!), CorruptError, "its status.part lists 17 pieces of");
  const unknown = computeDigest("nobody has this");
  const contents = new Map([...APP.contents, [unknown, new Uint8Array(1)]]);
  const stranger = await parts(APP.kubepkg, { contents }, [[[unknown]], LAYOUT[1]!]);
  await assertRejects(() => site.install(stranger[0]!), CorruptError, "which status.digests does not");
  assertEquals(await site.folder.listFiles(), []);
});

Deno.test("[52] installBundle() refuses a part of a package whose name is a path", async () => {
  await using site = await createSite();
  const { metadata } = APP.kubepkg;
  const [first] = await parts({ ...APP.kubepkg, metadata: { ...metadata, name: "../../x" } });
  await assertRejects(() => site.install(first!), CorruptError, "metadata.name");
  assertEquals(await site.folder.listFiles(), []);
});

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

Deno.test("installBundle() refuses a piece in a bundle that is not one part of several", async () => {
  await using site = await createSite();
  const [, second] = await parts();
  const text = new TextDecoder("latin1").decode((await parts(APP.kubepkg, { compression: "none" }))[1]!);
  const at = text.indexOf('"part": {');
  const bytes = (await parts(APP.kubepkg, { compression: "none" }))[1]!;
  bytes.set(new TextEncoder().encode('"nope": {'), at);
  assert(second !== undefined && at > 0);
  await assertRejects(() => site.install(bytes), CorruptError, "which does not belong in a bundle");
});

Deno.test("installBundle() checks version, space and missing content with the first part, before it writes anything", async () => {
  await using site = await createSite();
  assert((await site.install((await packApp("2.0.0")).bundle)).isImported);
  const before = await site.list();
  await assertRejects(() => site.install(PARTS[1]!), RefusedError, "2.0.0 is installed, which is higher");
  assertEquals([await site.list(), await site.records.pending.list()], [before, []]);

  await using fresh = await createSite();
  const freeBytes = (free: number) => ({ freeBytes: () => Promise.resolve(free) });
  const { message } = await assertRejects(() => fresh.install(PARTS[1]!, freeBytes(399_999)), NoSpaceError);
  assertStringIncludes(message, "it needs 400000 bytes, 399999 are free, 1 are missing");
  assertEquals(await fresh.folder.listFiles(), []);
  const { plan, part } = await fresh.install(PARTS[1]!, { ...freeBytes(400_000), dryRun: true });
  assertEquals([plan.blobs, plan.freeBytes, part?.missing], [
    { toWrite: 1, bytesToWrite: 400_000, held: 0, inOtherParts: APP.contents.size - 1, missing: [] },
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
  assertEquals([await site.listIngest(), await site.records.pending.list()], [[], []]);
  await site.folder.write(`data/${piecesPath(LARGE)}`, "left over");
  await collectGarbage(site.data, { readKeep });
  assertEquals(await site.listIngest(), []);
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

Deno.test("[38] installBundle() does not record a part during whose import another version was installed", async () => {
  const other = await packApp("1.1.0", buildImage({ files: { a: "b" } }));
  await using site = await createSite();
  await site.install(PARTS[0]!);
  const onRead = async () => void await site.install(other.bundle);
  const { message } = await assertRejects(() => site.install(PARTS[1]!, { onRead }), RefusedError);
  assertStringIncludes(message, "1.1.0 is installed");
  assertEquals([await site.records.pending.list(), await site.listIngest()], [[], []]);

  await using below = await createSite();
  const lower = await packApp("0.9.0", buildImage({ files: { a: "b" } }));
  const error = await assertRejects(() =>
    below.install(PARTS[1]!, { onRead: async () => void await below.install(lower.bundle) })
  );
  assertStringIncludes((error as Error).message, "they were removed during the import; import that part again");
  assertEquals(await below.records.pending.list(), []);
  for (const part of PARTS) await below.install(part);
  await below.checkInstalled();
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
    assertEquals((await site.records.listHistory(ID)).length, 0);
  }
});

Deno.test("verifyBundle() finds no problem in a correct part, and the problem of a damaged one", async () => {
  const flipped = PARTS[1]!.slice();
  flipped[flipped.length - 100_000]! ^= 1;
  for (const open of [streamOf, (bytes: Uint8Array<ArrayBuffer>) => new FileSource(new CountedFile(bytes))]) {
    for (const part of PARTS) assertEquals((await verifyBundle(open(part))).problems, []);
    assertEquals((await verifyBundle(open(flipped))).problems.length, 1);
  }
});
