import { assert, assertEquals } from "../support/assert.ts";
import { until } from "../support/cache_fixture.ts";
import { makeBytes } from "../support/content.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { TestFolder } from "../support/test_folder.ts";

const MIB = 1024 * 1024;

async function sizeOfBlobs(folder: TestFolder): Promise<number> {
  let size = 0;
  for (const name of await folder.listFiles("data/docker/registry/v2/blobs")) {
    size += (await Deno.stat(`${folder.path}/data/docker/registry/v2/blobs/${name}`)).size;
  }
  return size;
}

Deno.test("[39] --cache-max evicts the least recently used image, and the others stay complete", async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  for (const i of [1, 2, 3, 4, 5]) upstream.addImage("team/app", String(i), [makeBytes(2 * MIB, i)]);
  const flags = [`--data=${folder.path}/data`, `--upstream=registry.test=${upstream.url}`];
  const env = { HOME: folder.path };
  await using crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", "--cache-max=7MiB", ...flags], { env });
  const pull = async (tag: number) => {
    const response = await fetch(`${crpe.url}/v2/registry.test/team/app/manifests/${tag}`);
    assertEquals(response.status, 200);
    const { config, layers } = await response.json();
    for (const { digest, size } of [config, ...layers]) {
      const blob = await fetch(`${crpe.url}/v2/registry.test/team/app/blobs/${digest}`);
      assertEquals((await blob.arrayBuffer()).byteLength, size);
    }
  };
  for (const tag of [1, 2, 3, 1, 4, 1, 5]) {
    await pull(tag);
    assert(await sizeOfBlobs(folder) <= 7 * MIB);
  }
  const { stdout } = await runCrpe(["images", `--data=${folder.path}/data`, "--json"], { env });
  const held = JSON.parse(stdout) as { reference: string; isComplete: boolean }[];
  assertEquals(held.map(({ reference, isComplete }) => [reference.split(":").at(-1), isComplete]), [
    ["1", true],
    ["4", true],
    ["5", true],
  ]);
  const metrics = await (await fetch(`${crpe.url}/metrics`)).text();
  assert(/^crpe_evicted_images_total 2$/m.test(metrics), metrics);
  const { code } = await runCrpe(["verify", `--data=${folder.path}/data`], { env });
  assertEquals(code, 0);
});

Deno.test("[97] an image that is larger than --cache-max is served, and a warning names the blob and the limit", async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  upstream.addImage("team/app", "1", [makeBytes(3 * MIB, 1)]);
  const flags = [`--data=${folder.path}/data`, `--upstream=registry.test=${upstream.url}`, "--cache-max=2MiB"];
  await using crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", ...flags], { env: { HOME: folder.path } });
  const repository = `${crpe.url}/v2/registry.test/team/app`;
  const { layers: [layer] } = await (await fetch(`${repository}/manifests/1`)).json();
  const blob = await fetch(`${repository}/blobs/${layer.digest}`);
  assertEquals((await blob.arrayBuffer()).byteLength, 3 * MIB);
  assert(await sizeOfBlobs(folder) <= 2 * MIB);
  const warning = `${layer.digest} of registry.test/team/app, 3 MiB, is served, but not cached: ` +
    "it does not fit within --cache-max";
  await until("the warning is in the log", () => crpe.log().includes(warning));
});
