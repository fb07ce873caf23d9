import { computeDigest, type Digest } from "../../lib/oci/digest.ts";
import { MEDIA_TYPE } from "../../lib/oci/manifest.ts";
import { assert, assertEquals, assertLess, assertMatch } from "../support/assert.ts";
import { CacheFixture, PATH, receive, type Received, until } from "../support/cache_fixture.ts";
import { makeBytes } from "../support/content.ts";
import type { Fault } from "../support/fault_upstream.ts";

const MiB = 1024 * 1024;
const large = makeBytes(4 * MiB + 5, 7);
const small = makeBytes(700, 8);

/** Starts crpe before an upstream that has a blob, and fails as given. */
async function startWith(bytes: Uint8Array<ArrayBuffer>, ...faults: Fault[]) {
  const fixture = await CacheFixture.start();
  const { digest } = fixture.upstream.addBlob(PATH, bytes);
  for (const fault of faults) fixture.upstream.fail({ kind: "blob", ...fault });
  return { fixture, digest, blob: `blobs/${digest}`, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
}

/** Compares by digest, because a diff of megabytes is unreadable. */
function assertSame({ status, isComplete, bytes }: Received, expected: Uint8Array): void {
  assertEquals({ status, isComplete, digest: computeDigest(bytes) }, {
    status: 200,
    isComplete: true,
    digest: computeDigest(expected),
  });
}

/** Waits until the store has a blob: a client receives the last bytes before they are synced. */
async function untilHeld(fixture: CacheFixture, digest: Digest): Promise<void> {
  await until("the blob is in the store", () => fixture.isLinked(digest));
}

function countGets(fixture: CacheFixture): number {
  return fixture.upstream.count("blob", "GET");
}

Deno.test("[1] 50 clients of one uncached image cause one upstream request for each manifest and blob", async () => {
  await using fixture = await CacheFixture.start();
  const { upstream } = fixture;
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
  await Promise.all(Array.from({ length: 50 }, (_, i) => fixture.pull("1.0", { byHead: i % 2 === 0 })));
  const paths = upstream.requests.map(({ path }) => path);
  assertEquals(paths.length, 2 + 1 + layers.length, paths.join("\n"));
  assertEquals(new Set(paths).size, paths.length);
  await untilHeld(fixture, config.digest);
});

Deno.test("[2] a download continues for other clients when the client that started it disconnects", async () => {
  const gate = Promise.withResolvers<void>();
  await using it = await startWith(large, { pause: { after: 2 * MiB, until: gate.promise } });
  const { fixture, digest, blob } = it;
  const leaving = new AbortController();
  const first = await fixture.open(blob, { signal: leaving.signal });
  assert(!(await first.body!.getReader().read()).done);
  const follower = await fixture.open(blob);
  leaving.abort();
  gate.resolve();
  assertSame(await receive(follower), large);
  await untilHeld(fixture, digest);
  assertEquals(countGets(fixture), 1);
});

Deno.test("[2] a download completes without any client left, and the next client is served from the store", async () => {
  const gate = Promise.withResolvers<void>();
  await using it = await startWith(large, { pause: { after: MiB, until: gate.promise } });
  const { fixture, digest, blob } = it;
  const leaving = new AbortController();
  const only = await fixture.open(blob, { signal: leaving.signal });
  assert(!(await only.body!.getReader().read()).done);
  leaving.abort();
  gate.resolve();
  await until("the blob is in the store", () => fixture.isLinked(digest));
  assertSame(await fixture.get(blob), large);
  assertEquals(countGets(fixture), 1);
});

Deno.test("[3] a client that does not read delays no other client, and gets the whole blob in the end", async () => {
  // More than fits in all buffers between the upstream and the client.
  const huge = makeBytes(24 * MiB, 3);
  await using it = await startWith(huge);
  const { fixture, digest, blob } = it;
  const slow = await fixture.open(blob);
  for (const { bytes } of await Promise.all([1, 2, 3].map(() => fixture.get(blob)))) {
    assertEquals(computeDigest(bytes), digest);
  }
  await untilHeld(fixture, digest);
  assertEquals(computeDigest((await receive(slow)).bytes), digest);
  assertEquals(countGets(fixture), 1);
});

Deno.test("[4] a transfer that is cut off is resumed for every waiting client", async () => {
  const gate = Promise.withResolvers<void>();
  await using it = await startWith(large, { pause: { after: MiB, until: gate.promise }, cutAfter: 2 * MiB, times: 1 });
  const { fixture, blob } = it;
  const answers = await Promise.all([1, 2, 3].map(() => fixture.open(blob)));
  gate.resolve();
  for (const received of await Promise.all(answers.map(receive))) assertSame(received, large);
  assertEquals(countGets(fixture), 2);
});

Deno.test("[4] the connection of every waiting client is aborted when the upstream keeps failing", async () => {
  const gate = Promise.withResolvers<void>();
  await using it = await startWith(large, { pause: { after: MiB, until: gate.promise }, cutAfter: 2 * MiB, times: 1 }, {
    method: "GET",
    status: 404,
  });
  const { fixture, digest, blob } = it;
  const answers = await Promise.all([1, 2, 3].map(() => fixture.open(blob)));
  gate.resolve();
  for (const { isComplete, bytes, headers } of await Promise.all(answers.map(receive))) {
    assertEquals(isComplete, false);
    assertEquals(headers.get("content-length"), String(large.length));
    assertLess(bytes.length, large.length);
    assertEquals(computeDigest(bytes), computeDigest(large.subarray(0, bytes.length)));
  }
  assert(!await fixture.holds(digest));
  fixture.upstream.heal();
  assertSame(await fixture.get(blob), large);
  // The bytes received before the failure are not requested again.
  assertMatch(fixture.upstream.requests.at(-1)!.headers.get("range") ?? "", /^bytes=[1-9]/);
});

// The tail is requested separately: the download releases it only after it has verified all of the blob.
const ranges = [[0, 99, 1], [MiB, 2 * MiB + 6, 1], [large.length - 10, large.length - 1, 2]] as const;
for (const [from, to, gets] of ranges) {
  Deno.test(`[5] bytes ${from} to ${to} of an uncached blob are right, and only the whole blob is cached`, async () => {
    await using it = await startWith(large);
    const { fixture, digest, blob } = it;
    const part = await fixture.get(blob, { headers: { range: `bytes=${from}-${to}` } });
    assertEquals(part.status, 206);
    assertEquals(part.headers.get("content-range"), `bytes ${from}-${to}/${large.length}`);
    assertEquals(computeDigest(part.bytes), computeDigest(large.subarray(from, to + 1)));
    assertSame(await fixture.get(blob), large);
    await untilHeld(fixture, digest);
    assertEquals(countGets(fixture), gets);
    assertEquals(fixture.upstream.requests.filter(({ headers }) => headers.has("range")).length, gets - 1);
  });
}

Deno.test("[6] each response is consistent in itself while a tag moves during a pull", async () => {
  await using fixture = await CacheFixture.start({ flags: ["--tag-ttl=0s"] });
  const { upstream } = fixture;
  const images = [1, 2].map((seed) => upstream.addImage(PATH, "1.0", [makeBytes(5000, seed)]));
  const [a = "", b = ""] = images.map(({ manifest }) => manifest.digest);
  const move = (i: number) => upstream.addManifest(PATH, images[i % 2]!.manifestBytes as Uint8Array, { tag: "1.0" });
  move(0);
  const started = await fixture.get("manifests/1.0", { method: "HEAD" });
  assertEquals(started.headers.get("docker-content-digest"), a);
  move(1);
  const seen = new Set<string>();
  for (let round = 0; round < 6; round++) {
    const answers = Promise.all(Array.from({ length: 8 }, () => fixture.get("manifests/1.0")));
    move(round);
    for (const { status, headers, bytes } of await answers) {
      assertEquals(status, 200);
      assertEquals(headers.get("docker-content-digest"), computeDigest(bytes));
      seen.add(computeDigest(bytes));
    }
    move(round + 1);
    await fixture.get("manifests/1.0").then(({ bytes }) => seen.add(computeDigest(bytes)));
  }
  assertEquals([...seen].sort(), [a, b].sort());
  // Both manifests can still be pulled by digest, although the tag points to only one of them.
  await fixture.pull(a);
  await fixture.pull(b);
});

Deno.test("[8] a blob that is cut off halfway is resumed with a closed range, and committed once", async () => {
  const half = large.length >> 1;
  await using it = await startWith(large, { cutAfter: half, times: 1 });
  const { fixture, digest, blob } = it;
  assertSame(await fixture.get(blob), large);
  await untilHeld(fixture, digest);
  const asked = fixture.upstream.requests.map(({ headers }) => headers.get("range"));
  assertEquals(asked, [null, `bytes=${half}-${large.length - 1}`]);
  assertEquals(await fixture.listTemporary(), []);
});

for (const [what, bytes] of [["large", large], ["small", small]] as const) {
  Deno.test(`[10] a ${what} blob with wrong bytes is never served whole, is not cached, and is fetched again`, async () => {
    await using it = await startWith(bytes, { wrongBytes: true });
    const { fixture, digest, blob } = it;
    for (let tries = 1; tries <= 2; tries++) {
      for (const received of await Promise.all([1, 2, 3].map(() => fixture.get(blob)))) {
        assert(!received.isComplete || received.status >= 500, `a complete ${received.status} response`);
        if (received.status === 200) assertLess(received.bytes.length, bytes.length);
      }
      assert(!await fixture.holds(digest));
      assertEquals(await fixture.listTemporary(), []);
      // A client that asks after the first download has ended starts another one: one to three downloads a round.
      assert(countGets(fixture) >= tries && countGets(fixture) <= 3 * tries);
    }
    fixture.upstream.heal();
    assertSame(await fixture.get(blob), bytes);
    await untilHeld(fixture, digest);
  });
}

const lies: [string, Fault[]][] = [
  ["[11] a Content-Length that is too small", [{ method: "GET", contentLength: large.length - 1000 }]],
  ["[11] a Content-Length that is too small, also for HEAD", [{ contentLength: large.length - 1000 }]],
  ["[11] a Content-Length that is too large", [{ method: "GET", contentLength: large.length + 1000 }]],
  ["[12] no Content-Length and an early close", [{ contentLength: null, cutAfter: 2 * MiB, ignoreRange: true }]],
];
for (const [what, faults] of lies) {
  Deno.test(`${what}: the response is never complete, and nothing is cached`, async () => {
    await using it = await startWith(large, ...faults);
    const { fixture, digest, blob } = it;
    const response = await fixture.open(blob);
    const received = await receive(response);
    if (received.status === 200) assert(!received.isComplete, `a complete response of ${received.bytes.length} bytes`);
    else assert(received.status >= 500, `${received.status}`);
    assert(!await fixture.holds(digest));
    fixture.upstream.heal();
    assertSame(await fixture.get(blob), large);
  });
}

Deno.test("[12] one early close without a Content-Length is followed by a request for the rest", async () => {
  await using it = await startWith(large, { method: "GET", contentLength: null, cutAfter: 2 * MiB, times: 1 });
  const { fixture, digest, blob } = it;
  assertSame(await fixture.get(blob), large);
  await untilHeld(fixture, digest);
});
