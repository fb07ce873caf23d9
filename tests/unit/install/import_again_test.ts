import { importBundle } from "../../../lib/install/import_bundle.ts";
import type { Installation } from "../../../lib/install/import_package.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { IncompleteError, RefusedError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { streamOf } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { filesOf, fillStore, makeImage, makeKubePkg, makeTgz, makeUsualImage, pack } from "../bundle/bundle_support.ts";
import { checkImage, WatchedStore } from "./import_support.ts";

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
    return this.lost.has(digest) ? undefined : await super.statBlob(repo, digest);
  }

  override async writeBlob(...args: Parameters<WatchedStore["writeBlob"]>): Promise<void> {
    await super.writeBlob(...args);
    this.lost.delete(args[1].digest);
  }
}

async function makeStore(bundle = BUNDLE): Promise<LeakyStore> {
  const store = new LeakyStore();
  await importBundle(streamOf(bundle), store);
  store.blobs.length = store.asked.length = 0;
  return store;
}

Deno.test("importBundle() of an installed release restores a missing blob", async () => {
  const store = await makeStore();
  store.lost.add(LAYER);
  const { isImported, plan } = await importBundle(streamOf(BUNDLE), store, { installed: INSTALLED });
  assertEquals([isImported, plan.verdict, plan.isRepair, plan.blobs.toWrite], [true, "same", true, 1]);
  assertEquals(store.blobs, [LAYER]);
  await checkImage(store, `${REPO}:1`, IMAGE);
});

Deno.test("importBundle() of an installed release restores a tag that was moved", async () => {
  const store = await makeStore();
  await fillStore(store, { "app:1": makeImage("linux/amd64") });
  store.blobs.length = 0;
  const { plan } = await importBundle(streamOf(BUNDLE), store, { installed: INSTALLED });
  assertEquals([plan.isRepair, store.blobs], [true, []]);
  await checkImage(store, `${REPO}:1`, IMAGE);
});

Deno.test("importBundle() of an installed release restores a blob of a bundle without status.digests", async () => {
  const kubepkg = makeKubePkg({ "app:1": IMAGE.root.descriptor.digest });
  const bundle = await makeTgz(filesOf(kubepkg, IMAGE));
  const store = await makeStore(bundle);
  const again = () => importBundle(streamOf(bundle), store, { installed: kubepkg });
  assertEquals((await again()).isImported, false);
  store.lost.add(LAYER);
  assertEquals((await again()).isImported, true);
  assertEquals(store.blobs, [LAYER]);
  assertEquals((await again()).isImported, false);
});

Deno.test("importBundle() with dryRun reports a repair and writes nothing", async () => {
  const store = await makeStore();
  store.lost.add(LAYER);
  const { isImported, plan } = await importBundle(streamOf(BUNDLE), store, { installed: INSTALLED, dryRun: true });
  assertEquals([isImported, plan.isRepair, store.blobs, store.visible], [false, true, [], []]);
});

Deno.test("importBundle() of an installed release fails if the missing blob was omitted from the bundle", async () => {
  const store = await makeStore();
  const delta = await pack(makeKubePkg({ "app:1": "" }), SOURCE, { have: new Set([LAYER]) });
  store.lost.add(LAYER);
  await assertRejects(
    () => importBundle(streamOf(delta.bytes), store, { installed: delta.result.kubepkg }),
    IncompleteError,
    LAYER,
  );
});

/** An installation during which another one finishes, after the plan is made and before the lock is taken. */
function withConcurrentInstall(before: string | undefined, after: string): Installation & { steps: string[] } {
  const steps: string[] = [];
  const release = (version: string) => ({ ...INSTALLED, spec: { ...INSTALLED.spec, version } });
  return {
    steps,
    findInstalled: () => {
      const version = steps.includes("lock") ? after : before;
      return Promise.resolve(version === undefined ? undefined : release(version));
    },
    lock: () => {
      steps.push("lock");
      return Promise.resolve({ [Symbol.asyncDispose]: () => Promise.resolve(void steps.push("unlock")) });
    },
    finish: (_, { isRepair, installedVersion }) => {
      steps.push(`finish ${isRepair} ${installedVersion}`);
      return Promise.resolve();
    },
  };
}

Deno.test("[38] importBundle() is refused if a higher version was installed while its blobs were written", async () => {
  const store = new WatchedStore();
  const installation = withConcurrentInstall(undefined, "2.0.0");
  await assertRejects(
    () => importBundle(streamOf(BUNDLE), store, { installation }),
    RefusedError,
    "2.0.0 is installed",
  );
  assertEquals([store.visible, installation.steps], [[], ["lock", "unlock"]]);
  assert(store.blobs.length > 0);
});

Deno.test("[38] importBundle() changes nothing if the same release was installed while its blobs were written", async () => {
  const store = await makeStore();
  const installation = withConcurrentInstall(undefined, INSTALLED.spec.version);
  const { isImported, plan } = await importBundle(streamOf(BUNDLE), store, { installation });
  assertEquals([isImported, plan.verdict, plan.isRepair], [false, "same", false]);
  assertEquals([store.visible, installation.steps], [[], ["lock", "unlock"]]);
});

Deno.test("[38] importBundle() upgrades from the release that is installed when it gets the lock", async () => {
  const installation = withConcurrentInstall(undefined, "0.0.0-rc.1");
  const { plan } = await importBundle(streamOf(BUNDLE), new WatchedStore(), { installation });
  assertEquals([plan.verdict, plan.installedVersion], ["upgrade", "0.0.0-rc.1"]);
  assertEquals(installation.steps, ["lock", "finish false 0.0.0-rc.1", "unlock"]);
});

Deno.test("importBundle() prepares before it writes, and releases the lock if finishing fails", async () => {
  const store = new WatchedStore();
  const prepare = () => Promise.reject(new Error("no room for manifests"));
  await assertRejects(() => importBundle(streamOf(BUNDLE), store, { installation: { prepare } }), Error, "no room");
  assertEquals([store.blobs, store.visible], [[], []]);
  const installation = {
    ...withConcurrentInstall(undefined, "0.0.0"),
    findInstalled: () => Promise.resolve(undefined),
    finish: () => Promise.reject(new Error("cannot record")),
  };
  await assertRejects(() => importBundle(streamOf(BUNDLE), store, { installation }), Error, "cannot record");
  assertEquals(installation.steps, ["lock", "unlock"]);
});
