import { ifPresent, ifPresentSync, listFolder } from "../../../lib/files/if_present.ts";
import { assertEquals, assertRejects, assertThrows } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

Deno.test("ifPresent: gives undefined for a missing file, and for a path through a file", async () => {
  await using folder = await TestFolder.create();
  const file = await folder.write("file", "text");
  const rows = [
    { path: file, expected: "text" },
    { path: `${folder.path}/missing`, expected: undefined },
    { path: `${folder.path}/missing/file`, expected: undefined },
    { path: `${file}/below`, expected: undefined },
  ];
  for (const { path, expected } of rows) {
    assertEquals(await ifPresent(Deno.readTextFile(path)), expected, path);
    assertEquals(ifPresentSync(() => Deno.readTextFileSync(path)), expected, path);
  }
});

Deno.test("ifPresent: throws any other error", async () => {
  await using folder = await TestFolder.create();
  await assertRejects(() => ifPresent(Deno.readTextFile(folder.path)), Error, "directory");
  assertThrows(() => ifPresentSync(() => Deno.readTextFileSync(folder.path)), Error, "directory");
});

Deno.test("listFolder: gives the entries, and undefined for a missing folder and for a file", async () => {
  await using folder = await TestFolder.create();
  const file = await folder.write("file", "text");
  assertEquals((await listFolder(folder.path))?.map(({ name }) => name), ["file"]);
  assertEquals(await listFolder(`${folder.path}/missing`), undefined);
  assertEquals(await listFolder(file), undefined);
});
