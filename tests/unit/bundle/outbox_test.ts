import { Outbox } from "../../../lib/bundle/outbox.ts";
import { packBundle } from "../../support/pack_bundle.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { makeKubePkg } from "../../support/kubepkg.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { peerTest } from "../../support/peers.ts";
import { TestFolder } from "../../support/test_folder.ts";

async function createFixture() {
  const folder = await TestFolder.create();
  const outbox = new Outbox(folder.path);
  return {
    folder,
    outbox,
    add: (version: string, namespace?: string) =>
      outbox.add(`line4@${version}.tgz`, (output) =>
        packBundle(
          parseKubePkg(makeKubePkg({}, { version, ...(namespace === undefined ? {} : { namespace }) })),
          new MemoryStore(),
          { output, hashOutput: true },
        )),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

Deno.test("the outbox keeps a bundle by the digest of its file, and describes it", async () => {
  await using fixture = await createFixture();
  const { outbox } = fixture;
  assertEquals(await outbox.list(), []);
  const { file, tgzDigest } = await fixture.add("1.0.0");
  const bytes = await Deno.readFile(file);
  assertEquals([computeDigest(bytes), outbox.pathOf(tgzDigest!)], [tgzDigest, file]);
  const [bundle, ...others] = await outbox.list();
  assertEquals([others, bundle?.digest, bundle?.size, bundle?.error], [[], tgzDigest, bytes.length, undefined]);
  assertEquals(bundle?.packages, [{
    name: "line4",
    namespace: "default",
    version: "1.0.0",
    platforms: [],
    images: [],
    objects: 1,
  }]);
  assertEquals([...Deno.readDirSync(`${fixture.folder.path}/outbox`)].length, 1);
  assertEquals((await Deno.stat(file)).mode! & 0o777, 0o600);
  await fixture.add("1.0.0");
  assertEquals((await outbox.list()).length, 1, "the same bytes are one bundle");
  assertEquals([await outbox.remove(tgzDigest!), await outbox.remove(tgzDigest!)], [true, false]);
  assertEquals(await outbox.list(), []);
});

Deno.test("the outbox finds a bundle by its name and version, by its digest and by the start of it", async () => {
  await using fixture = await createFixture();
  const { outbox } = fixture;
  const [first, shop] = [await fixture.add("1.0.0"), await fixture.add("1.0.0", "shop")];
  const [old, digest] = [new Date(0), first.tgzDigest!];
  await Deno.utime(shop.file, old, old);
  for (
    const [selector, expected] of [
      ["line4@1.0.0", first],
      ["default/line4@1.0.0", first],
      ["shop/line4@1.0.0", shop],
      [digest, first],
      [digest.slice("sha256:".length), first],
      [digest.slice(0, "sha256:".length + 6), first],
    ] as const
  ) assertEquals((await outbox.find(selector)).digest, expected.tgzDigest, selector);
  for (const selector of ["line4", "line4@2.0.0", "", digest.slice(7, 12), "sha256:", "../line4"]) {
    await assertRejects(() => outbox.find(selector), Error, "there is no such bundle");
  }
});

Deno.test("the outbox lists a damaged file with the reason, and ignores files of others", async () => {
  await using fixture = await createFixture();
  const { folder, outbox } = fixture;
  const digest = computeDigest(new Uint8Array([1]));
  await folder.write(`outbox/${digest.replace(":", "-")}.tgz`, "no bundle");
  await folder.write("outbox/notes.txt", "");
  await folder.write("outbox/.line4@1.0.0.tgz.partial", "");
  const [bundle, ...others] = await outbox.list();
  assertEquals([others, bundle?.digest, bundle?.packages], [[], digest, []]);
  assert(bundle?.error?.startsWith("Cannot"), bundle?.error);
});

Deno.test("the outbox lists a file that cannot be read with the reason, beside the others", async () => {
  await using fixture = await createFixture();
  const { folder, outbox } = fixture;
  const { tgzDigest } = await fixture.add("1.0.0");
  const digest = computeDigest(new Uint8Array([1]));
  // A folder can be opened, but not read, also by root.
  await Deno.mkdir(`${folder.path}/outbox/${digest.replace(":", "-")}.tgz`);
  const list = await outbox.list();
  assertEquals(new Set(list.map((bundle) => bundle.digest)), new Set([digest, tgzDigest]));
  const error = list.find((bundle) => bundle.digest === digest)?.error;
  assertEquals(error, "Cannot read the bundle: is a directory");
  assertEquals((await outbox.find("line4@1.0.0")).error, undefined);
  assertEquals(await outbox.nameOf(digest), `${digest.slice(-12)}.tgz`);
});

peerTest(
  "[96] the bundle that root packs, and what is left of one, belong to the owner of the data folder",
  ["root"],
  async () => {
    await using fixture = await createFixture();
    const { folder, outbox } = fixture;
    await Deno.chown(folder.path, 65534, 65533);
    await fixture.add("1.0.0");
    const interrupted = outbox.add("line4@1.1.0.tgz", async ({ write }) => {
      await write(new Uint8Array(10));
      throw new Error("interrupted");
    });
    await assertRejects(() => interrupted, Error, "interrupted");
    const names = (await folder.listFiles()).map((name) => `${folder.path}/${name}`);
    const owners = [`${folder.path}/outbox`, ...names].map((path) => Deno.statSync(path));
    assertEquals(owners.map(({ uid, gid }) => [uid, gid]), [[65534, 65533], [65534, 65533], [65534, 65533]]);
  },
);

Deno.test("the outbox lists what interrupted packs left, and removes what no pack is writing", async () => {
  await using fixture = await createFixture();
  const { outbox } = fixture;
  const at = (name: string) => `${fixture.folder.path}/outbox/${name}`;
  await fixture.add("1.0.0");
  const files = [".a@1.0.0.tgz.partial", ".b@1.0.0.tgz.partial", ".c@1.0.0.tgz"];
  const ages = [20, 1, 0];
  for (const [i, name] of files.entries()) {
    await Deno.writeTextFile(at(name), "abc");
    const written = new Date(Date.now() - ages[i]! * 24 * 3_600_000);
    await Deno.utime(at(name), written, written);
  }
  for (const name of ["notes.txt", "d@1.0.0.tgz"]) {
    await Deno.writeTextFile(at(name), "not of a pack");
    await Deno.utime(at(name), 1, 1);
  }
  const list = async () => (await outbox.listPartials()).map(({ name, size, isInUse }) => ({ name, size, isInUse }));
  assertEquals(await list(), files.map((name) => ({ name, size: 3, isInUse: false })));
  assertEquals((await outbox.list()).length, 1, "they are no bundles");

  assertEquals((await outbox.removePartials({ dryRun: true })).map(({ name }) => name), files);
  // The next pack removes what was given up.
  await fixture.add("1.1.0");
  assertEquals((await list()).map(({ name }) => name), files.slice(1));
  using writer = await Deno.open(at(files[1]!), { write: true });
  await writer.lock(true);
  assertEquals((await list()).map(({ isInUse }) => isInUse), [true, false]);
  assertEquals((await outbox.removePartials()).map(({ name }) => name), [files[2]]);
  await writer.unlock();
  assertEquals((await outbox.removePartials()).map(({ name }) => name), [files[1]]);
  assertEquals([await list(), (await outbox.list()).length], [[], 2]);
  for (const name of ["notes.txt", "d@1.0.0.tgz"]) assertEquals(await Deno.readTextFile(at(name)), "not of a pack");
});
