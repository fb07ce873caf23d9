import { computeDigest } from "../../lib/oci/digest.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { CacheFixture, HOST, PATH, receive, until } from "../support/cache_fixture.ts";
import { makeBytes } from "../support/content.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { inNetwork, runBeside } from "../support/network.ts";
import { peerTest } from "../support/peers.ts";

Deno.test("[15] a pull of an uncached image waits as long as Retry-After says", async () => {
  await using fixture = await CacheFixture.start();
  fixture.upstream.addImage(PATH, "1.0");
  const limit = { status: 429, headers: { "Retry-After": "1" }, times: 1 };
  fixture.upstream.fail({ kind: "manifest", ...limit });
  fixture.upstream.fail({ kind: "blob", ...limit });
  await fixture.pull("1.0");
  assertEquals(fixture.upstream.requests.map(({ status }) => status).sort(), [200, 200, 200, 429, 429]);
});

Deno.test("[16] a pull succeeds when the upstream answers 503 and then 200", async () => {
  await using fixture = await CacheFixture.start();
  fixture.upstream.addImage(PATH, "1.0");
  for (const kind of ["manifest", "blob"] as const) fixture.upstream.fail({ kind, status: 503, times: 1 });
  await fixture.pull("1.0");
  assertEquals(fixture.upstream.requests.map(({ status }) => status).sort(), [200, 200, 200, 503, 503]);
});

// The last column: how many upstream requests an answer may cost.
const troubles: [string, (fixture: CacheFixture) => void | Promise<void>, most: number][] = [
  ["[15] an upstream that answers 429", ({ upstream }) => {
    upstream.fail({ status: 429, headers: { "Retry-After": "2" } });
  }, 1],
  ["[15] an upstream that answers 429 with a Retry-After of an hour", ({ upstream }) => {
    upstream.fail({ status: 429, headers: { "Retry-After": "3600" } });
  }, 1],
  ["[16] an upstream that answers 503", ({ upstream }) => upstream.fail({ status: 503 }), 1],
  ["[21] an upstream that refuses connections", (fixture) => fixture.stopUpstream(), 1],
  // The GET decides, because a HEAD that is answered with 404 shows nothing (fault 71).
  ["[23] a tag that was deleted upstream", ({ upstream }) => upstream.removeTag(PATH, "1.0"), 2],
];
for (const [what, cause, most] of troubles) {
  const start = async () => {
    const fixture = await CacheFixture.start({ flags: ["--tag-ttl=0s"] });
    const { manifest } = fixture.upstream.addImage(PATH, "1.0");
    await fixture.pull("1.0");
    await cause(fixture);
    return { fixture, manifest, asked: fixture.upstream.requests.length };
  };

  Deno.test(`${what}: the cached tag is served after at most ${most} upstream requests`, async () => {
    const { fixture, manifest, asked } = await start();
    await using _ = fixture;
    for (const method of ["HEAD", "GET"]) {
      const before = fixture.upstream.requests.length;
      const { status, headers } = await fixture.get("manifests/1.0", { method });
      assertEquals(status, 200);
      assertEquals(headers.get("docker-content-digest"), manifest.digest);
      const more = fixture.upstream.requests.length - before;
      assert(more <= most, `${more} upstream requests before the ${method} was answered`);
    }
    await fixture.pull("1.0");
    await fixture.pull(manifest.digest);
    assert(fixture.upstream.requests.slice(asked).every(({ kind }) => kind === "manifest"));
  });

  Deno.test(`${what}: a stale answer is marked with a Warning header and logged`, async () => {
    const { fixture } = await start();
    await using _ = fixture;
    const { headers } = await fixture.get("manifests/1.0");
    await until("the log mentions it", () => /1\.0 is served from the store/.test(fixture.log));
    assertMatch(headers.get("warning") ?? "", /^1\d\d /);
  });
}

Deno.test("[21] without a network or DNS, cached content is served and the rest fails, naming the host", async () => {
  const config = "hosts: {registry.test: {url: UPSTREAM}, lost.test: {url: 'https://lost.test.invalid'}}";
  await using fixture = await CacheFixture.start({ config });
  const { manifest, layers: [layer] } = fixture.upstream.addImage(PATH, "1.0");
  await fixture.pull("1.0");
  await fixture.stopUpstream();
  await fixture.restart();
  await fixture.pull("1.0");
  await fixture.pull(manifest.digest);
  const unknown = computeDigest("missing content");
  for (const repo of [`registry.test/${PATH}`, "lost.test/x"]) {
    for (const resource of ["manifests/2.0", `manifests/${unknown}`, `blobs/${unknown}`]) {
      const { status, bytes } = await receive(await fetch(fixture.url(resource, repo)));
      const text = new TextDecoder().decode(bytes);
      assert(status >= 500 && status <= 504, `${resource} of ${repo}: ${status} ${text}`);
      assertStringIncludes(text, repo.split("/")[0]!);
    }
  }
  assertEquals((await fixture.get(`blobs/${layer!.digest}`)).status, 200);
});

Deno.test("[21] cached content is served without waiting for a silent upstream", async () => {
  await using fixture = await CacheFixture.start({ flags: ["--tag-ttl=0s"] });
  const { manifest } = fixture.upstream.addImage(PATH, "1.0", [makeBytes(100_000)]);
  await fixture.pull("1.0");
  await fixture.restart();
  // The upstream answers only after all clients were served, so a client that waited for it would never finish.
  const silence = Promise.withResolvers<void>();
  fixture.upstream.fail({ hold: silence.promise });
  await Promise.all([1, 2, 3, 4, 5].map((i) => fixture.pull(i % 2 === 0 ? "1.0" : manifest.digest, { byHead: true })));
  silence.resolve();
});

for (const upstream of [`${HOST}=http://192.0.2.1:5000`, HOST]) {
  const what = upstream === HOST ? "a name that does not resolve" : "an address without a route";
  peerTest(
    `[21] a cached image is served by tag and by digest with only a loopback interface; the upstream is ${what}`,
    ["root", "unshare", "ip", "nsenter", "curl"],
    async () => {
      await using fixture = await CacheFixture.start();
      const { manifest, config, layers } = fixture.upstream.addImage(PATH, "1.0", [
        makeBytes(3_000_000),
        makeBytes(500),
      ]);
      await fixture.pull("1.0");
      // A client has a blob before it is committed.
      for (const { digest } of [config, ...layers]) await until("it is stored", () => fixture.isLinked(digest));
      await fixture.kill();
      const asked = fixture.upstream.requests.length;
      await using crpe = await startCrpe(
        ["registry", "--addr=127.0.0.1:0", `--data=${fixture.data}`, `--upstream=${upstream}`],
        { env: { HOME: fixture.folder.path }, within: inNetwork("ip link set lo up") },
      );
      const base = `${crpe.url}/v2/${HOST}/${PATH}`;
      const expected = [manifest.digest, manifest.digest, config.digest, ...layers.map(({ digest }) => digest)];
      const [byTag, byDigest, ...blobs] = [`manifests/1.0`, `manifests/${manifest.digest}`].concat(
        [config, ...layers].map(({ digest }) => `blobs/${digest}`),
      );
      for (const [i, resource] of [byTag, byDigest, ...blobs].entries()) {
        await runBeside(crpe.pid, ["curl", "-sSf", "-o", `${fixture.folder.path}/${i}`, `${base}/${resource}`]);
        assertEquals(computeDigest(await Deno.readFile(`${fixture.folder.path}/${i}`)), expected[i]);
      }
      assertEquals(fixture.upstream.requests.length, asked);
    },
  );
}
