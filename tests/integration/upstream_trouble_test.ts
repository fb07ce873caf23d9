import { computeDigest } from "../../lib/oci/digest.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../support/assert.ts";
import { CacheSite, HOST, PATH, receive, until } from "../support/cache_site.ts";
import { makeBytes } from "../support/content.ts";
import { startCrpe } from "../support/crpe_process.ts";
import { inNetwork, runBeside } from "../support/network.ts";
import { rootTest } from "../support/peers.ts";

Deno.test("[15] a cold pull waits as long as Retry-After says", async () => {
  await using site = await CacheSite.start();
  site.upstream.addImage(PATH, "1.0");
  const limit = { status: 429, headers: { "Retry-After": "1" }, times: 1 };
  site.upstream.fail({ kind: "manifest", ...limit });
  site.upstream.fail({ kind: "blob", ...limit });
  await site.pull("1.0");
  assertEquals(site.upstream.requests.map(({ status }) => status).sort(), [200, 200, 200, 429, 429]);
});

Deno.test("[16] 503 and then 200 is a success", async () => {
  await using site = await CacheSite.start();
  site.upstream.addImage(PATH, "1.0");
  for (const kind of ["manifest", "blob"] as const) site.upstream.fail({ kind, status: 503, times: 1 });
  await site.pull("1.0");
  assertEquals(site.upstream.requests.map(({ status }) => status).sort(), [200, 200, 200, 503, 503]);
});

const troubles: [string, (site: CacheSite) => void | Promise<void>][] = [
  ["[15] an upstream that answers 429", ({ upstream }) => {
    upstream.fail({ status: 429, headers: { "Retry-After": "2" } });
  }],
  ["[15] an upstream that answers 429 and wants an hour", ({ upstream }) => {
    upstream.fail({ status: 429, headers: { "Retry-After": "3600" } });
  }],
  ["[16] an upstream that answers 503", ({ upstream }) => upstream.fail({ status: 503 })],
  ["[21] an upstream that refuses connections", (site) => site.stopUpstream()],
  ["[23] a tag that is gone upstream", ({ upstream }) => upstream.removeTag(PATH, "1.0")],
];
for (const [what, cause] of troubles) {
  const start = async () => {
    const site = await CacheSite.start({ flags: ["--tag-ttl=0s"] });
    const { manifest } = site.upstream.addImage(PATH, "1.0");
    await site.pull("1.0");
    await cause(site);
    return { site, manifest, asked: site.upstream.requests.length };
  };

  Deno.test(`${what}: the cached tag is served, after one question at most`, async () => {
    const { site, manifest, asked } = await start();
    await using _ = site;
    for (const method of ["HEAD", "GET"]) {
      const before = site.upstream.requests.length;
      const { status, headers } = await site.get("manifests/1.0", { method });
      assertEquals([status, headers.get("docker-content-digest")], [200, manifest.digest]);
      const more = site.upstream.requests.length - before;
      assert(more <= 1, `${more} requests went by before the ${method} was answered`);
    }
    await site.pull("1.0");
    await site.pull(manifest.digest);
    assert(site.upstream.requests.slice(asked).every(({ kind }) => kind === "manifest"));
  });

  Deno.test(`${what}: what is served is marked as stale, in the answer and in the log`, async () => {
    const { site } = await start();
    await using _ = site;
    const { headers } = await site.get("manifests/1.0");
    await until("the log tells of it", () => /1\.0 is served from the store/.test(site.log));
    assertMatch(headers.get("warning") ?? "", /^1\d\d /);
  });
}

Deno.test("[21] with no network, or no DNS, what is held is served and the rest fails by name", async () => {
  const config = "hosts: {registry.test: {url: UPSTREAM}, lost.test: {url: 'https://lost.test.invalid'}}";
  await using site = await CacheSite.start({ config });
  const { manifest, layers: [layer] } = site.upstream.addImage(PATH, "1.0");
  await site.pull("1.0");
  await site.stopUpstream();
  await site.restart();
  await site.pull("1.0");
  await site.pull(manifest.digest);
  const unknown = computeDigest("nobody has this");
  for (const repo of [`registry.test/${PATH}`, "lost.test/x"]) {
    for (const resource of ["manifests/2.0", `manifests/${unknown}`, `blobs/${unknown}`]) {
      const { status, bytes } = await receive(await fetch(site.url(resource, repo)));
      const text = new TextDecoder().decode(bytes);
      assert(status >= 500 && status <= 504, `${resource} of ${repo}: ${status} ${text}`);
      assertStringIncludes(text, repo.split("/")[0]!);
    }
  }
  assertEquals((await site.get(`blobs/${layer!.digest}`)).status, 200);
});

Deno.test("[21] what is held is not kept waiting by an upstream that says nothing", async () => {
  await using site = await CacheSite.start({ flags: ["--tag-ttl=0s"] });
  const { manifest } = site.upstream.addImage(PATH, "1.0", [makeBytes(100_000)]);
  await site.pull("1.0");
  await site.restart();
  // The upstream answers when all clients have been answered, which they would not be if they waited for it.
  const silence = Promise.withResolvers<void>();
  site.upstream.fail({ hold: silence.promise });
  await Promise.all([1, 2, 3, 4, 5].map((i) => site.pull(i % 2 === 0 ? "1.0" : manifest.digest, { byHead: true })));
  silence.resolve();
});

for (const upstream of [`${HOST}=http://192.0.2.1:5000`, HOST]) {
  const what = upstream === HOST ? "a name that no DNS resolves" : "an address without a route";
  rootTest(`[21] an image pulled once is pulled by tag with loopback alone; the upstream is ${what}`, async () => {
    await using site = await CacheSite.start();
    const { manifest, config, layers } = site.upstream.addImage(PATH, "1.0", [makeBytes(3_000_000), makeBytes(500)]);
    await site.pull("1.0");
    await site.kill();
    const asked = site.upstream.requests.length;
    await using crpe = await startCrpe(
      ["registry", "--addr=127.0.0.1:0", `--data=${site.data}`, `--upstream=${upstream}`],
      { env: { HOME: site.folder.path }, within: inNetwork("ip link set lo up") },
    );
    const base = `${crpe.url}/v2/${HOST}/${PATH}`;
    const expected = [manifest.digest, manifest.digest, config.digest, ...layers.map(({ digest }) => digest)];
    const [byTag, byDigest, ...blobs] = [`manifests/1.0`, `manifests/${manifest.digest}`].concat(
      [config, ...layers].map(({ digest }) => `blobs/${digest}`),
    );
    for (const [i, resource] of [byTag, byDigest, ...blobs].entries()) {
      await runBeside(crpe.pid, ["curl", "-sSf", "-o", `${site.folder.path}/${i}`, `${base}/${resource}`]);
      assertEquals(computeDigest(await Deno.readFile(`${site.folder.path}/${i}`)), expected[i]);
    }
    assertEquals(site.upstream.requests.length, asked);
  });
}
