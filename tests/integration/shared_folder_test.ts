import { computeDigest } from "../../lib/oci/digest.ts";
import { assertEquals } from "../support/assert.ts";
import { ContainerTools } from "../support/container_tools.ts";
import { runCrpe, startCrpe } from "../support/crpe_process.ts";
import { startDistribution } from "../support/distribution.ts";
import { buildImage, buildIndex } from "../support/images.ts";
import { peerTest } from "../support/peers.ts";
import { pushImage } from "../support/put_image.ts";
import { TestFolder } from "../support/test_folder.ts";

const index = buildIndex(
  [buildImage({ platform: "linux/amd64" }), buildImage({ platform: "linux/arm64" })],
  { attestation: true },
);

peerTest("distribution serves a data folder that crpe wrote", ["docker-registry", "skopeo"], async () => {
  await using folder = await TestFolder.create();
  await using tools = await ContainerTools.create();
  const data = `${folder.path}/data`;
  {
    await using upstream = await startDistribution();
    await pushImage(upstream.url, "team/app:1.0", { image: index });
    const finished = runCrpe([
      "pull",
      "registry.test/team/app:1.0",
      `--data=${data}`,
      `--upstream=registry.test=${upstream.url}`,
    ], { env: { HOME: folder.path } });
    const { code, stderr } = await finished;
    assertEquals(code, 0, stderr);
  }
  await using distribution = await startDistribution({ dataDir: data, readonly: true });
  const target = `${folder.path}/copy`;
  const { code, stderr } = await tools.skopeo([
    "copy",
    "--all",
    `docker://${distribution.host}/registry.test/team/app:1.0`,
    `dir:${target}`,
  ]);
  assertEquals(code, 0, stderr);
  assertEquals(computeDigest(await Deno.readFile(`${target}/manifest.json`)), index.root.digest);
  const tags = await tools.skopeo(["list-tags", `docker://${distribution.host}/registry.test/team/app`]);
  assertEquals(JSON.parse(tags.stdout).Tags, ["1.0"]);
});

peerTest("crpe serves a data folder that distribution wrote", ["docker-registry", "skopeo"], async () => {
  await using folder = await TestFolder.create();
  await using tools = await ContainerTools.create();
  const data = `${folder.path}/data`;
  const names = ["registry.test/team/app", "team/app", "library/app", "app"];
  {
    await using distribution = await startDistribution({ dataDir: data });
    for (const name of names) await pushImage(distribution.url, `${name}:1.0`, { image: index });
  }
  await using crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", `--data=${data}`, "--offline"], {
    env: { HOME: folder.path },
  });
  for (const name of names) {
    const target = `${folder.path}/copy-of-${name.replaceAll("/", "-")}`;
    const { code, stderr } = await tools.skopeo([
      "copy",
      "--all",
      `docker://${new URL(crpe.url).host}/${name}:1.0`,
      `dir:${target}`,
    ]);
    assertEquals(code, 0, `${name}: ${stderr}`);
    assertEquals(computeDigest(await Deno.readFile(`${target}/manifest.json`)), index.root.digest);
    const tags = await tools.skopeo(["list-tags", `docker://${new URL(crpe.url).host}/${name}`]);
    assertEquals(JSON.parse(tags.stdout).Tags, ["1.0"]);
  }
});
