import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { decompress } from "../../../lib/archive/decompress.ts";
import { readBundle } from "../../../lib/bundle/read_bundle.ts";
import { FolderHandover } from "../../../lib/install/handover/folder_handover.ts";
import { installBundle } from "../../support/install_bundle.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assert, assertEquals, assertLess, assertRejects } from "../../support/assert.ts";
import { makeBlob, streamOf } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { importBundle, linesOf, WatchedStore } from "../install/import_support.ts";
import { fileOf, filesOf, makeImage, makeKubePkg, makeTar, makeTgz, type TestFile } from "./bundle_support.ts";

const IMAGE = makeImage("linux/amd64", [makeBlob(700)]);
const KUBEPKG = makeKubePkg({ "app:1": IMAGE.root.descriptor.digest }, "1.0.0", {
  status: { digests: linesOf(IMAGE) },
});
const FILES = filesOf(KUBEPKG, IMAGE);

/** Makes a stream that counts the bytes read from it. */
function count(bytes: Uint8Array<ArrayBuffer>, chunkSize: number) {
  const read = { bytes: 0 };
  const stream = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      if (read.bytes >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(read.bytes, read.bytes += chunkSize));
    },
  }, { highWaterMark: 0 });
  return { stream, read };
}

const LATE: readonly [string, readonly TestFile[]][] = [
  ["kubepkg.json comes last", [...FILES.slice(1), FILES[0]!]],
  ["kubepkg.json comes second", [FILES[1]!, FILES[0]!, ...FILES.slice(2)]],
  ["another file comes first", [["oci-layout", "{}"], ...FILES]],
];
for (const [title, files] of LATE) {
  Deno.test(`[50] importBundle() writes nothing if ${title}`, async () => {
    const store = new WatchedStore();
    await assertRejects(
      () => importBundle(streamOf(makeTgz(files)), store),
      CorruptError,
      "not a bundle",
    );
    assertEquals([store.blobs, store.visible], [[], []]);
  });
}

Deno.test("[41] importBundle() refuses a symbolic link in a bundle, and writes nothing", async () => {
  const link = makeTar([["link", ""]], 0);
  link[156] = "2".charCodeAt(0);
  link.fill(32, 148, 156);
  const sum = link.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  link.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  for (
    const [tar, reason] of [
      [[makeTar([FILES[0]!], 0), link, makeTar(FILES.slice(1))], '"link" is a symbolic link, not a file'],
      [[link, makeTar(FILES)], 'its first entry is "link", not kubepkg.json'],
    ] satisfies [Uint8Array[], string][]
  ) {
    const store = new WatchedStore();
    await assertRejects(() => importBundle(streamOf(joinChunks(tar)), store), CorruptError, reason);
    assertEquals([store.blobs, store.visible], [[], []]);
  }
});

Deno.test("[51] readBundle() reads no more than the header of a kubepkg.json of 100 MB", async () => {
  const tar = makeTar([["kubepkg.json", new Uint8Array(100_000_000).fill(0x20)]]);
  const { stream, read } = count(tar, 1024);
  await assertRejects(
    () => readBundle(stream),
    CorruptError,
    '"kubepkg.json" has 100000000 bytes, 83886080 are allowed',
  );
  assertLess(read.bytes, 10_000);
});

const BOMB = new Uint8Array(64 * 1024 * 1024);
const COMPRESSIONS: readonly [string, (bytes: Uint8Array) => Uint8Array][] = [["gzip", gzipSync], [
  "zstd",
  zstdCompressSync,
]];
for (const [name, compress] of COMPRESSIONS) {
  Deno.test(`[47] importBundle() refuses endless zeros after the tar in ${name}, and tags nothing`, async () => {
    const bytes = new Uint8Array(compress(joinChunks([makeTar(FILES), BOMB])));
    const store = new WatchedStore();
    await assertRejects(() => importBundle(streamOf(bytes), store), CorruptError, "data follows its end");
    assertEquals(store.visible, []);
  });

  Deno.test(`[47] importBundle() reads no more of a blob in ${name} than is declared`, async () => {
    const files = FILES.map((
      [file, content],
    ): TestFile => [file, file === fileOf(IMAGE.blobs[1]!)[0] ? BOMB : content]);
    const bytes = new Uint8Array(compress(makeTar(files)));
    const { stream, read } = count(bytes, 256);
    const store = new WatchedStore();
    await assertRejects(() => importBundle(stream, store), CorruptError, "has 67108864 bytes, kubepkg.json says 700");
    assertEquals(store.visible, []);
    assert(read.bytes <= bytes.length / 2, `${read.bytes} of ${bytes.length} bytes were read`);
  });
}

Deno.test("[47] decompress() refuses zstd with a window of 2 GiB", async () => {
  // RFC 8878, 3.1.1.1.2: a window of 2^(10 + 21) bytes, and one raw block, the last, of four.
  const bytes = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x21, 0, 0, 1, 2, 3, 4);
  const { reader } = await decompress(streamOf(bytes));
  await assertRejects(() => reader.readExactly(4), CorruptError, "Cannot decompress");
  // A window of 128 MiB, the largest that zstd decompresses by default, is accepted.
  const params = { [constants.ZSTD_c_windowLog]: 27, [constants.ZSTD_c_contentSizeFlag]: 0 };
  const usual = await decompress(streamOf(new Uint8Array(zstdCompressSync(BOMB, { params }))));
  assertEquals((await usual.reader.readExactly(1024)).length, 1024);
  await usual.reader.cancel();
});

for (const name of ["../../x", "..", "a/b", "/x", "x/../../y", ".x", "x\\y", "x\0y"]) {
  Deno.test(`[52] installBundle() of a package named ${JSON.stringify(name)} creates no file`, async () => {
    await using folder = await TestFolder.create();
    await folder.write("deep/er/there", "");
    const bytes = makeTgz(filesOf({ ...KUBEPKG, metadata: { ...KUBEPKG.metadata, name } }, IMAGE));
    const data = `${folder.path}/deep/er/data`;
    const install = () =>
      installBundle(streamOf(bytes), {
        store: new DiskStore(data),
        records: new PackageRecords(data),
        handover: new FolderHandover(`${folder.path}/deep/er/manifests`),
      });
    await assertRejects(install, CorruptError, "metadata.name: must be");
    assertEquals(await folder.listFiles(), ["deep/er/there"]);
  });
}
