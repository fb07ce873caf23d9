import { assertEquals } from "@std/assert";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { Links } from "../../../lib/store/links.ts";
import { WriteHealth } from "../../../lib/store/write_health.ts";
import { TestFolder } from "../../support/test_folder.ts";

const [ONE, TWO] = [computeDigest("one"), computeDigest("two")];
const HOUR = 60 * 60 * 1000;

function openLinks({ path: root }: TestFolder, now: number): Links {
  const health = new WriteHealth({ warn: () => {} });
  return new Links({ root, warn: () => {}, health, cacheBytes: Infinity, now: () => now });
}

/** A change to a link between two reads, and the result of the second read. */
const CHANGES: readonly [string, (path: string) => Promise<void>, string | undefined][] = [
  ["it is replaced by a rename", async (path) => {
    await Deno.writeTextFile(`${path}.new`, TWO);
    await Deno.rename(`${path}.new`, path);
  }, TWO],
  ["it is rewritten in place", (path) => Deno.writeTextFile(path, TWO), TWO],
  ["it is removed", (path) => Deno.remove(path), undefined],
  ["it is torn", (path) => Deno.writeTextFile(path, "sha256:12"), undefined],
  ["it is unchanged", () => Promise.resolve(), ONE],
  ["[65] it is replaced by a symbolic link", async (path) => {
    await Deno.writeTextFile(`${path}.other`, TWO);
    await Deno.remove(path);
    await Deno.symlink(`${path}.other`, path);
  }, undefined],
];
// An old link is read long after it was written. A new one is read at once, when a further change may leave the file's
// time stamp the same.
for (const [when, later] of [["an old", HOUR], ["a new", 0]] as const) {
  for (const [what, change, expected] of CHANGES) {
    Deno.test(`Links.read() detects a change of ${when} link between two reads: ${what}`, async () => {
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

Deno.test("Links.read() does not cache a link that may be replaced within the same time stamp", async () => {
  await using folder = await TestFolder.create();
  const moment = new Date();
  const links = openLinks(folder, moment.getTime());
  for (const digest of [ONE, TWO]) {
    // The same inode and time stamp both times.
    const path = await folder.write("link", digest);
    await Deno.utime(path, moment, moment);
    assertEquals(links.read("link"), digest);
  }
});

Deno.test("[25] Links.write() writes one after the other: the last one counts", async () => {
  await using folder = await TestFolder.create();
  for (let round = 0; round < 20; round++) {
    const links = openLinks(folder, Date.now());
    await Promise.all([ONE, TWO, ONE].map((digest) => links.write(`${round}/link`, digest)));
    assertEquals(links.read(`${round}/link`), ONE);
  }
});
