import type { Descriptor } from "../../lib/oci/manifest.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { type CrpeProcess, runCrpe, startCrpe } from "../support/crpe_process.ts";
import { type FaultUpstream, startFaultUpstream } from "../support/fault_upstream.ts";
import { TestFolder } from "../support/test_folder.ts";

const NAME = "registry.test/team/app";

function start(folder: TestFolder, name: string, args: readonly string[]): Promise<CrpeProcess> {
  const flags = ["registry", "--addr=127.0.0.1:0", `--data=${folder.path}/${name}`, ...args];
  return startCrpe(flags, { env: { HOME: folder.path } });
}

const blobsOf = ({ requests }: FaultUpstream) =>
  requests.filter(({ kind, method }) => kind === "blob" && method === "GET");

Deno.test("[102] what one crpe of a site holds crosses the link once, also to a crpe without an upstream", async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  const { layers, config } = upstream.addImage("team/app", "1", [new Uint8Array(500_000).fill(1), new Uint8Array(9)]);
  const from = `--upstream=registry.test=${upstream.url}`;
  await using first = await start(folder, "first", [from]);
  const pulled = await runCrpe(["pull", `${NAME}:1`, `--data=${folder.path}/pulled`, from, `--peer=${first.url}`]);
  assertEquals(pulled.code, 0, pulled.stderr);
  assertEquals(blobsOf(upstream).length, 3, "the peer has nothing yet, and pulls nothing for others");

  // Each names the other one: no request comes back.
  await using second = await start(folder, "pulled", [from, `--peer=${first.url}`]);
  await using third = await start(folder, "third", ["--offline", `--peer=${first.url}`, `--peer=${second.url}`]);
  for (const { url } of [second, third]) {
    const manifest = await fetch(`${url}/v2/${NAME}/manifests/1`);
    assertEquals(manifest.status, 200, await manifest.text());
    for (const { digest, size } of [config, ...layers]) {
      const blob = await fetch(`${url}/v2/${NAME}/blobs/${digest}`);
      assertEquals([blob.status, (await blob.arrayBuffer()).byteLength], [200, size]);
    }
  }
  assertEquals(blobsOf(upstream).length, 3);
  const missing = await fetch(`${third.url}/v2/${NAME}/manifests/2`);
  assertEquals(missing.status, 404);
  assertStringIncludes(await missing.text(), "no peer has it");

  // Clients may ask for what is held, too.
  const headers = { "cache-control": "only-if-cached" };
  const before = upstream.requests.length;
  const held = await fetch(`${first.url}/v2/${NAME}/manifests/1`, { headers });
  assertEquals(held.status, 404);
  assertStringIncludes(await held.text(), "it is not in the store");
  assertEquals((await (await fetch(`${second.url}/v2/${NAME}/manifests/1`, { headers })).bytes()).length > 0, true);
  assertEquals(upstream.requests.length, before);
});

Deno.test("[102] a peer that lies or stops costs a transfer nothing but time", async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  await using liar = startFaultUpstream();
  const layers = [new Uint8Array(60_000).fill(1), new Uint8Array(600_000).fill(2)];
  const [added] = [upstream, liar].map((it) => it.addImage("team/app", "1", layers));
  const [small, { digest, size }] = added!.layers as [Descriptor, Descriptor];
  liar.fail({ kind: "blob", method: "GET", wrongBytes: true });
  await using crpe = await start(folder, "data", [`--upstream=registry.test=${upstream.url}`, `--peer=${liar.url}`]);
  // A small blob is verified before anything of it is sent: it comes from the upstream in the same request.
  const first = await fetch(`${crpe.url}/v2/${NAME}/blobs/${small.digest}`);
  assertEquals([first.status, await first.bytes()], [200, layers[0]]);
  assertEquals(blobsOf(upstream).length, 1);
  const url = `${crpe.url}/v2/${NAME}/blobs/${digest}`;
  // A client never gets the wrong bytes as a whole blob; its next request is answered by the upstream.
  const wrong = await fetch(url).then((it) => it.arrayBuffer()).catch(() => undefined);
  assert(wrong === undefined || wrong.byteLength < size);
  const right = await fetch(url);
  assertEquals([right.status, (await right.arrayBuffer()).byteLength], [200, size]);
  assertEquals(blobsOf(upstream).length, 2);
});

for (
  const [peer, reason] of [
    ["10.0.0.5:6060", "write the URL of a crpe"],
    ["ftp://10.0.0.5", "write the URL of a crpe"],
    ["http://10.0.0.5:6060/v2/", "write the URL of a crpe"],
    ["http://user:secret@10.0.0.5:6060", 'Cannot use --peer "http://…@10.0.0.5:6060"'],
  ] as const
) {
  Deno.test(`[102] --peer=${peer} is refused`, async () => {
    await using folder = await TestFolder.create();
    const { code, stderr } = await runCrpe(["pull", `${NAME}:1`, "--offline", `--peer=${peer}`], {
      env: { HOME: folder.path },
    });
    assertEquals(code, 2);
    assertStringIncludes(stderr, reason);
  });
}
