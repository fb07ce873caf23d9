import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { CacheFixture, PATH, until } from "../support/cache_fixture.ts";
import { makeBytes } from "../support/content.ts";

const MiB = 1024 * 1024;
const MISSING = '199 crpe "Content of this image is missing"';

/** Starts crpe before an image whose base layer a client has: it requests the manifest, the config and the top layer. */
async function pullWithoutBase(flags: readonly string[]) {
  const fixture = await CacheFixture.start({ flags: ["--tag-ttl=0s", ...flags] });
  const { manifest, config, layers } = fixture.upstream.addImage(PATH, "1.0", [
    makeBytes(2 * MiB, 1),
    makeBytes(700, 2),
  ]);
  const [base, top] = [layers[0]!.digest, layers[1]!.digest];
  for (const resource of ["manifests/1.0", `blobs/${config.digest}`, `blobs/${top}`]) {
    assertEquals((await fixture.get(resource)).status, 200, resource);
  }
  return { fixture, manifest, base, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
}

Deno.test("[68] an image of which the client had a layer is completed, and can be pulled without the upstream", async () => {
  await using it = await pullWithoutBase([]);
  await until("the base layer is stored", () => it.fixture.isLinked(it.base));
  assertEquals(it.fixture.upstream.requests.filter(({ path }) => path.includes(it.base)).length, 1);
  await it.fixture.stopUpstream();
  await it.fixture.restart();
  await it.fixture.pull("1.0");
  const { headers } = await it.fixture.get("manifests/1.0");
  assert(!headers.get("warning")?.includes("199"), headers.get("warning") ?? "");
});

Deno.test("[68] with --no-complete, the image is served to that client with a warning, and the log names what is missing", async () => {
  await using it = await pullWithoutBase(["--no-complete"]);
  await it.fixture.stopUpstream();
  for (const resource of ["manifests/1.0", `manifests/${it.manifest.digest}`]) {
    for (const method of ["GET", "HEAD"]) {
      const { status, headers } = await it.fixture.get(resource, { method });
      assertEquals(status, 200);
      assertStringIncludes(headers.get("warning") ?? "", MISSING);
    }
    // A digest is served without asking the upstream, unless that is known to fail.
    await until("the revalidation has failed", () => it.fixture.log.includes("1.0 is served from the store"));
  }
  assert(!await it.fixture.holds(it.base));
  assertStringIncludes(it.fixture.log, `is served without 1 of its blobs, which are missing: ${it.base}`);
});

Deno.test("[68] a download in the background does not keep crpe from stopping, and is resumed after a restart", async () => {
  const gate = Promise.withResolvers<void>();
  await using fixture = await CacheFixture.start();
  const { manifest, layers: [layer] } = fixture.upstream.addImage(PATH, "1.0", [makeBytes(4 * MiB, 1)]);
  const { digest } = layer!;
  fixture.upstream.fail({ path: digest, times: 1, pause: { after: 2 * MiB, until: gate.promise } });
  assertEquals((await fixture.get(`manifests/${manifest.digest}`)).status, 200);
  await until("bytes are received", async () => {
    return (await Array.fromAsync(Deno.readDir(`${fixture.data}/ingest`))).some(({ name }) =>
      name.endsWith(".partial")
    );
  });
  fixture.crpe.kill("SIGTERM");
  assertEquals((await fixture.crpe.finished).code, 0);
  gate.resolve();
  await fixture.restart();
  assertEquals((await fixture.get(`manifests/${manifest.digest}`)).status, 200);
  await until("the layer is stored", () => fixture.isLinked(digest));
});
