import { ImageUse } from "../../../../lib/cli/serving/image_use.ts";
import type { Digest } from "../../../../lib/oci/digest.ts";
import { assertEquals } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";

const FILE = "ingest/image-use.json";
const digest: Digest = `sha256:${"a".repeat(64)}`;
const IMAGE = { reference: "registry.test:5000/app:1", digest };
const TIME = Date.parse("2026-11-28T08:00:00Z");

Deno.test("ImageUse keeps the times over a restart, and writes only what has changed", async () => {
  await using folder = await TestFolder.create();
  {
    const use = await ImageUse.read(folder.path, () => TIME);
    await using _saving = use.startSaving(folder.path);
    use.record({ repo: "registry.test:5000/app", digest });
    use.record({ repo: "registry.test:5000/app", digest: undefined });
  }
  const again = await ImageUse.read(folder.path, () => TIME + 1000);
  assertEquals(again.find(IMAGE), new Date(TIME));
  await Deno.remove(`${folder.path}/${FILE}`);
  await again.save(folder.path);
  assertEquals(await folder.listFiles(), []);
});

for (
  const [what, text] of [
    ["torn", '{"registry.test:5000/app@'],
    ["a list", "[1]"],
    ["null", "null"],
    ["of other types", JSON.stringify({ [`registry.test:5000/app@${digest}`]: "yesterday" })],
    ["out of range", JSON.stringify({ [`registry.test:5000/app@${digest}`]: 1e300 })],
  ] as const
) {
  Deno.test(`ImageUse ignores a file that is ${what}`, async () => {
    await using folder = await TestFolder.create();
    await folder.write(FILE, text);
    assertEquals((await ImageUse.read(folder.path)).find(IMAGE), undefined);
  });
}

Deno.test("ImageUse does not fail where nothing can be written", async () => {
  await using folder = await TestFolder.create();
  const use = new ImageUse();
  use.record({ repo: "registry.test:5000/app", digest });
  await use.startSaving(await folder.write("a-file", ""))[Symbol.asyncDispose]();
});
