import { assertEquals, assertStringIncludes } from "../support/assert.ts";
import { startCountingProxy } from "../support/counting_proxy.ts";
import { spawnCrpe, startCrpe } from "../support/crpe_process.ts";
import { buildImage, buildIndex } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { makeLargeLayer } from "../support/large_blob.ts";
import { type MemoryRegistry, startMemoryRegistry } from "../support/memory_registry.ts";
import { createPackFixture } from "../support/pack_fixture.ts";
import { peerTest, runPeer } from "../support/peers.ts";

const MIB = 1024 * 1024;
const INDEX = "registry.test/team/index:1.0";
const PLAIN = "docker.io/library/plain:3";
const LARGE = "registry.test/team/large:1";
const IMAGES = {
  [INDEX]: buildIndex(["linux/amd64", "linux/arm64"].map((platform) => {
    return buildImage({ platform, files: [{ "a.txt": platform }, { "b.txt": "b" }] });
  })),
  [PLAIN]: buildImage({ format: "docker", files: [{ "b.txt": "b" }] }),
  [LARGE]: buildImage({ largeLayer: makeLargeLayer(14 * MIB) }),
};

// distribution and registries like it: tests/integration/copy_test.ts.
for (const name of ["crane", "cue_registry"] as const satisfies readonly MemoryRegistry[]) {
  peerTest(`[98] crpe copy pushes images and bundles into the registry of ${name}, again, and after a cut`, [
    name,
    "crane",
  ], async () => {
    await using registry = await startMemoryRegistry(name);
    await using fixture = await createPackFixture(IMAGES);
    const { crpe } = fixture;
    const digestOf = async (reference: string) => {
      const { code, stdout, stderr } = await runPeer("crane", ["digest", "--insecure", reference]);
      assertEquals(code, 0, stderr);
      return stdout.trim();
    };
    const to = `--to=${registry.url}/mirror`;
    const first = await crpe("copy", INDEX, "missing:1", PLAIN, to, "--data=source", "--offline", "--json");
    assertEquals(first.code, 1, first.stderr);
    assertStringIncludes(first.stderr, "1 of 3 failed: missing:1\n");
    assertEquals(
      JSON.parse(first.stdout).map(({ digest, error }: Record<string, string>) => digest ?? (error && "failed")),
      [IMAGES[INDEX].root.digest, "failed", IMAGES[PLAIN].root.digest],
    );
    assertEquals(await digestOf(`${registry.host}/mirror/team/index:1.0`), IMAGES[INDEX].root.digest);
    assertEquals(await digestOf(`${registry.host}/mirror/library/plain:3`), IMAGES[PLAIN].root.digest);
    const again = await crpe("copy", INDEX, PLAIN, to, "--data=source", "--offline");
    assertEquals([again.code, again.stdout.match(/nothing to send/g)?.length], [0, 2], again.stderr);

    const kubepkg = makeKubePkg({ [INDEX]: "", [PLAIN]: "" });
    assertEquals((await fixture.pack(kubepkg, "all")).code, 0);
    const bundle = await crpe("copy", "all.tgz", `--to=${registry.url}/bundle`);
    assertEquals([bundle.code, bundle.stderr], [0, ""]);
    assertEquals(await digestOf(`${registry.host}/bundle/team/index:1.0`), IMAGES[INDEX].root.digest);
    // What was pushed is pulled through again, with the same digest.
    await using cache = await startCrpe(
      ["registry", "--addr=127.0.0.1:0", "--data=cache", `--upstream=registry.test=${registry.url}`],
      { env: { HOME: fixture.folder.path }, cwd: fixture.folder.path },
    );
    const pulled = `${new URL(cache.url).host}/registry.test/bundle/team/index:1.0`;
    assertEquals(await digestOf(pulled), IMAGES[INDEX].root.digest);
    const checked = await runPeer("crane", ["validate", "--insecure", "--remote", pulled]);
    assertEquals(checked.code, 0, checked.stderr);

    let proxy = startCountingProxy(registry.url);
    const { host, port } = new URL(proxy.url);
    const words = ["copy", LARGE, `--to=http://${host}/cut`, "--data=source", "--offline"];
    const copying = spawnCrpe(words, fixture.processOptions);
    await proxy.reached(6 * MIB);
    await proxy[Symbol.asyncDispose]();
    // The runtime has sent the chunk again at once, which would have succeeded without a word.
    await copying.printed("trying again in");
    proxy = startCountingProxy(registry.url, { port: Number(port) });
    await using _proxy = proxy;
    const { code, stderr } = await copying.finished;
    assertEquals(code, 0, stderr);
    assertEquals(await digestOf(`${registry.host}/cut/team/large:1`), IMAGES[LARGE].root.digest);
  });
}
