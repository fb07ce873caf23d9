import { readBundle } from "../../../lib/bundle/read_bundle.ts";
import type { PackageOutcome } from "../../../lib/install/install_result.ts";
import { installPackages } from "../../../lib/install/install_bundle.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import { CorruptError, type IncompleteError, NoSpaceError, RefusedError } from "../../../lib/oci/error.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";
import { streamOf } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { fileOf, makeTar } from "../bundle/bundle_support.ts";
import { A, B, LIST_FILES, listFiles, packageOf } from "../bundle/list_bundle.ts";
import { checkImage, importPackages, WatchedStore } from "./import_support.ts";

const LIST = makeTar(LIST_FILES);
const SHARED = A.blobs.map(({ descriptor }) => descriptor.digest)
  .filter((digest) => B.blobs.some(({ descriptor }) => descriptor.digest === digest));

/** What became of each package: `a: install`, or the name of its error. */
function summarize(outcomes: readonly PackageOutcome[]): string[] {
  return outcomes.map(({ name, result, error }) => {
    const verdict = result === undefined ? (error as Error).name : result.isImported ? result.plan.verdict : "nothing";
    return `${name}: ${verdict}`;
  });
}

Deno.test("[80] importPackages() imports all packages of a list, and writes a shared blob once", async () => {
  const store = new WatchedStore();
  const outcomes = await importPackages(streamOf(LIST), store);
  assertEquals(summarize(outcomes), ["a: install", "b: install"]);
  await checkImage(store, "reg.test/a:1", A);
  await checkImage(store, "reg.test/b:1", B);
  assertEquals(store.blobs.length, new Set(store.blobs).size);
  const counts = outcomes.map(({ result }) => result?.blobs);
  assertEquals(counts.map((it) => [it?.written, it?.skipped]), [
    [A.blobs.length + 1, 0],
    [B.blobs.length + 1 - SHARED.length, SHARED.length],
  ]);
});

Deno.test("[80] importPackages() refuses one package of a list, and skips its content", async () => {
  const store = new WatchedStore();
  const outcomes = await importPackages(streamOf(LIST), store, { installed: [packageOf("a", A, "2.0.0")] });
  assertEquals(summarize(outcomes), ["a: RefusedError", "b: install"]);
  await checkImage(store, "reg.test/b:1", B);
  assertEquals(await store.resolve("reg.test/a", "1"), undefined);
  assertEquals(store.blobs.toSorted(), B.blobs.map(({ descriptor }) => descriptor.digest).sort());
});

Deno.test("[80] importPackages() reads no blob if all packages are refused or installed", async () => {
  const store = new WatchedStore();
  const installed = [packageOf("a", A, "2.0.0"), packageOf("b", B, "1.0.1")];
  const outcomes = await importPackages(streamOf(LIST), store, { installed });
  assertEquals(summarize(outcomes), ["a: RefusedError", "b: RefusedError"]);
  assertEquals([store.blobs, store.visible], [[], []]);
});

Deno.test("[80] importPackages() imports a package although content of another one is missing", async () => {
  const store = new WatchedStore();
  const own = fileOf(B.blobs.find(({ descriptor }) => !SHARED.includes(descriptor.digest))!)[0];
  const bytes = makeTar(LIST_FILES.filter(([name]) => name !== own));
  const outcomes = await importPackages(streamOf(bytes), store);
  assertEquals(summarize(outcomes), ["a: install", "b: IncompleteError"]);
  assertEquals((outcomes[1]?.error as IncompleteError).missing.length, 1);
  await checkImage(store, "reg.test/a:1", A);
  assertEquals(await store.resolve("reg.test/b", "1"), undefined);
});

Deno.test("[80] importPackages() installs one package although another one cannot be recorded", async () => {
  await using folder = await TestFolder.create();
  const records = new PackageRecords(folder.path);
  const write = records.write.bind(records);
  records.write = async (kubepkg) => {
    if (kubepkg.metadata.name === "a") throw new Error("Cannot record");
    await write(kubepkg);
  };
  const outcomes = await importPackages(streamOf(LIST), new WatchedStore(), { records });
  assertEquals(summarize(outcomes), ["a: Error", "b: install"]);
});

Deno.test("[80] importPackages() counts the space of all packages of a list, and shared content once", async () => {
  const needed = [...A.blobs, ...A.manifests].reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  const both = [
    ...new Map([...A.blobs, ...A.manifests, ...B.blobs, ...B.manifests].map((it) => [it.descriptor.digest, it])),
  ]
    .reduce((sum, [, { descriptor }]) => sum + descriptor.size, 0);
  const run = async (free: number) => {
    const store = new WatchedStore();
    return await importPackages(streamOf(LIST), store, { freeBytes: () => Promise.resolve(free), dryRun: true });
  };
  const refusals = async (free: number) => (await run(free)).map(({ result }) => result?.plan.refusal?.name);
  assertEquals(await refusals(both), [undefined, undefined]);
  assertEquals(await refusals(both - 1), [undefined, NoSpaceError.name]);
  // The second package alone is larger than the first.
  assertEquals(await refusals(needed - 1), [NoSpaceError.name, NoSpaceError.name]);
});

Deno.test("[80] importPackages() of a damaged bundle installs none of its packages", async () => {
  const store = new WatchedStore();
  const blob = A.blobs.at(-1)!;
  const files = LIST_FILES.map(([name, content]): [string, string | Uint8Array] => {
    return [name, name === fileOf(blob)[0] ? blob.bytes.map((byte) => byte ^ 1) : content];
  });
  const outcomes = await importPackages(streamOf(makeTar(files)), store);
  assertEquals(summarize(outcomes), ["a: CorruptError", "b: CorruptError"]);
  assertStringIncludes(String(outcomes[1]?.error), "Cannot import b@1.0.0: ");
  assertEquals(store.visible, []);
});

Deno.test("[80] where one package is expected, a bundle of several is refused", async () => {
  const bundle = await readBundle(streamOf(LIST), {});
  const error = assertThrows(() => bundle.kubepkg, CorruptError);
  assertStringIncludes(error.message, "it holds 2 packages (a, b), one is expected");
  await bundle.cancel();
});

Deno.test("[80] installPackages() records each package of a list", async () => {
  await using folder = await TestFolder.create();
  const records = new PackageRecords(folder.path);
  const install = async (bytes: Uint8Array<ArrayBuffer>) =>
    await installPackages(streamOf(bytes), { store: new DiskStore(folder.path), records });
  assertEquals(summarize(await install(LIST)), ["a: install", "b: install"]);
  assertEquals(summarize(await install(LIST)), ["a: nothing", "b: nothing"]);
  const next = makeTar(listFiles([packageOf("a", A, "0.9.0"), packageOf("b", B, "1.1.0")]));
  const outcomes = await install(next);
  assertEquals(summarize(outcomes), ["a: RefusedError", "b: upgrade"]);
  assertEquals(outcomes[0]?.error instanceof RefusedError, true);
  const versions = (await records.list()).map(({ metadata: { name }, spec: { version } }) => `${name}@${version}`);
  assertEquals(versions, ["a@1.0.0", "b@1.1.0"]);
});
