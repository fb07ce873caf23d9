import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { BLOCK_BYTES, formatTarHeader, parseTarHeader } from "../../../lib/archive/tar_header.ts";
import { TarReader } from "../../../lib/archive/tar_reader.ts";
import { ByteReader, openByteSource } from "../../../lib/bytes/byte_reader.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { makeBytes, streamOf } from "../../support/content.ts";
import { makeTar, run, type TestFile, withFolder } from "../bundle/bundle_support.ts";
import { peerTest } from "../../support/peers.ts";

const encoder = new TextEncoder();
const SHA512_NAME = `blobs/sha512/${"ab".repeat(64)}`;

function openTar(bytes: Uint8Array<ArrayBuffer>, chunkSize = 1000): TarReader {
  return new TarReader(new ByteReader(openByteSource(streamOf(bytes, chunkSize)), "the tar"));
}

async function readTar(tar: TarReader): Promise<[string, Uint8Array][]> {
  const found: [string, Uint8Array][] = [];
  for (let entry = await tar.next(); entry !== undefined; entry = await tar.next()) {
    const parts: Uint8Array[] = [];
    for (let piece = await entry.read(700); piece !== undefined; piece = await entry.read(700)) parts.push(piece);
    found.push([entry.name, joinChunks(parts)]);
  }
  return found;
}

