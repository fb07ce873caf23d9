import { assert, assertEquals } from "../support/assert.ts";
import { fuzzBundles } from "../fuzz/fuzz_bundles.ts";
import { TestFolder } from "../support/test_folder.ts";

// scripts/fuzz_bundles.ts runs many more, from any seed.
Deno.test("300 mutated bundles import nothing that can be seen, or what is right", async () => {
  await using folder = await TestFolder.create();
  const { findings, table } = await fuzzBundles({ seed: 1, count: 300, folder: folder.path });
  assertEquals(findings, []);
  // Each kind of bundle was imported, and refused: else nothing was tried.
  const seeds = new Set(Object.keys(table).map((key) => key.split("\t")[0]!));
  for (const name of [...seeds].filter((name) => name !== "none")) {
    assert((table[`${name}\timported`] ?? 0) > 0 && (table[`${name}\tCorruptError`] ?? 0) > 0, name);
  }
});
