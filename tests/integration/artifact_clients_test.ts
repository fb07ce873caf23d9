import { ARTIFACT_CLIENTS, type ArtifactClient, type Pulled } from "../support/artifact_clients.ts";
import { assertEquals, assertRejects } from "../support/assert.ts";
import { until } from "../support/cache_fixture.ts";
import { type CrpeProcess, runCrpe, startCrpe } from "../support/crpe_process.ts";
import { startDistribution } from "../support/distribution.ts";
import { peerTest } from "../support/peers.ts";
import { TestFolder } from "../support/test_folder.ts";

type Road = "crpe registry" | "crpe registry --no-complete" | "crpe pull";

/** Reports whether every image in the data folder is complete, and there is at least one. */
async function isAllComplete(data: string, home: string): Promise<boolean> {
  const { stdout, code, stderr } = await runCrpe(["images", "--json", `--data=${data}`], { env: { HOME: home } });
  assertEquals(code, 0, stderr);
  const images: { readonly isComplete: boolean }[] = JSON.parse(stdout);
  return images.length > 0 && images.every(({ isComplete }) => isComplete);
}

/**
 * Fetches a client's artifact through crpe from a real registry, and pulls it again when that is gone.
 *
 * @param road what fetches it
 */
async function pullWithoutUpstream(client: ArtifactClient, road: Road): Promise<void> {
  const { publish, pull, pullSome, references } = client;
  await using folder = await TestFolder.create();
  const data = `${folder.path}/data`;
  const options = { env: { HOME: folder.path } };
  const start = (...flags: string[]): Promise<CrpeProcess> =>
    startCrpe(["registry", "--addr=127.0.0.1:0", `--data=${data}`, "--tag-ttl=0s", ...flags], options);
  const prefixOf = ({ url }: CrpeProcess) => `${new URL(url).host}/registry.test/team`;
  let expected: Pulled;
  let source: string;
  {
    await using upstream = await startDistribution();
    source = `--upstream=registry.test=${upstream.url}`;
    await publish(upstream.host);
    expected = await pull(`${upstream.host}/team`);
    if (road === "crpe pull") {
      const names = references.map((reference) => `registry.test/team/${reference}`);
      const { code, stderr } = await runCrpe(["pull", ...names, `--data=${data}`, source], options);
      assertEquals(code, 0, stderr);
    } else {
      await using crpe = await start(source, ...road.split(" ").slice(2));
      if (pullSome === undefined) assertEquals(await pull(prefixOf(crpe)), expected, crpe.log());
      else await pullSome(prefixOf(crpe), upstream.host);
      if (road === "crpe registry") await until("all is complete", () => isAllComplete(data, folder.path));
    }
  }
  // An upstream that refuses connections, and none at all.
  for (const flag of [source, "--offline"]) {
    await using crpe = await start(flag);
    const pulled = await pull(prefixOf(crpe)).catch((error: Error) => {
      throw new Error(`Cannot pull with ${flag}: ${error.message}\n${crpe.log()}`);
    });
    assertEquals(pulled, expected, `${flag}: ${crpe.log()}`);
  }
}

for (const client of ARTIFACT_CLIENTS) {
  const peers = ["docker-registry", ...client.peers] as const;
  for (const road of ["crpe registry", "crpe pull"] as const) {
    const name = `[68] ${client.name}, fetched by ${road}, is pulled again with the upstream gone`;
    peerTest(name, peers, () => pullWithoutUpstream(client, road));
  }
  if (client.pullSome === undefined) continue;
  // Without this, the tests above would not show that the first pull left something out.
  peerTest(`[68] ${client.name}: with --no-complete, the first pull was not enough`, peers, async () => {
    await assertRejects(() => pullWithoutUpstream(client, "crpe registry --no-complete"), Error, "Cannot pull with");
  });
}
