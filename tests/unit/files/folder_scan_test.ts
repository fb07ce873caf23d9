import { listFoldersSync } from "../../../lib/files/folder_scan.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

Deno.test("listFoldersSync() lists folders, sorted, and takes only a missing folder for an empty one", async () => {
  await using folder = await TestFolder.create();
  for (const name of ["b", "a", "B"]) await Deno.mkdir(`${folder.path}/${name}`);
  await folder.write("file", "");
  assertEquals(listFoldersSync(folder.path), ["B", "a", "b"]);
  assertEquals(listFoldersSync(`${folder.path}/missing`), []);
  for (const path of ["file", "file/below"]) {
    assertEquals(listFoldersSync(`${folder.path}/${path}`), []);
    const list = () => listFoldersSync(`${folder.path}/${path}`, { refusesLinks: true });
    assertThrows(list, Error, "is a file");
  }
  await Deno.symlink("loop", `${folder.path}/loop`);
  assertThrows(() => listFoldersSync(`${folder.path}/loop`), Error);
  assertEquals(listFoldersSync(folder.path), ["B", "a", "b"]);
  assertThrows(() => listFoldersSync(folder.path, { refusesLinks: true }), Error, "it is a symbolic link");
});
