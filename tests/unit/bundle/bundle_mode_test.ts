import { writeBundleFile } from "../../../lib/bundle/write_bundle_file.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

const modeOf = async (path: string) => (await Deno.stat(path)).mode! & 0o777;
const [TEXT, IGNORED] = [new TextEncoder().encode("content"), new Uint8Array(1)];

Deno.test("[79] a bundle and its partial file are readable by their owner alone", async () => {
  await using folder = await TestFolder.create();
  const [path, partial] = [`${folder.path}/a.tgz`, `${folder.path}/.a.tgz.partial`];
  await assertRejects(() =>
    writeBundleFile(path, async (output) => {
      await output.write(TEXT);
      throw new Error("interrupted");
    })
  );
  assertEquals(await modeOf(partial), 0o600);
  await writeBundleFile(path, async (output) => await output.write(TEXT));
  assertEquals(await modeOf(path), 0o600);
});

Deno.test("[79] a bundle that others could read is not readable by them once it is written again", async () => {
  await using folder = await TestFolder.create();
  const [path, partial] = [await folder.write("a.tgz", "old"), await folder.write(".a.tgz.partial", "old")];
  for (const file of [path, partial]) await Deno.chmod(file, 0o644);
  await writeBundleFile(path, async (output) => {
    assertEquals(await modeOf(partial), 0o600);
    await output.write(TEXT);
  });
  assertEquals(await modeOf(path), 0o600);
});

Deno.test("[79] a pipe or a device that a bundle is written to keeps its mode", async () => {
  const before = await modeOf("/dev/null");
  await writeBundleFile("/dev/null", async (output) => await output.write(IGNORED));
  assertEquals(await modeOf("/dev/null"), before);
});
