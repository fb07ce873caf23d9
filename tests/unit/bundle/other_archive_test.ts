import { notABundle, notATar } from "../../../lib/bundle/other_archive.ts";
import { assertEquals } from "../../support/assert.ts";

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
  ] as const
) {
  Deno.test(`the advice for standard input ends with a command: ${end}`, () => {
    assertEquals(error.message.slice(-end.length), end);
  });
}
