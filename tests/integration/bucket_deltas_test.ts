import { assert, assertEquals, assertLess } from "../support/assert.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { createDeltaFixture, DELTA_REPO, makeAppImage } from "../support/delta_fixture.ts";
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
  s3.memory.requests.length = 0;
  const report = JSON.parse(await run("desk", "pack", "2.json", ...flags));
  // The old layer is inflated from one stream.
  const [, old] = [...makeAppImage(1).blobs.keys()];
  const reads = s3.memory.requests.filter((it) => it.startsWith("GET ") && it.includes(old!.split(":")[1]!));
  assertEquals(reads.length, 1, reads.join());
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

peerTest("[103] crpe push sends deltas of what a bucket has to an agent", ["gzip"], async () => {
  await using fixture = await createDeltaFixture({ versions: [1, 2] });
  await using s3 = serveMemoryS3();
  const { path } = fixture.folder;
  const options = { env: { HOME: path, ...s3.env }, cwd: path };
  const desk = ["--data=desk", "--store=s3://bucket/desk"];
  for (const version of [1, 2]) {
    await fixture.packVersion(version, `${version}`);
    assertEquals((await runCrpe(["import", `${version}.tgz`, ...desk], options)).code, 0);
  }
  await using agent = await startCrpe(["agent", "--addr=127.0.0.1:0", "--data=site"], options);
  const to = [`--to=${agent.url}`, "--token-file=site/kubepkg/.token", "--json", ...desk];
  assertEquals((await runCrpe(["push", "1.tgz", ...to], options)).code, 0);
  const { code, stdout, stderr } = await runCrpe(["push", "2.tgz", ...to], options);
  assertEquals(code, 0, stderr);
  const [{ deltas, imported, sent }] = JSON.parse(stdout);
  assertEquals([deltas.count, imported], [1, true]);
  assertLess(sent.bytes, (await Deno.stat(`${path}/2.tgz`)).size / 5);
});