// A header with changed fields and a valid checksum.
function makeHeader(name: string, size: number, change: (block: Uint8Array) => void = () => {}): Uint8Array {
  const block = formatTarHeader(name, size);
  change(block);
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.set(encoder.encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  return block;
}

const typed = (type: string, name = "x", size = 0) =>
  makeHeader(name, size, (block) => block.set(encoder.encode(type), 156));
const END = new Uint8Array(2 * BLOCK_BYTES);

function extended(type: string, content: string): Uint8Array[] {
  const bytes = encoder.encode(content);
  return [
    typed(type, "extension", bytes.length),
    bytes,
    new Uint8Array((BLOCK_BYTES - bytes.length % BLOCK_BYTES) % BLOCK_BYTES),
  ];
}

const record = (text: string) => {
  let length = text.length + 3;
  while (`${length}`.length + 2 + text.length !== length) length = `${length}`.length + 2 + text.length;
  return `${length} ${text}\n`;
};

const FILES: readonly TestFile[] = [
  ["kubepkg.json", "{}"],
  ["empty", ""],
  ["one-block", makeBytes(512)],
  ["blobs/sha256/x", makeBytes(100_000)],
  ["a".repeat(100), "name that just fits"],
  ["b".repeat(101), "name that does not"],
  [SHA512_NAME, "sha512"],
  ["dir/ü/文", "not ASCII"],
];

function asBytes(files: readonly TestFile[]): [string, Uint8Array][] {
  return files.map(([name, content]) => [name, typeof content === "string" ? encoder.encode(content) : content]);
}

for (const chunkSize of [1, 511, 512, 513, 1 << 20]) {
  Deno.test(`TarReader reads the headers of formatTarHeader(), in chunks of ${chunkSize} bytes`, async () => {
    const files = chunkSize === 1 ? FILES.filter(([, content]) => content.length < 1000) : FILES;
    assertEquals(await readTar(openTar(makeTar(files), chunkSize)), asBytes(files));
  });
}

peerTest("[45] a sha512 name is written as pax, which GNU tar reads", ["tar"], async () => {
  await withFolder(async (folder) => {
    await Deno.writeFile(`${folder}/a.tar`, makeTar(FILES));
    const listed = await run("tar", ["tvf", "a.tar", "--numeric-owner", "--utc", "--quoting-style=literal"], folder);
    const lines = listed.trim().split("\n");
    assertEquals(lines.length, FILES.length);
    for (const [i, line] of lines.entries()) {
      const [name = "", content = ""] = FILES[i] ?? [];
      assertStringIncludes(
        line.replaceAll(/ +/g, " "),
        `-rw-r--r-- 0/0 ${encoder.encode(content as string).length && content.length} 1970-01-01 00:00 ${name}`,
      );
    }
    await run("tar", ["xf", "a.tar"], folder);
    for (const [name, bytes] of asBytes(FILES)) {
      assertEquals(new Uint8Array(await Deno.readFile(`${folder}/${name}`)), bytes);
    }
  });
});

for (const format of ["gnu", "pax", "ustar", "v7"]) {
  peerTest(`TarReader reads GNU tar's ${format} format`, ["tar"], async () => {
    await withFolder(async (folder) => {
      const files = format === "v7"
        ? FILES.filter(([name]) => name.length < 99)
        : format === "ustar"
        ? FILES.filter(([name]) => name.length <= 100)
        : FILES;
      for (const [name, content] of asBytes(files)) {
        await Deno.mkdir(`${folder}/in/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
        await Deno.writeFile(`${folder}/in/${name}`, content);
      }
      await run("tar", ["cf", "a.tar", `--format=${format}`, "-C", "in", "."], folder);
      const read = await readTar(openTar(await Deno.readFile(`${folder}/a.tar`)));
      const byName = (a: [string, Uint8Array], b: [string, Uint8Array]) => a[0] < b[0] ? -1 : 1;
      assertEquals(read.sort(byName), (asBytes(files)).sort(byName));
    });
  });
}

Deno.test("formatTarHeader() writes sizes of 8 GiB and more as pax", () => {
  const size = 8 ** 11;
  assertEquals(formatTarHeader("x", size - 1).length, BLOCK_BYTES);
  const bytes = formatTarHeader("x", size);
  assertEquals(bytes.length, 3 * BLOCK_BYTES);
  assertEquals(new TextDecoder().decode(bytes.subarray(BLOCK_BYTES, BLOCK_BYTES + 19)), "19 size=8589934592\n");
  assertEquals(parseTarHeader(bytes.subarray(2 * BLOCK_BYTES)), { name: "x", size: 0, type: "0" });
});

Deno.test("TarReader reads sizes of more than 8 GiB, in pax and in GNU's base-256", async () => {
  const size = 8 ** 11 + 5;
  const pax = openTar(joinChunks([formatTarHeader("x", size), END]));
  assertEquals((await pax.next())?.size, size);
  const header = makeHeader("x", 0, (block) => {
    block.fill(0, 124, 136);
    block[124] = 0x80;
    new DataView(block.buffer).setBigUint64(128, BigInt(size));
  });
  assertEquals((await openTar(joinChunks([header, END])).next())?.size, size);
});

Deno.test("TarReader accepts folders, a leading ./, global headers and the padding of the last record", async () => {
  const tar = openTar(
    joinChunks([
      ...extended("g", record("comment=x")),
      typed("5", "./"),
      typed("5", "blobs/"),
      ...extended("x", record("path=blobs/sha256/") + record("mtime=1.5")),
      typed("5", "y"),
      ...extended("x", record("SCHILY.xattr.user.a=\u0001") + record("atime=1")),
      makeHeader("./a", 0),
      END,
      new Uint8Array(10240),
    ]),
  );
  assertEquals(await readTar(tar), [["a", new Uint8Array(0)]]);
  assertEquals(await tar.next(), undefined);
});

Deno.test("TarReader returns nothing of an entry once the next one is open", async () => {
  const tar = openTar(makeTar([["a", makeBytes(2000)], ["b", "second"]]));
  const first = await tar.next();
  assert(await first?.read(10));
  const second = await tar.next();
  assertEquals(await first?.read(10), undefined);
  assertEquals(new TextDecoder().decode(await second?.readAll(6)), "second");
  await assertRejects(() => second!.readAll(5), CorruptError, '"b" has 6 bytes, 5 are allowed');
});

const name = (text: string) => () => [
  makeHeader("x", 0, (block) => (block.fill(0, 0, 100), block.set(encoder.encode(text)))),
  END,
];
const paxName = (text: string) => () => [...extended("x", record(`path=${text}`)), makeHeader("x", 0), END];

const REFUSED: readonly [string, () => Uint8Array[], string][] = [
  ["[40] ../ at the start", name("../x"), 'name "../x" is not allowed'],
  ["[40] ../ in the middle", name("a/../../x"), "is not allowed"],
  ["[40] .. at the end", name("a/.."), "is not allowed"],
  ["[40] ./..", name("./../x"), "is not allowed"],
  ["[40] an absolute name", name("/etc/passwd"), "is not allowed"],
  ["[40] a name with a backslash", name("a\\..\\x"), "is not allowed"],
  ["[40] an empty name", name(""), "is not allowed"],
  ["[40] two slashes", name("a//b"), "is not allowed"],
  ["[40] ../ in pax", paxName("../x"), "is not allowed"],
  ["[40] an absolute name in pax", paxName("/x"), "is not allowed"],
  ["[40] a NUL in pax", paxName("a\0b"), "is not allowed"],
  ["[40] ../ in GNU's long name", () => [...extended("L", "../x\0"), makeHeader("x", 0), END], "is not allowed"],
  [
    "[40] ../ in a prefix",
    () => [makeHeader("x", 0, (block) => block.set(encoder.encode("../a"), 345)), END],
    "is not allowed",
  ],
  ["[40] a folder ../", () => [typed("5", "../"), END], "is not allowed"],
  ["[40] an absolute folder", () => [typed("5", "/"), END], "is not allowed"],
  ["[40] a name that is not UTF-8", () => [makeHeader("x", 0, (block) => block.set([0xff, 0xfe])), END], "not UTF-8"],
  ["[41] a hard link", () => [typed("1"), END], '"x" is a hard link'],
  ["[41] a symbolic link", () => [typed("2"), END], '"x" is a symbolic link'],
  ["[41] a character device", () => [typed("3"), END], "character device"],
  ["[41] a block device", () => [typed("4"), END], "block device"],
  ["[41] a FIFO", () => [typed("6"), END], "FIFO"],
  ["[41] a contiguous file", () => [typed("7"), END], "unknown type"],
  ["[41] GNU's long link", () => [...extended("K", "/etc/passwd\0"), typed("2"), END], "long link"],
  ["[44] a long name of 4 GiB", () => [typed("L", "x", 2 ** 32)], "claims 4294967296 bytes"],
  ["[44] a pax header of 4 GiB", () => [typed("x", "x", 2 ** 32)], "claims 4294967296 bytes"],
  ["[44] a global header of 65 KiB", () => [typed("g", "x", 65 * 1024)], "claims 66560 bytes"],
  ["[44] GNU's sparse file", () => [typed("S"), END], "sparse file"],
  [
    "[44] a sparse file in pax",
    () => [...extended("x", record("GNU.sparse.major=1")), makeHeader("x", 0), END],
    "sparse",
  ],
  ["[44] headers without end", () => Array(10_001).fill(typed("5", "blobs/")), "more than 10000 other headers"],
  ["a path in a global header", () => [...extended("g", record("path=x")), makeHeader("a", 0), END], "global header"],
  [
    "a pax record of the wrong length",
    () => [...extended("x", "99 path=x\n"), makeHeader("a", 0), END],
    "wrong length",
  ],
  ["a pax record of length 0", () => [...extended("x", "0 path=x\n"), makeHeader("a", 0), END], "wrong length"],
  ["a pax record that is cut", () => [...extended("x", "5 a="), makeHeader("a", 0), END], "wrong length"],
  ["a pax record without key", () => [...extended("x", "5 =a\n"), makeHeader("a", 0), END], "without a key"],
  [
    "a pax size that is negative",
    () => [...extended("x", record("size=-1")), makeHeader("a", 0), END],
    "size in an extended header is not a valid number",
  ],
  [
    "a negative size",
    () => [makeHeader("x", 0, (block) => block.fill(0xff, 124, 136)), END],
    "size in a header is not a valid number",
  ],
  [
    "a size that is not a number",
    () => [makeHeader("x", 0, (block) => block.set(encoder.encode("12x"), 124)), END],
    "size in a header is not a valid number",
  ],
  ["a wrong checksum", () => [formatTarHeader("x", 0).fill(0x61, 0, 1), END], "checksum"],
  ["[48] an empty file", () => [], "cut off after 0 bytes"],
  ["[48] no end blocks", () => [makeHeader("x", 0)], "cut off after 512 bytes"],
  ["[48] one end block", () => [makeHeader("x", 0), new Uint8Array(BLOCK_BYTES)], "cut off after 1024 bytes"],
  ["[48] a cut header", () => [makeHeader("x", 0).subarray(0, 300)], "cut off after"],
  ["[48] a cut file", () => [makeHeader("x", 1000), new Uint8Array(700)], 'cut off inside "x"'],
  ["[48] a cut padding", () => [makeHeader("x", 10), new Uint8Array(100)], "cut off after"],
  ["[48] an end after an extended header", () => [...extended("x", record("path=a")), END], "after an extended header"],
  [
    "an entry after a single block of zeros",
    () => [new Uint8Array(BLOCK_BYTES), makeHeader("x", 0), END],
    "continues after a single block of zeros",
  ],
  ["data after the end", () => [END, encoder.encode("more")], "data follows its end"],
  ["2 MiB of zeros after the end", () => [END, new Uint8Array(2 << 20)], "data follows its end"],
];

for (const [title, make, message] of REFUSED) {
  Deno.test(`${title.startsWith("[") ? title.slice(0, 5) : ""}TarReader refuses ${title.replace(/^\[\d+\] /, "")}`, async () => {
    const bytes = joinChunks(make());
    const error = await assertRejects(() => readTar(openTar(bytes)), CorruptError);
    assertStringIncludes(error.message, message);
  });
}
