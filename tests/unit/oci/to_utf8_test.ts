import { parseImageList } from "../../../lib/bundle/image_list.ts";
import { readDocuments } from "../../../lib/kubepkg/read_kubepkg.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { decodeText } from "../../../lib/oci/to_utf8.ts";
import { parseInventory } from "../../../lib/store/inventory.ts";
import { HeldContent } from "../../../lib/store/held_content.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const DIGEST = `sha256:${"ab".repeat(32)}` as const;

/** What Windows PowerShell and editors make of a text. */
const ENCODINGS: readonly (readonly [what: string, encode: (text: string) => Uint8Array])[] = [
  ["UTF-8", (text) => new TextEncoder().encode(text)],
  ["UTF-8 with a byte order mark", (text) => new TextEncoder().encode(`\ufeff${text}`)],
  ["UTF-16LE", (text) => utf16(text, true)],
  ["UTF-16BE", (text) => utf16(text, false)],
];

function utf16(text: string, isLittle: boolean): Uint8Array {
  const view = new DataView(new ArrayBuffer(2 * text.length + 2));
  [..."\ufeff" + text].forEach((character, i) => view.setUint16(2 * i, character.charCodeAt(0), isLittle));
  return new Uint8Array(view.buffer);
}

/** The texts that people give to crpe, and what is read of them. */
const READERS:
  readonly (readonly [what: string, text: string, read: (bytes: Uint8Array) => unknown, value: unknown])[] = [
    ["a text", "grün\r\n", (bytes) => decodeText(bytes, "a"), "grün\r\n"],
    ["an inventory", `{\r\n"digests": ["${DIGEST}"]}`, (bytes) => [...parseInventory(bytes, "a").digests], [DIGEST]],
    ["a list of digests", `${DIGEST}\r\n`, (bytes) => [...parseInventory(bytes, "a").digests], [DIGEST]],
    [
      "--have",
      `\r\n{"digests": ["${DIGEST}"]}`,
      (bytes) => {
        const have = new HeldContent();
        have.addInventory(bytes, "a");
        return have.has(DIGEST);
      },
      true,
    ],
    ["an image list", "nginx:1\r\n# x\r\n", (bytes) => parseImageList(bytes, "a"), ["docker.io/library/nginx:1"]],
    ["manifests", "a: b\r\n", (bytes) => readDocuments(bytes, "a"), [{ a: "b" }]],
  ];

for (const [encoding, encode] of ENCODINGS) {
  for (const [what, text, read, value] of READERS) {
    Deno.test(`[84] ${what} is read in ${encoding}`, () => assertEquals(read(encode(text)), value));
  }
}

Deno.test("[84] a byte order mark of UTF-16 before something else is an error", () => {
  assertThrows(() => decodeText(new Uint8Array([0xff, 0xfe, 0x41]), "have.json"), CorruptError, "says UTF-16");
});
