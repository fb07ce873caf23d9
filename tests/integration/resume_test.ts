import { computeDigest } from "../../lib/oci/digest.ts";
import { partialPath } from "../../lib/store/layout.ts";
import { assert, assertEquals, assertGreater, assertLess } from "../support/assert.ts";
import { CacheFixture, HOST, PATH, until } from "../support/cache_fixture.ts";
import { makeBytes } from "../support/content.ts";
import { Random } from "../support/random.ts";

const SIZE = 32 * 1024 * 1024 + 77;
const CUTS = 10;
const KILLS = 2;
// Cuts that follow each other at once leave no progress between them, and crpe gives up after a few of those.
const MIN_GAP = 16 * 1024;

/** Chooses positions in the blob, in ascending order, and which of them are kills. */
function choosePoints(random: Random): { at: number; isKill: boolean }[] {
  while (true) {
    const points = Array.from({ length: CUTS + KILLS }, () => random.below(SIZE)).sort((a, b) => a - b);
    const gaps = [...points, SIZE].map((at, i) => at - (points[i - 1] ?? 0));
    if (gaps.some((gap) => gap < MIN_GAP)) continue;
    const kills = new Set([random.below(6), 6 + random.below(6)]);
    return points.map((at, i) => ({ at, isKill: kills.has(i) }));
  }
}

Deno.test("[8] a download that is cut ten times, with two kills of crpe in between, fetches at most 1.05 times its size", async () => {
  const seed = Number(Deno.env.get("CRPE_TEST_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0]);
  const points = choosePoints(new Random(seed));
  console.log(`CRPE_TEST_SEED=${seed}`, points.map(({ at, isKill }) => isKill ? `${at} (kill)` : `${at}`).join(", "));
  await using fixture = await CacheFixture.start();
  const { upstream } = fixture;
  const bytes = makeBytes(SIZE, 21);
  const { digest } = upstream.addBlob(PATH, bytes);
  points.forEach(({ at, isKill }, i) => {
    const length = at - (points[i - 1]?.at ?? 0);
    upstream.fail({
      kind: "blob",
      method: "GET",
      times: 1,
      ...(isKill ? { stallAfter: length } : { cutAfter: length }),
    });
  });
  const partial = `${fixture.data}/${partialPath(digest, `${HOST}/${PATH}`)}`;
  const written = async () => (await Deno.stat(partial).catch(() => undefined))?.size ?? 0;

  for (const { at } of points.filter(({ isKill }) => isKill)) {
    // Killed among the first bytes, crpe may not have sent the head of the response yet.
    const request = fixture.get(`blobs/${digest}`).catch(() => ({ isComplete: false, bytes: new Uint8Array() }));
    // By then all received bytes are in the partial file, so none of them is fetched again.
    await until(`byte ${at} is reached`, async () => await written() >= at);
    await fixture.kill();
    const { isComplete, bytes: part } = await request;
    assert(!isComplete);
    assertLess(part.length, SIZE);
    assertEquals(computeDigest(part), computeDigest(bytes.subarray(0, part.length)));
    await fixture.restart();
  }
  const { isComplete, bytes: all } = await fixture.get(`blobs/${digest}`);
  assert(isComplete);
  assertEquals(computeDigest(all), digest);
  await until("the blob is stored", () => fixture.isLinked(digest));
  assertEquals(await fixture.listTemporary(), []);

  assertEquals(upstream.count("blob", "GET"), 1 + CUTS + KILLS);
  const ratio = upstream.bodyBytes / SIZE;
  assertGreater(ratio, 0.99);
  assert(ratio <= 1.05, `${upstream.bodyBytes} bytes were fetched for ${SIZE}: ${ratio}`);
});
