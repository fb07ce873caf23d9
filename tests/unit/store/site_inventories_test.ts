import { computeDigest } from "../../../lib/oci/digest.ts";
import { CorruptError, RegistryError } from "../../../lib/oci/error.ts";
import { SiteInventories } from "../../../lib/store/site_inventories.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

const DIGEST = computeDigest("content");
const INVENTORY = new TextEncoder().encode(JSON.stringify({ digests: [DIGEST] }));

Deno.test("an inventory is kept by its name, replaced, read and removed", async () => {
  await using folder = await TestFolder.create();
  const sites = new SiteInventories(folder.path);
  assertEquals(await sites.list(), []);
  await sites.save("gate-2", new TextEncoder().encode(`${DIGEST}\n`));
  await sites.save("gate-2", INVENTORY);
  await sites.save("Bay.1", INVENTORY);
  await folder.write("inventories/.hidden.json", "{}");
  await folder.write("inventories/notes.txt", "");
  assertEquals((await sites.list()).map(({ name, size }) => [name, size]), [
    ["Bay.1", INVENTORY.length],
    ["gate-2", INVENTORY.length],
  ]);
  assertEquals((await sites.read("gate-2")).has(DIGEST), true);
  await sites.remove("gate-2");
  assertEquals((await sites.list()).map(({ name }) => name), ["Bay.1"]);
  await assertRejects(() => sites.read("gate-2"), RegistryError, "there is none of that name");
  await assertRejects(() => sites.remove("gate-2"), RegistryError, "there is none of that name");
});

for (const name of ["", ".", "..", "../a", "a/b", "a\0", "<img>", "-", "a".repeat(101), "ä"]) {
  Deno.test(`${JSON.stringify(name.slice(0, 10))} is no name of an inventory`, async () => {
    await using folder = await TestFolder.create();
    const sites = new SiteInventories(folder.path);
    await assertRejects(() => sites.save(name, INVENTORY), RegistryError, "Cannot use the name");
    await assertRejects(() => sites.read(name), RegistryError, "Cannot use the name");
    await assertRejects(() => sites.remove(name), RegistryError, "Cannot use the name");
    assertEquals(await folder.listFiles(""), []);
  });
}

Deno.test("what is no inventory does not replace one", async () => {
  await using folder = await TestFolder.create();
  const sites = new SiteInventories(folder.path);
  await sites.save("gate-2", INVENTORY);
  await assertRejects(() => sites.save("gate-2", new TextEncoder().encode("<html>")), CorruptError, "the inventory");
  assertEquals((await sites.read("gate-2")).has(DIGEST), true);
});
