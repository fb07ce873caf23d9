import { assertEquals } from "@std/assert";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { Links } from "../../../lib/store/links.ts";
import { TestFolder } from "../../support/test_folder.ts";

const [ONE, TWO] = [computeDigest("one"), computeDigest("two")];
const HOUR = 60 * 60 * 1000;

function openLinks({ path: root }: TestFolder, now: number): Links {
  return new Links({ root, warn: () => {}, temporaryPath: () => `${root}/link.tmp`, now: () => now });
}

/** What happens to a link between two reads, and what the second one gives. */
const CHANGES: readonly [string, (path: string) => Promise<void>, string | undefined][] = [
  ["it is replaced", async (path) => {
    await Deno.writeTextFile(`${path}.new`, TWO);
    await Deno.rename(`${path}.new`, path);
  }, TWO],
  ["it is rewritten in its place", (path) => Deno.writeTextFile(path, TWO), TWO],
  ["it is removed", (path) => Deno.remove(path), undefined],
  ["it is torn", (path) => Deno.writeTextFile(path, "sha256:12"), undefined],
  ["nothing", () => Promise.resolve(), ONE],
  ["[65] a symbolic link takes its place", async (path) => {
    await Deno.writeTextFile(`${path}.other`, TWO);
    await Deno.remove(path);
    await Deno.symlink(`${path}.other`, path);
  }, undefined],
];
// Read long after it was written, and at once, when a second change need not show in the file's time.
for (const [when, later] of [["an old", HOUR], ["a new", 0]] as const) {
  for (const [what, change, expected] of CHANGES) {
    Deno.test(`Links.read() of ${when} link sees what happens between two reads: ${what}`, async () => {
      await using folder = await TestFolder.create();
      const path = await folder.write("link", ONE);
      const past = new Date(Date.now() - HOUR);
      await Deno.utime(path, past, past);
      const links = openLinks(folder, past.getTime() + later);
      assertEquals(links.read("link"), ONE);
      await change(path);
      assertEquals(links.read("link"), expected);
    });
  }
}

Deno.test("Links.read() believes no memory of a link that may have been replaced within the same moment", async () => {
  await using folder = await TestFolder.create();
  const moment = new Date();
  const links = openLinks(folder, moment.getTime());
  for (const digest of [ONE, TWO]) {
    // The same inode, and the same time.
    const path = await folder.write("link", digest);
    await Deno.utime(path, moment, moment);
    assertEquals(links.read("link"), digest);
  }
});
