import { listParts, refuseOverwrite } from "../../../../lib/cli/wiring/refuse_overwrite.ts";
import { UsageError } from "../../../../lib/oci/error.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";

/** A folder with a release, a link of each kind to it, a folder of objects, and parts of a bundle. */
async function createFolder() {
  const folder = await TestFolder.create();
  for (
    const name of [
      "k.json",
      "key",
      "objects/a.yaml",
      "objects/notes.txt",
      "b.part1of2.tgz",
      "b.part2of2.tgz",
      "b.tgz",
      ".b.part3of3.tgz.partial",
      ".out.tgz.partial",
      "objects/.x.tgz.partial",
    ]
  ) {
    await folder.write(name, name);
  }
  await Deno.symlink("objects/x.tgz", `${folder.path}/soft.tgz`);
  await Deno.symlink("k.json", `${folder.path}/soft.json`);
  await Deno.link(`${folder.path}/k.json`, `${folder.path}/hard.json`);
  return folder;
}

const outputs: [what: string, output: string, inputs: string[], isRefused: boolean][] = [
  ["an input", "k.json", ["k.json"], true],
  ["an input by another spelling", "./objects/../k.json", ["k.json"], true],
  ["a symbolic link to an input", "soft.json", ["k.json"], true],
  ["a hard link of an input", "hard.json", ["k.json"], true],
  ["a partial file that is an input", "out.tgz", [".out.tgz.partial"], true],
  ["a link to a file whose partial file is an input", "soft.tgz", ["objects/.x.tgz.partial"], true],
  ["a partial file that is no input", "out.tgz", ["k.json"], false],
  ["standard output", "-", ["k.json"], false],
  ["the private key", "key", ["k.json", "key"], true],
  ["a file of objects in a folder that is read", "objects/a.yaml", ["objects"], true],
  ["another file in a folder that is read", "objects/notes.txt", ["objects"], false],
  ["a new file in a folder that is read", "objects/new.yaml", ["objects"], false],
  ["a missing file", "new.tgz", ["k.json", "missing.json"], false],
  ["another file", "key", ["k.json", "http://127.0.0.1/k.json", "-"], false],
  ["a device", "/dev/null", ["/dev/null"], false],
];
for (const [what, output, inputs, isRefused] of outputs) {
  Deno.test(`refuseOverwrite() ${isRefused ? "refuses" : "allows"} ${what}`, async () => {
    await using folder = await createFolder();
    const at = (name: string) => /^(?:\/|-$|http:)/.test(name) ? name : `${folder.path}/${name}`;
    const refusing = refuseOverwrite([at("missing"), at(output)], inputs.map(at));
    if (!isRefused) return await refusing;
    const { message } = await assertRejects(() => refusing, UsageError, ": the command reads this file");
    assertStringIncludes(message, what.includes("partial file") ? ".tgz.partial" : `Cannot write ${at(output)}:`);
  });
}

Deno.test("listParts() lists the parts of a bundle that exist", async () => {
  await using folder = await createFolder();
  const names = (await listParts(`${folder.path}/b.tgz`)).map((path) => path.slice(folder.path.length + 1)).sort();
  assertEquals(names, ["b.part1of2.tgz", "b.part2of2.tgz", "b.part3of3.tgz"]);
});
