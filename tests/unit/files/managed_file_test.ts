import { ManagedFile } from "../../../lib/files/managed_file.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

Deno.test("ManagedFile refuses to change a file that is not UTF-8, and preserves a byte order mark", async () => {
  await using folder = await TestFolder.create();
  const latin = new Uint8Array([0x23, 0xe9, 0x0a]);
  const path = await folder.write("registries.yaml", latin);
  const file = await ManagedFile.open(path, folder.path);
  await assertRejects(() => file.write("mirrors:\n"), Error, "it is not UTF-8");
  assertEquals([await folder.listFiles(), await Deno.readFile(path)], [["registries.yaml"], latin]);

  const marked = new Uint8Array([0xef, 0xbb, 0xbf, 0x23, 0x0a]);
  await Deno.writeFile(path, marked);
  await file.write("mirrors:\n");
  await file.restore();
  assertEquals(await Deno.readFile(path), marked);
});
