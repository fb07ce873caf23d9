import { computeDigest } from "../../lib/oci/digest.ts";
import { MEDIA_TYPE } from "../../lib/oci/manifest.ts";
import { assert, assertEquals, assertLess, assertMatch } from "../support/assert.ts";
import { CacheSite, PATH, receive, type Received, until } from "../support/cache_site.ts";
import { makeBytes } from "../support/content.ts";
import type { Fault } from "../support/fault_upstream.ts";

const MiB = 1024 * 1024;
const large = makeBytes(4 * MiB + 5, 7);
const small = makeBytes(700, 8);

/** The site with a blob in its upstream. */
async function startWith(bytes: Uint8Array<ArrayBuffer>, ...faults: Fault[]) {
  const site = await CacheSite.start();
  const { digest } = site.upstream.addBlob(PATH, bytes);
  for (const fault of faults) site.upstream.fail({ kind: "blob", ...fault });
  return { site, digest, blob: `blobs/${digest}`, [Symbol.asyncDispose]: () => site[Symbol.asyncDispose]() };
}

/** By digest: the difference of megabytes is nothing to be shown. */
function assertSame({ status, isComplete, bytes }: Received, expected: Uint8Array): void {
  assertEquals([status, isComplete, computeDigest(bytes)], [200, true, computeDigest(expected)]);
}

function countGets(site: CacheSite): number {
  return site.upstream.count("blob", "GET");
}

Deno.test("[1] 50 cold clients of one image cost the upstream a request a manifest and a blob", async () => {
  await using site = await CacheSite.start();
  const { upstream } = site;
  const { manifest, config, layers } = upstream.addImage(PATH, "amd64", [
    makeBytes(2 * MiB, 1),
    makeBytes(300_000, 2),
    small,
  ]);
  const platform = { os: "linux", architecture: "amd64" };
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [{ ...manifest, platform }] };
  upstream.addManifest(PATH, new TextEncoder().encode(JSON.stringify(index)), {
    tag: "1.0",
    mediaType: MEDIA_TYPE.ociIndex,
  });
  await Promise.all(Array.from({ length: 50 }, (_, i) => site.pull("1.0", { byHead: i % 2 === 0 })));
  const paths = upstream.requests.map(({ path }) => path);
  assertEquals(paths.length, 2 + 1 + layers.length, paths.join("\n"));
  assertEquals(new Set(paths).size, paths.length);
  assert(await site.holds(config.digest));
});

Deno.test("[2] the client that began a download goes away, the download does not", async () => {
  const gate = Promise.withResolvers<void>();
  await using it = await startWith(large, { pause: { after: 2 * MiB, until: gate.promise } });
  const { site, digest, blob } = it;
  const leaving = new AbortController();
  const first = await site.open(blob, { signal: leaving.signal });
  assert(!(await first.body!.getReader().read()).done);
  const follower = await site.open(blob);
  leaving.abort();
  gate.resolve();
  assertSame(await receive(follower), large);
  assert(await site.holds(digest));
  assertEquals(countGets(site), 1);
});

Deno.test("[2] a download goes on with nobody left, and the next client finds it", async () => {
  const gate = Promise.withResolvers<void>();
  await using it = await startWith(large, { pause: { after: MiB, until: gate.promise } });
  const { site, digest, blob } = it;
  const leaving = new AbortController();
  const only = await site.open(blob, { signal: leaving.signal });
  assert(!(await only.body!.getReader().read()).done);
  leaving.abort();
  gate.resolve();
  await until("the blob is in the store", () => site.holds(digest));
  assertSame(await site.get(blob), large);
  assertEquals(countGets(site), 1);
});

Deno.test("[3] a client that does not read keeps nobody waiting, and gets all in the end", async () => {
  // More than all buffers on the way to the client take.
  const huge = makeBytes(24 * MiB, 3);
  await using it = await startWith(huge);
  const { site, digest, blob } = it;
  const slow = await site.open(blob);
  for (const { bytes } of await Promise.all([1, 2, 3].map(() => site.get(blob)))) {
    assertEquals(computeDigest(bytes), digest);
  }
  assert(await site.holds(digest));
  assertEquals(computeDigest((await receive(slow)).bytes), digest);
  assertEquals(countGets(site), 1);
});

Deno.test("[4] a cut transfer is resumed for every client that follows it", async () => {
  const gate = Promise.withResolvers<void>();
  await using it = await startWith(large, { pause: { after: MiB, until: gate.promise }, cutAfter: 2 * MiB, times: 1 });
  const { site, digest, blob } = it;
  const answers = await Promise.all([1, 2, 3].map(() => site.open(blob)));
  gate.resolve();
  for (const { status, isComplete, bytes } of await Promise.all(answers.map(receive))) {
    assertEquals([status, isComplete, computeDigest(bytes)], [200, true, digest]);
  }
  assertEquals(countGets(site), 2);
});

Deno.test("[4] an upstream that fails for good breaks every client's connection off", async () => {
  const gate = Promise.withResolvers<void>();
  await using it = await startWith(large, { pause: { after: MiB, until: gate.promise }, cutAfter: 2 * MiB, times: 1 }, {
    method: "GET",
    status: 404,
  });
  const { site, digest, blob } = it;
  const answers = await Promise.all([1, 2, 3].map(() => site.open(blob)));
  gate.resolve();
  for (const { isComplete, bytes, headers } of await Promise.all(answers.map(receive))) {
    assertEquals([isComplete, headers.get("content-length")], [false, String(large.length)]);
    assertLess(bytes.length, large.length);
    assertEquals(computeDigest(bytes), computeDigest(large.subarray(0, bytes.length)));
  }
  assert(!await site.holds(digest));
  site.upstream.heal();
  assertSame(await site.get(blob), large);
  // What came before is not asked for a second time.
  assertMatch(site.upstream.requests.at(-1)!.headers.get("range") ?? "", /^bytes=[1-9]/);
});

