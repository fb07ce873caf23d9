import { computeDigest } from "../../lib/oci/digest.ts";
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { startCountingProxy } from "../support/counting_proxy.ts";
import { runCrpe, spawnCrpe } from "../support/crpe_process.ts";
import { startFaultUpstream } from "../support/fault_upstream.ts";
import { PushRegistry } from "../support/push_registry.ts";
import { Random } from "../support/random.ts";
import { TestFolder } from "../support/test_folder.ts";

const MIB = 1024 * 1024;
const NAME = "registry.test/team/app:1.0";

/** An upstream with an image of these layers, a registry that images are pushed to, and a data folder. */
async function createSite(...layers: Uint8Array<ArrayBuffer>[]) {
  const upstream = startFaultUpstream();
  const image = upstream.addImage("team/app", "1.0", layers);
  const registry = new PushRegistry();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    return await registry.handler(request).catch(() => new Response(null, { status: 500 }));
  });
  const folder = await TestFolder.create();
  const options = { env: { HOME: folder.path }, cwd: folder.path };
  const words = (to: string, ...args: string[]) => {
    return ["copy", NAME, `--upstream=registry.test=${upstream.url}`, "--data=data", `--to=${to}`, "--json", ...args];
  };
  return {
    upstream,
    image,
    registry,
    url: `http://127.0.0.1:${server.addr.port}`,
    copy: async (to: string, ...args: string[]) => await runCrpe(words(to, ...args), options),
    startCopy: (to: string) => spawnCrpe(words(to), options),
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await upstream[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

Deno.test("crpe copy takes what the store does not have from its registry, and asks that registry for nothing else", async () => {
  const layers = [new Random(1).bytes(2 * MIB), new Random(2).bytes(2 * MIB)];
  await using site = await createSite(...layers);
  const { upstream, registry, image, url } = site;

  const offline = await site.copy(url, "--offline");
  assertEquals(offline.code, 1);
  assertStringIncludes(offline.stderr, "it is not in the store; pull it first");
  assertEquals([upstream.requests.length, registry.requests.length], [0, 0]);

  const dry = await site.copy(url, "--dry-run");
  assertEquals(dry.code, 0, dry.stderr);
  assertEquals(JSON.parse(dry.stdout)[0].toSend.blobs, 3);
  assertEquals(upstream.count("blob", "GET"), 0, "a dry run downloads no blob");

  // One layer is at the target: it is not downloaded either.
  registry.blobs.set(`team/app ${await computeDigest(layers[0]!)}`, layers[0]!);
  const { code, stdout, stderr } = await site.copy(url);
  assertEquals(code, 0, stderr);
  const [{ digest, sent, present }] = JSON.parse(stdout);
  assertEquals([digest, sent.blobs, present], [image.manifest.digest, 2, 1]);
  assertEquals(registry.blobs.get(`team/app ${await computeDigest(layers[1]!)}`), layers[1]!);
  assertEquals(upstream.count("blob", "GET"), 2);

  // The store has nearly all of it now: of the layer that was not downloaded, only the target is asked.
  const again = await site.copy(`${url}/team/app-mirror`);
  assertEquals(again.code, 0, again.stderr);
  assertEquals(upstream.count("blob", "GET"), 3);
  const held = upstream.requests.length;
  const local = await site.copy(`${url}/third`);
  assertEquals(local.code, 0, local.stderr);
  assertEquals(upstream.requests.length, held, "what the store has comes from the store");
});

Deno.test("crpe copy names an image that neither the store nor its registry has, and copies the others", async () => {
  await using site = await createSite();
  const { code, stderr, stdout } = await site.copy(site.url, "registry.test/team/none:1", "elsewhere.test/app:1");
  assertEquals(code, 1);
  assertStringIncludes(stderr, "Cannot copy registry.test/team/none:1: the image was not found (");
  assertStringIncludes(stderr, "Cannot copy elsewhere.test/app:1: the image was not found (");
  assertStringIncludes(stderr, "2 of 3 failed: registry.test/team/none:1, elsewhere.test/app:1\n");
  assertEquals(JSON.parse(stdout)[0].digest, site.image.manifest.digest);
});

for (const signal of ["SIGKILL", "SIGINT"] as const) {
  Deno.test(`[98] crpe copy goes on in another process after ${signal}: no blob that the registry has is sent again`, async () => {
    const layers = [1, 2, 3, 4, 5].map((seed) => new Random(seed).bytes(4 * MIB));
    await using site = await createSite(...layers);
    let proxy = startCountingProxy(site.url);
    const first = site.startCopy(proxy.url);
    await proxy.reached(13 * MIB);
    first.kill(signal);
    assertEquals((await first.finished).code, signal === "SIGINT" ? 130 : 137);
    await proxy[Symbol.asyncDispose]();
    const complete = [...site.registry.blobs.values()].reduce((sum, { length }) => sum + length, 0);
    assert(complete >= 4 * MIB && complete < 20 * MIB, `${complete} bytes are complete`);
    proxy = startCountingProxy(site.url);
    const { code, stdout, stderr } = await site.copy(proxy.url);
    assertEquals(code, 0, stderr);
    const [{ digest, sent, present }] = JSON.parse(stdout);
    assertEquals(digest, site.image.manifest.digest);
    assertEquals(sent.blobs + present, 6);
    const missing = 20 * MIB - complete;
    assert(proxy.bytes < missing + 256 * 1024, `${proxy.bytes} bytes were sent for ${missing}`);
    // Nor is what the store received downloaded again.
    for (const { digest } of site.image.layers) {
      const gets = site.upstream.requests.filter(({ method, path }) => method === "GET" && path.endsWith(digest));
      assert(gets.length <= 2, `${digest}: ${gets.length} downloads`);
    }
    await proxy[Symbol.asyncDispose]();
  });
}
