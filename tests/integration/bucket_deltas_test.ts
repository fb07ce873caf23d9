import { assert, assertEquals, assertLess } from "../support/assert.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { createDeltaFixture, DELTA_REPO } from "../support/delta_fixture.ts";
import { peerTest } from "../support/peers.ts";
import { serveMemoryS3 } from "../support/served_s3.ts";

peerTest("[103] crpe pack makes the same deltas from a bucket as from a data folder, and a bucket rebuilds them", [
  "gzip",
], async () => {
  await using fixture = await createDeltaFixture({ versions: [1, 2] });
  await using s3 = serveMemoryS3();
  const { path } = fixture.folder;
  const run = async (store: string, ...args: string[]) => {
    const options = { env: { HOME: path, ...s3.env }, cwd: path };
    const { code, stdout, stderr } = await runCrpe(
      [...args, `--data=${store}`, `--store=s3://bucket/${store}`],
      options,
    );
    assertEquals(code, 0, stderr);
    return stdout;
  };
  for (const version of [1, 2]) {
    await fixture.packVersion(version, `${version}`);
    await run("desk", "import", `${version}.tgz`);
  }
  await run("site", "import", "1.tgz");
  await fixture.folder.write("have.json", await run("site", "inventory"));
  await fixture.packVersion(2, "folder", "--have=have.json");
  const flags = ["--offline", "--json", "--have=have.json", "--delta-effort=normal", "-o", "bucket.tgz"];
  const report = JSON.parse(await run("desk", "pack", "2.json", ...flags));
  assertEquals(report.deltas.count, 1);
  assertLess(report.size, (await Deno.stat(`${path}/2.tgz`)).size / 10);
  const [bucket, folder] = [await Deno.readFile(`${path}/bucket.tgz`), await Deno.readFile(`${path}/folder.tgz`)];
  assert(bucket.length === folder.length && bucket.every((byte, i) => byte === folder[i]), "the bundles differ");
  // What was inflated is gone.
  const left = [...Deno.readDirSync(`${path}/desk/ingest`)].filter(({ name }) => !/lock|lease/.test(name));
  assertEquals(left, []);
  await run("site", "import", "bucket.tgz");
  const [, image] = JSON.parse(await run("site", "images", "--json"));
  assertEquals([image.reference, image.isComplete], [`${DELTA_REPO}:2`, true]);
  await run("site", "verify");
});