for (const [from, to] of [[0, 99], [MiB, 2 * MiB + 6], [large.length - 10, large.length - 1]] as const) {
  Deno.test(`[5] bytes ${from} to ${to} of a cold blob are right, and only the whole is kept`, async () => {
    await using it = await startWith(large);
    const { site, digest, blob } = it;
    const part = await site.get(blob, { headers: { range: `bytes=${from}-${to}` } });
    assertEquals([part.status, part.headers.get("content-range")], [206, `bytes ${from}-${to}/${large.length}`]);
    assertEquals(computeDigest(part.bytes), computeDigest(large.subarray(from, to + 1)));
    assertSame(await site.get(blob), large);
    assert(await site.holds(digest));
    assertEquals(countGets(site), 1);
  });
}

Deno.test("[6] a tag that moves during a pull leaves each answer consistent in itself", async () => {
  await using site = await CacheSite.start({ flags: ["--tag-ttl=0s"] });
  const { upstream } = site;
  const images = [1, 2].map((seed) => upstream.addImage(PATH, "1.0", [makeBytes(5000, seed)]));
  const [a = "", b = ""] = images.map(({ manifest }) => manifest.digest);
  const move = (i: number) => upstream.addManifest(PATH, images[i % 2]!.manifestBytes as Uint8Array, { tag: "1.0" });
  move(0);
  const started = await site.get("manifests/1.0", { method: "HEAD" });
  assertEquals(started.headers.get("docker-content-digest"), a);
  move(1);
  const seen = new Set<string>();
  for (let round = 0; round < 6; round++) {
    const answers = Promise.all(Array.from({ length: 8 }, () => site.get("manifests/1.0")));
    move(round);
    for (const { status, headers, bytes } of await answers) {
      assertEquals([status, headers.get("docker-content-digest")], [200, computeDigest(bytes)]);
      seen.add(computeDigest(bytes));
    }
    move(round + 1);
    await site.get("manifests/1.0").then(({ bytes }) => seen.add(computeDigest(bytes)));
  }
  assertEquals([...seen].sort(), [a, b].sort());
  // What the first answer named is still to be had, though no tag names it any more.
  await site.pull(a);
  await site.pull(b);
});

Deno.test("[8] a blob cut at half is resumed by a closed range, and filed once", async () => {
  const half = large.length >> 1;
  await using it = await startWith(large, { cutAfter: half, times: 1 });
  const { site, digest, blob } = it;
  assertSame(await site.get(blob), large);
  assert(await site.holds(digest));
  const asked = site.upstream.requests.map(({ headers }) => headers.get("range"));
  assertEquals(asked, [null, `bytes=${half}-${large.length - 1}`]);
  assertEquals(await site.listTemporary(), []);
});

for (const [what, bytes] of [["large", large], ["small", small]] as const) {
  Deno.test(`[10] wrong bytes of a ${what} blob never arrive whole, are not kept, and are asked for again`, async () => {
    await using it = await startWith(bytes, { wrongBytes: true });
    const { site, digest, blob } = it;
    for (let tries = 1; tries <= 2; tries++) {
      for (const received of await Promise.all([1, 2, 3].map(() => site.get(blob)))) {
        assert(!received.isComplete || received.status >= 500, `a complete ${received.status} was given`);
        if (received.status === 200) assertLess(received.bytes.length, bytes.length);
      }
      assert(!await site.holds(digest));
      assertEquals(await site.listTemporary(), []);
      // Who asks after the end of the first download starts another: at most one a client, at least one.
      assert(countGets(site) >= tries && countGets(site) <= 3 * tries);
    }
    site.upstream.heal();
    assertSame(await site.get(blob), bytes);
    assert(await site.holds(digest));
  });
}

const lies: [string, Fault[]][] = [
  ["[11] a length that is too small", [{ method: "GET", contentLength: large.length - 1000 }]],
  ["[11] a length that is too small, on HEAD too", [{ contentLength: large.length - 1000 }]],
  ["[11] a length that is too large", [{ method: "GET", contentLength: large.length + 1000 }]],
  ["[12] no length at all and an early close", [{ contentLength: null, cutAfter: 2 * MiB, ignoreRange: true }]],
];
for (const [what, faults] of lies) {
  Deno.test(`${what}: never a complete answer, nothing is kept`, async () => {
    await using it = await startWith(large, ...faults);
    const { site, digest, blob } = it;
    const response = await site.open(blob);
    const received = await receive(response);
    if (received.status === 200) assert(!received.isComplete, `a complete answer of ${received.bytes.length} bytes`);
    else assert(received.status >= 500, `${received.status}`);
    assert(!await site.holds(digest));
    site.upstream.heal();
    assertSame(await site.get(blob), large);
  });
}

Deno.test("[12] no length and an early close, once: the rest is asked for", async () => {
  await using it = await startWith(large, { method: "GET", contentLength: null, cutAfter: 2 * MiB, times: 1 });
  const { site, digest, blob } = it;
  const { status, isComplete, bytes } = await site.get(blob);
  assertEquals([status, isComplete, computeDigest(bytes)], [200, true, digest]);
  assert(await site.holds(digest));
});
