import { gzipSync } from "node:zlib";
import type { TarEntry } from "../../../lib/archive/tar_reader.ts";
import { explainOther, notABundle, notATar } from "../../../lib/bundle/other_archive.ts";
import { readBundle } from "../../../lib/bundle/read_bundle.ts";
import { signBundle } from "../../../lib/bundle/sign_bundle.ts";
import { FileSource } from "../../../lib/bytes/file_source.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { CountedFile } from "../../support/counted_file.ts";
import { makeTar } from "../../support/tar.ts";

const text = (it: string) => new TextEncoder().encode(it);
const FORMATS: readonly (readonly [what: string, head: Uint8Array, isOther: boolean, reason: string])[] = [
  ["zip", text("PK\x03\x04..."), true, "it is a zip archive, which"],
  ["an empty zip", text("PK\x05\x06"), true, "it is a zip archive, which"],
  ["xz", new Uint8Array([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), true, "it is compressed with xz, which"],
  ["bzip2", text("BZh91AY"), true, "it is compressed with bzip2, which"],
  ["lz4", new Uint8Array([4, 0x22, 0x4d, 0x18]), true, "it is compressed with lz4, which"],
  ["7z", new Uint8Array([0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c]), true, "it is a 7z archive, which"],
  ["JSON", text('\n { "kind": "KubePkg" }'), false, "it is not a bundle (neither gzip, zstd nor tar); crpe pack makes"],
  ["text", text("hello"), false, "it is not a bundle (neither gzip, zstd nor tar)"],
  ["the start of xz", new Uint8Array([0xfd, 0x37]), false, "it is not a bundle (neither gzip, zstd nor tar)"],
  ["nothing", text(""), false, "it is empty"],
];
for (const [what, head, isOther, reason] of FORMATS) {
  Deno.test(`notATar() names ${what}`, () => {
    const error = notATar(head, "a.tgz", "bundle");
    const start = `Cannot read a.tgz: ${reason}`;
    assertEquals([error.exit, error.message.slice(0, start.length)], [isOther ? 1 : 4, start]);
  });
}

for (
  const [entry, reason] of [
    ["manifest.json", "this is a docker save archive, not a bundle: crpe load a.tgz"],
    [`${"a".repeat(64)}/`, "this is a docker save archive, not a bundle: crpe load a.tgz"],
    [
      "blobs/sha256/00",
      "this is an image archive (docker save, podman save or OCI layout), not a bundle: crpe load a.tgz",
    ],
    ["web/Chart.yaml", "this is a Helm chart, not a bundle: helm template a.tgz"],
    ["notes.txt", 'this is a tar archive, but not a bundle: its first entry is "notes.txt", not kubepkg.json'],
    [undefined, "it has no files, not kubepkg.json"],
  ] as const
) {
  Deno.test(`notABundle() names an archive that begins with ${entry}`, () => {
    const error = notABundle(entry, "a.tgz");
    assertEquals([error.exit, error.message], [1, `Cannot use a.tgz: ${reason}`]);
  });
}

for (
  const [error, end] of [
    [notATar(text("BZh91AY"), "standard input", "bundle"), "unpack it first: bzip2 -d"],
    [notATar(text("{}"), "standard input", "bundle"), "of a release: crpe pack"],
    [notABundle("index.json", "standard input"), "not a bundle: crpe load"],
    [notATar(text("BZh91AY"), "the bundle", "bundle"), "unpack it first: bzip2 -d FILE"],
    [notATar(text("{}"), "the bundle", "bundle"), "of a release: crpe pack FILE"],
    [notABundle("index.json", "the bundle"), "not a bundle: crpe load FILE"],
  ] as const
) {
  Deno.test(`the advice for an input without a name ends with a command: ${end}`, () => {
    assertEquals(error.message.slice(-end.length), end);
  });
}

const SIGNED = { "kubepkg.json": "{}", "kubepkg.json.sig": "a" };
const BLOBS = { "blobs/sha256/00": "a", "index.json": "{}" };
const ADVICE = "unpack it, and pack it again in its folder: tar czf NEW.tgz kubepkg.json* [!k]*";
const inFolder = (files: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(files).map(([name, content]) => [`app/${name}`, content]));
for (
  const [what, files, reason] of [
    [
      "tar czf FILE *",
      { ...BLOBS, ...SIGNED },
      `this is a bundle that was packed again: its first file is blobs/sha256/00, and not kubepkg.json; ${ADVICE}`,
    ],
    [
      "tar czf FILE . with its signatures first",
      { "kubepkg.json.sig": "a", "kubepkg.json": "{}", ...BLOBS },
      `this is a bundle that was packed again: its first file is kubepkg.json.sig, and not kubepkg.json; ${ADVICE}`,
    ],
    [
      "tar of a bundle with deltas",
      { "deltas/sha256/00": "a", ...SIGNED },
      `this is a bundle that was packed again: its first file is deltas/sha256/00, and not kubepkg.json; ${ADVICE}`,
    ],
    [
      "tar of a part",
      { "pieces/sha256/00/0": "a", ...SIGNED },
      `this is a bundle that was packed again: its first file is pieces/sha256/00/0, and not kubepkg.json; ${ADVICE}`,
    ],
    [
      "tar czf FILE FOLDER",
      inFolder({ ...BLOBS, ...SIGNED }),
      `this is a bundle that was packed again: its files are in the folder app/; ${ADVICE}`,
    ],
    [
      "tar czf FILE FOLDER, with kubepkg.json first",
      inFolder({ ...SIGNED, ...BLOBS }),
      `this is a bundle that was packed again: its files are in the folder app/; ${ADVICE}`,
    ],
    [
      "docker save",
      BLOBS,
      "this is an image archive (docker save, podman save or OCI layout), not a bundle: crpe load a.tgz",
    ],
    [
      "tar of other files",
      { "README.md": "a", ...SIGNED },
      'this is a tar archive, but not a bundle: its first entry is "README.md", not kubepkg.json',
    ],
  ] as const
) {
  Deno.test(`[112] readBundle() and signBundle() name what was written with ${what}`, async () => {
    for (const bytes of [makeTar(files), new Uint8Array(gzipSync(makeTar(files)))]) {
      const open = () => new FileSource(new CountedFile(bytes));
      const output = { write: () => Promise.reject(new Error("written")) };
      for (
        const act of [
          () => readBundle(open(), { what: "a.tgz" }),
          () => signBundle(open(), output, { what: "a.tgz", sign: () => [] }),
        ]
      ) {
        const error = await assertRejects(act, CorruptError);
        assertEquals([error.exit, error.message], [1, `Cannot use a.tgz: ${reason}`]);
      }
    }
  });
}

Deno.test("[112] readBundle() does not read on after the first file of a stream, or of a file that is cut off", async () => {
  const whole = makeTar({ ...BLOBS, ...SIGNED });
  const sources = [new Blob([whole]).stream(), new FileSource(new CountedFile(whole.subarray(0, 1600)))];
  for (const source of sources) {
    const error = await assertRejects(() => readBundle(source, { what: "a.tgz" }), CorruptError);
    assertEquals(error.message, notABundle("blobs/sha256/00", "a.tgz").message);
  }
});

const sized = (size: number) => ({ name: "blobs/sha256/00", size });
for (
  const [what, before, isFound] of [
    ["1,000 files", Array(1000).fill(sized(0)), true],
    ["1,001 files", Array(1001).fill(sized(0)), false],
    ["256 MiB", [sized(256 * 1024 * 1024)], true],
    ["more than 256 MiB", [sized(1), sized(256 * 1024 * 1024)], false],
  ] as const
) {
  Deno.test(`[112] explainOther() ${isFound ? "finds" : "does not search for"} kubepkg.json behind ${what}`, async () => {
    const [first, ...others] = before;
    const entries = [...others, { name: "kubepkg.json", size: 2 }];
    const tar = { next: () => Promise.resolve(entries.shift() as TarEntry | undefined) };
    const source = new FileSource(new CountedFile(new Uint8Array()));
    const error = await explainOther(tar, first, { source, what: "a.tgz" });
    assertEquals(error.message.includes("packed again"), isFound);
    assertEquals(entries.length, isFound ? 0 : 1);
  });
}
