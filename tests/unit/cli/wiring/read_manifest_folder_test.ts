import { readManifestFolder } from "../../../../lib/cli/wiring/read_manifest_folder.ts";
import { CorruptError } from "../../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";

const LIMIT = 1000;

Deno.test("[83] readManifestFolder() reads manifests of all folders, sorted by path, links too", async () => {
  await using folder = await TestFolder.create();
  for (const name of ["b.yaml", "a/z.yml", "a/b/c.JSON", ".hidden/x.yaml", "a/.x.yaml", "notes.txt"]) {
    await folder.write(name, name);
  }
  await Deno.symlink("..", `${folder.path}/a/loop`);
  await Deno.symlink("../b.yaml", `${folder.path}/a/link.yaml`);
  const files = await readManifestFolder(`${folder.path}/`, LIMIT);
  assertEquals(
    files.map(({ path, bytes }) => [path.slice(folder.path.length + 1), new TextDecoder().decode(bytes)]),
    [["a/b/c.JSON", "a/b/c.JSON"], ["a/link.yaml", "b.yaml"], ["a/z.yml", "a/z.yml"], ["b.yaml", "b.yaml"]],
  );
});

Deno.test("[51] readManifestFolder() is bounded in bytes and depth", async () => {
  await using folder = await TestFolder.create();
  await folder.write("a.yaml", "x".repeat(600));
  await folder.write("b.yaml", "x".repeat(600));
  await assertRejects(() => readManifestFolder(folder.path, LIMIT), CorruptError, "more than 1000 bytes");
  await folder.write(`${"d/".repeat(40)}a.yaml`, "x");
  await assertRejects(() => readManifestFolder(folder.path, LIMIT), CorruptError, "nested deeper than 32 folders");
});
