import { BoundNodes } from "../../../../lib/agent/client/bound_nodes.ts";
import { CorruptError, RefusedError } from "../../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";

const nodeOf = (number: number) => ({ url: `https://10.0.0.${number}:36060`, token: `token-${number}` });

Deno.test("BoundNodes keeps agents in a file that only its owner can read, also when several are added at once", async () => {
  await using folder = await TestFolder.create();
  const nodes = new BoundNodes(folder.path);
  assertEquals(await nodes.list(), []);
  await Promise.all([3, 1, 2].map((number) => nodes.add(nodeOf(number))));
  assertEquals(await new BoundNodes(folder.path).list(), [1, 2, 3].map(nodeOf));
  assertEquals((await Deno.stat(`${folder.path}/kubepkg/.nodes.json`)).mode! & 0o777, 0o600);
  await nodes.add({ ...nodeOf(2), token: "new", ca: "PEM" });
  assertEquals(await nodes.find(nodeOf(2).url), { ...nodeOf(2), token: "new", ca: "PEM" });
  await nodes.remove(nodeOf(2).url);
  assertEquals(await nodes.find(nodeOf(2).url), undefined);
  assertEquals([...Deno.readDirSync(`${folder.path}/kubepkg`)].map(({ name }) => name), [".nodes.json"]);
});

Deno.test("BoundNodes refuses more agents than it asks at once", async () => {
  await using folder = await TestFolder.create();
  const list = Array.from({ length: 200 }, (_, i) => nodeOf(i));
  await folder.write("kubepkg/.nodes.json", JSON.stringify({ nodes: list }));
  const nodes = new BoundNodes(folder.path);
  await assertRejects(() => nodes.add(nodeOf(200)), RefusedError, "200 agents are known already");
  await nodes.add(nodeOf(7));
});

for (
  const text of ["", "{", "[]", "{}", '{"nodes":[{"url":"https://a"}]}', '{"nodes":[{"url":"a","token":"b","ca":1}]}']
) {
  Deno.test(`BoundNodes names a file that is no list of agents: ${text}`, async () => {
    await using folder = await TestFolder.create();
    await folder.write("kubepkg/.nodes.json", text);
    const nodes = new BoundNodes(folder.path);
    await assertRejects(() => nodes.list(), CorruptError, ".nodes.json");
    await assertRejects(() => nodes.add(nodeOf(1)), CorruptError, ".nodes.json");
    assertEquals(await Deno.readTextFile(`${folder.path}/kubepkg/.nodes.json`), text);
  });
}
