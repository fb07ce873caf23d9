import { packageIdOf } from "../../../lib/kubepkg/package_id.ts";
import { ImageFiles, removeImageFile } from "../../../lib/install/image_files.ts";
import { ImageFileRecords } from "../../../lib/install/image_file_records.ts";
import { CorruptError, NoSpaceError, RefusedError } from "../../../lib/oci/error.ts";
import { parsePlatforms } from "../../../lib/oci/platform.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { makeBlob } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { fillStore, makeImage } from "../bundle/bundle_support.ts";
import { packageOf } from "../bundle/list_bundle.ts";

const IMAGE = makeImage("linux/amd64", [makeBlob(100_000)]);
const RELEASE = packageOf("a", IMAGE);
const NEXT = packageOf("a", IMAGE, "1.1.0+k3s1");
const NAME = "a-1.0.0.tar";

async function createFixture(options: { freeBytes?: number } = {}) {
  const folder = await TestFolder.create();
  await Deno.mkdir(`${folder.path}/images`);
  const { freeBytes } = options;
  const given = {
    store: await fillStore(new MemoryStore(), { "reg.test/a:1": IMAGE }),
    records: new ImageFileRecords(`${folder.path}/data`),
    platforms: parsePlatforms("linux/amd64"),
    freeBytes: () => Promise.resolve(freeBytes),
  };
  return {
    folder,
    records: given.records,
    files: new ImageFiles({ ...given, folder: `${folder.path}/images` }),
    forced: new ImageFiles({ ...given, folder: `${folder.path}/images`, force: true }),
    recorded: new ImageFiles(given),
    list: () => folder.listFiles("images"),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

Deno.test("[32] ImageFiles refuses an archive without space, before and while it is written", async () => {
  await using fixture = await createFixture({ freeBytes: 110_000 });
  const { files } = fixture;
  assertEquals(await files.findRefusal(RELEASE, 0), undefined);
  assertEquals((await files.findRefusal(RELEASE, 20_000)) instanceof NoSpaceError, true);
  await using small = await createFixture({ freeBytes: 100_000 });
  await assertRejects(() => small.files.write(RELEASE), NoSpaceError, ", 97.7 KiB are free, ");
  assertEquals(await small.list(), []);
});

Deno.test("ImageFiles replaces the archive of an earlier release, and finds files of an interrupted import", async () => {
  await using fixture = await createFixture();
  const { files, recorded, records } = fixture;
  assertEquals(await recorded.write(RELEASE), undefined);
  await files.write(RELEASE);
  assertEquals([await files.isWritten(RELEASE), await files.isWritten(NEXT)], [true, false]);
  await recorded.write(NEXT);
  assertEquals(await fixture.list(), ["a-1.1.0+k3s1.tar"]);
  // A crash after the archive was written, and before the old one was removed.
  const record = await records.read(packageIdOf(NEXT));
  await files.write(RELEASE);
  const both = [...(await records.read(packageIdOf(RELEASE)))!.files, ...record!.files];
  await records.write(packageIdOf(RELEASE), { folder: record!.folder, platforms: record!.platforms, files: both });
  assertEquals(await files.isWritten(RELEASE), false);
  await files.write(RELEASE);
  assertEquals([await fixture.list(), await files.isWritten(RELEASE)], [[NAME], true]);
});

Deno.test("[77] ImageFiles replaces a file of others only with force, and never removes one", async () => {
  await using fixture = await createFixture();
  const { files, forced, records } = fixture;
  await fixture.folder.write(`images/${NAME}`, "x");
  assertEquals((await files.findRefusal(RELEASE, 0)) instanceof RefusedError, true);
  await assertRejects(() => files.write(RELEASE), RefusedError, "crpe did not write it for this package");
  await forced.write(RELEASE);
  assertEquals(await files.isWritten(RELEASE), true);
  await fixture.folder.write(`images/${NAME}`, "x");
  assertEquals(await removeImageFile(records, RELEASE), {
    path: `${await Deno.realPath(fixture.folder.path)}/images/${NAME}`,
    note: `${await Deno.realPath(
      fixture.folder.path,
    )}/images/${NAME} was changed since crpe wrote it, and is left alone`,
  });
  assertEquals([await fixture.list(), await records.read(packageIdOf(RELEASE))], [[NAME], undefined]);
});

Deno.test("ImageFiles leaves no file and no temporary file if content of the store is missing", async () => {
  await using fixture = await createFixture();
  const store = new MemoryStore();
  const { records } = fixture;
  const files = new ImageFiles({ store, records, folder: `${fixture.folder.path}/images`, platforms: [] });
  await assertRejects(() => files.write(RELEASE), Error, "the store does not hold");
  assertEquals(await fixture.list(), []);
});

Deno.test("ImageFileRecords names a record that is not valid", async () => {
  await using fixture = await createFixture();
  await fixture.folder.write("data/kubepkg/.images/default/a/record.json", '{"folder":1}');
  await assertRejects(
    () => fixture.records.read(packageIdOf(RELEASE)),
    CorruptError,
    "import the package again with --force",
  );
});
