import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { formatInventory, listInventory, parseInventory } from "../../../lib/store/inventory.ts";
import { blobPath } from "../../../lib/store/layout.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

const [A, B] = [computeDigest("a"), computeDigest("b", "sha512")];
const encode = (text: string) => new TextEncoder().encode(text);
const read = (text: string) => [...parseInventory(encode(text), "have.json").digests];

Deno.test("listInventory() lists only complete blobs, sorted", async () => {
  await using folder = await TestFolder.create();
  assertEquals(await listInventory(`${folder.path}/none`), []);
  const digests = ["x", "y", "z", ""].map((text) => [computeDigest(text), text] as const);
  for (const [digest, text] of digests) await folder.write(blobPath(digest), text);
  await folder.write(blobPath(B), "b");
  // Not listed: a truncated blob, a symbolic link, a folder without a file, a name that is not a digest, a partial
  // file.
  await folder.write(blobPath(computeDigest("torn")), "");
  const linked = computeDigest("linked");
  await Deno.mkdir(`${folder.path}/${blobPath(linked).replace(/\/data$/, "")}`, { recursive: true });
  await Deno.symlink("/etc/hostname", `${folder.path}/${blobPath(linked)}`);
  await Deno.mkdir(`${folder.path}/${blobPath(computeDigest("empty")).replace(/\/data$/, "")}`, { recursive: true });
  await folder.write("docker/registry/v2/blobs/sha256/ab/abc/data", "x");
  await folder.write(`ingest/${A.replace(":", "-")}.partial`, "a");
  assertEquals(await listInventory(folder.path), [...digests.map(([digest]) => digest), B].sort());
});

Deno.test("formatInventory() writes one digest per line, and parseInventory() reads it back", async () => {
  for (const digests of [[], [A], [A, B]] as Digest[][]) {
    for (const more of [{}, { models: ["go6/1"], publicKey: "[]" }]) {
      const text = (await Array.fromAsync(formatInventory({ digests, ...more }))).join("");
      assertEquals(text, `${JSON.stringify({ digests, ...more }, undefined, 2)}\n`);
      assertEquals(read(text), digests);
    }
  }
});

Deno.test("formatInventory() writes a long inventory in small pieces, and reads the digests one at a time", async () => {
  const digests = Array.from({ length: 3000 }, (_, i) => computeDigest(`${i}`));
  let given = 0;
  function* walk() {
    for (const digest of digests) {
      given++;
      yield digest;
    }
  }
  const pieces: string[] = [];
  for await (const piece of formatInventory({ digests: walk() })) {
    if (pieces.length === 0) assert(given < 1000, `${given} digests for the first piece`);
    pieces.push(piece);
  }
  assert(pieces.every(({ length }) => length < 66_000), "a large piece");
  assertEquals(read(pieces.join("")), digests);
});

for (
  const [title, text] of [
    ["one digest per line", `${A}\n${B}\n`],
    ["a last line without a newline", `${A}\n${B}`],
    ["CRLF lines after a byte order mark", `\ufeff${A}\r\n${B}\r\n`],
    ["lines with text after the digest, and empty lines", `\n  ${A}  12 MiB nginx\n\n${B}\t# config\n`],
    ["duplicate digests", `${A}\n${B}\n${A}\n`],
    ["JSON after a byte order mark", `\ufeff{"digests": ["${A}", "${B}"]}`],
    ["JSON with other fields", JSON.stringify({ node: "n1", digests: [A, B] })],
  ]
) {
  Deno.test(`parseInventory() reads ${title}`, () => assertEquals(read(text!), [A, B]));
}

for (
  const [title, text, message] of [
    ["an empty document", "", "it is empty"],
    ["blank lines", "\n \n", "it is empty"],
    ["a line without a digest", `${A}\n<html>\n`, "line 2 does not begin with sha256:<64 hex>"],
    ["a digest that is too long", `${A}0\n`, "line 1 does not begin"],
    ["truncated JSON", `{"digests": ["${A}"`, "have.json as JSON"],
    ["a JSON array", `["${A}"]`, 'it has no "digests" list'],
    ["JSON without digests", `{"digest": "${A}"}`, 'it has no "digests" list'],
    ["a value that is not a digest", `{"digests": ["${A}", "sha256:1"]}`, "digests[1]: must be sha256"],
  ] as const
) {
  Deno.test(`parseInventory() refuses ${title}`, () => {
    const { message: actual } = assertThrows(() => read(text), CorruptError);
    assertStringIncludes(actual, "have.json");
    assertStringIncludes(actual, message);
  });
}
