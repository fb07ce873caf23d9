import { fuzzBundles } from "../fuzz/fuzz_bundles.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { TestFolder } from "../support/test_folder.ts";

// scripts/fuzz_bundles.ts runs many more, with any seed.
Deno.test("200 mutated bundles are imported correctly, or leave nothing visible", async () => {
  await using folder = await TestFolder.create();
  const { findings, table } = await fuzzBundles({ seed: 3, count: 200, folder: folder.path });
  assertEquals(findings, []);
  // Each kind of bundle has to be imported at least once and refused at least once; otherwise nothing was tested.
  const seeds = new Set(Object.keys(table).map((key) => key.split("\t")[0]!));
  for (const name of [...seeds].filter((name) => name !== "none")) {
    assert((table[`${name}\timported`] ?? 0) > 0 && (table[`${name}\tCorruptError`] ?? 0) > 0, name);
  }
});

Deno.test("of 450 mutated signed bundles, a site with a trusted key imports only what the key has signed", async () => {
  await using folder = await TestFolder.create();
  const { findings, table } = await fuzzBundles({ seed: 3, count: 450, isSigned: true, folder: folder.path });
  assertEquals(findings, []);
  const seeds = new Set(Object.keys(table).map((key) => key.split("\t")[0]!));
  for (const name of [...seeds].filter((name) => !["none", "document"].includes(name))) {
    assert((table[`${name}\timported`] ?? 0) > 0, name);
  }
  // A document that is imported has a change that does not count, such as one of index.json; the package is compared.
  assert(Object.entries(table).some(([key, count]) => key === "document\tRefusedError" && count > 50));
});
