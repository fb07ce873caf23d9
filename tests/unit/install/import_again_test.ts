import { PackageRecords } from "../../../lib/install/package_records.ts";
import type { KubePkg } from "../../../lib/kubepkg/kubepkg.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { IncompleteError, RefusedError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { streamOf } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { filesOf, fillStore, makeImage, makeKubePkg, makeTgz, makeUsualImage, pack } from "../bundle/bundle_support.ts";
import { checkImage, importBundle, WatchedStore } from "./import_support.ts";

const IMAGE = makeUsualImage();
const LAYER = IMAGE.blobs[1]!.descriptor.digest;
const REPO = "docker.io/library/app";
const SOURCE = await fillStore(new MemoryStore(), { "app:1": IMAGE });
const { bytes: BUNDLE, result: PACKED } = await pack(makeKubePkg({ "app:1": "" }), SOURCE);
const INSTALLED = PACKED.kubepkg;

/** A store that can lose blobs. */
class LeakyStore extends WatchedStore {
  readonly lost = new Set<Digest>();

  override async statBlob(repo: string, digest: Digest): Promise<number | undefined> {
    return this.lost.has(digest) && !this.blobs.includes(digest) ? undefined : await super.statBlob(repo, digest);
  }
}

async function makeStore(bundle = BUNDLE): Promise<LeakyStore> {
  const store = new LeakyStore();
  await importBundle(streamOf(bundle), store);
  store.reset();
  return store;
}

Deno.test("importBundle() of an installed release restores a missing blob", async () => {
  const store = await makeStore();
  store.lost.add(LAYER);
  const { isImported, plan } = await importBundle(streamOf(BUNDLE), store, { installed: [INSTALLED] });
  assertEquals([isImported, plan.verdict, plan.isRepair, plan.blobs.toWrite], [true, "same", true, 1]);
  assertEquals(store.blobs, [LAYER]);
  await checkImage(store, `${REPO}:1`, IMAGE);
});

Deno.test("importBundle() of an installed release restores a tag that was moved", async () => {
  const store = await makeStore();
  await fillStore(store, { "app:1": makeImage("linux/amd64") });
  store.blobs.length = 0;
  const { plan } = await importBundle(streamOf(BUNDLE), store, { installed: [INSTALLED] });
  assertEquals([plan.isRepair, store.blobs], [true, []]);
  await checkImage(store, `${REPO}:1`, IMAGE);
});

Deno.test("importBundle() of an installed release restores a blob of a bundle without status.digests", async () => {
  const kubepkg = makeKubePkg({ "app:1": IMAGE.root.descriptor.digest });
  const bundle = makeTgz(filesOf(kubepkg, IMAGE));
  const store = await makeStore(bundle);
  const again = () => importBundle(streamOf(bundle), store, { installed: [kubepkg] });
  assertEquals((await again()).isImported, false);
  store.lost.add(LAYER);
  assertEquals((await again()).isImported, true);
  assertEquals(store.blobs, [LAYER]);
  assertEquals((await again()).isImported, false);
});

Deno.test("importBundle() with dryRun reports a repair and writes nothing", async () => {
  const store = await makeStore();
  store.lost.add(LAYER);
  const { isImported, plan } = await importBundle(streamOf(BUNDLE), store, { installed: [INSTALLED], dryRun: true });
  assertEquals([isImported, plan.isRepair, store.blobs, store.visible], [false, true, [], []]);
});

Deno.test("importBundle() of an installed release fails if the missing blob was omitted from the bundle", async () => {
  const store = await makeStore();
  const delta = await pack(makeKubePkg({ "app:1": "" }), SOURCE, { have: new Set([LAYER]) });
  store.lost.add(LAYER);
  await assertRejects(
    () => importBundle(streamOf(delta.bytes), store, { installed: [delta.result.kubepkg] }),
    IncompleteError,
    LAYER,
  );
});

/** Records of a site on which another release is installed after the plan is made, before the lock is taken. */
class ConcurrentRecords extends PackageRecords implements AsyncDisposable {
  readonly steps: string[] = [];
  readonly #folder: TestFolder;
  readonly #version: string;

  private constructor(folder: TestFolder, version: string) {
    super(folder.path);
    this.#folder = folder;
    this.#version = version;
  }

  static async create(version: string): Promise<ConcurrentRecords> {
    return new ConcurrentRecords(await TestFolder.create(), version);
  }

  override async lock(): Promise<AsyncDisposable> {
    const lock = await super.lock();
    await super.write({ ...INSTALLED, spec: { ...INSTALLED.spec, version: this.#version } });
    this.steps.push("lock");
    return {
      [Symbol.asyncDispose]: async () => {
        this.steps.push("unlock");
        await lock[Symbol.asyncDispose]();
      },
    };
  }

  override async write(kubepkg: KubePkg): Promise<void> {
    this.steps.push(`record ${kubepkg.spec.version}`);
    await super.write(kubepkg);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#folder[Symbol.asyncDispose]();
  }
}

Deno.test("[38] importBundle() is refused if a higher version was installed while its blobs were written", async () => {
  const store = new WatchedStore();
  await using records = await ConcurrentRecords.create("2.0.0");
  await assertRejects(() => importBundle(streamOf(BUNDLE), store, { records }), RefusedError, "2.0.0 is installed");
  assertEquals([store.visible, records.steps], [[], ["lock", "unlock"]]);
  assert(store.blobs.length > 0);
});

Deno.test("[38] importBundle() changes nothing if the same release was installed while its blobs were written", async () => {
  const store = await makeStore();
  await using records = await ConcurrentRecords.create(INSTALLED.spec.version);
  const { isImported, plan } = await importBundle(streamOf(BUNDLE), store, { records });
  assertEquals([isImported, plan.verdict, plan.isRepair], [false, "same", false]);
  assertEquals([store.visible, records.steps], [[], ["lock", "unlock"]]);
});

Deno.test("[38] importBundle() upgrades from the release that is installed when it gets the lock", async () => {
  await using records = await ConcurrentRecords.create("0.0.0-rc.1");
  const { plan } = await importBundle(streamOf(BUNDLE), new WatchedStore(), { records });
  assertEquals([plan.verdict, plan.installedVersion, plan.isRepair], ["upgrade", "0.0.0-rc.1", false]);
  assertEquals(records.steps, ["lock", `record ${INSTALLED.spec.version}`, "unlock"]);
});

Deno.test("importBundle() prepares before it writes, and releases the lock if finishing fails", async () => {
  const store = new WatchedStore();
  await using records = await ConcurrentRecords.create("0.0.0-rc.1");
  const { nodeKey, receipts } = records;
  const read = nodeKey.read.bind(nodeKey);
  nodeKey.read = () => Promise.reject(new Error("the key is damaged"));
  await assertRejects(() => importBundle(streamOf(BUNDLE), store, { records }), Error, "the key is damaged");
  assertEquals([store.blobs, store.visible, records.steps], [[], [], []]);
  nodeKey.read = read;
  receipts.write = () => Promise.reject(new Error("cannot write the receipt"));
  await assertRejects(() => importBundle(streamOf(BUNDLE), store, { records }), Error, "cannot write the receipt");
  assertEquals(records.steps, ["lock", "unlock"]);
});
