import { computeDigest } from "../../lib/oci/digest.ts";
import { assert, assertEquals, assertGreater, assertLess } from "../support/assert.ts";
import { CacheSite, PATH, until } from "../support/cache_site.ts";
import { makeBytes } from "../support/content.ts";

const SIZE = 32 * 1024 * 1024 + 77;
const CUTS = 10;
const KILLS = 2;
// A cut that follows another at once is no progress, and in the end given up.
const MIN_GAP = 16 * 1024;

/** Random numbers from 0 up to, not with, 1; the same for the same seed (mulberry32). */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = state + 0x6d2b79f5 >>> 0;
    let mixed = Math.imul(state ^ state >>> 15, state | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  };
}

/** Positions in the blob, in their order, and which of them are kills. */
function choosePoints(random: () => number): { at: number; isKill: boolean }[] {
  while (true) {
    const points = Array.from({ length: CUTS + KILLS }, () => Math.floor(random() * SIZE)).sort((a, b) => a - b);
    const gaps = [...points, SIZE].map((at, i) => at - (points[i - 1] ?? 0));
    if (gaps.some((gap) => gap < MIN_GAP)) continue;
    const kills = new Set([Math.floor(random() * 6), 6 + Math.floor(random() * 6)]);
    return points.map((at, i) => ({ at, isKill: kills.has(i) }));
  }
}

Deno.test("[8] a download that is cut ten times, crpe killed twice in between, costs at most 1.05 of its size", async () => {
  const seed = Number(Deno.env.get("CRPE_TEST_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0]);
  const points = choosePoints(createRandom(seed));
  console.log(`CRPE_TEST_SEED=${seed}`, points.map(({ at, isKill }) => isKill ? `${at} (kill)` : `${at}`).join(", "));
  await using site = await CacheSite.start();
  const { upstream } = site;
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
  const partial = `${site.data}/ingest/${digest.replace(":", "-")}.partial`;
  const written = async () => (await Deno.stat(partial).catch(() => undefined))?.size ?? 0;

  for (const { at } of points.filter(({ isKill }) => isKill)) {
    const asking = site.get(`blobs/${digest}`);
    // What has come is in the file by then, so that nothing of it has to come again.
    await until(`byte ${at} is reached`, async () => await written() >= at);
    await site.kill();
    const { isComplete, bytes: part } = await asking;
    assert(!isComplete);
    assertLess(part.length, SIZE);
    assertEquals(computeDigest(part), computeDigest(bytes.subarray(0, part.length)));
    await site.restart();
  }
  const { isComplete, bytes: all } = await site.get(`blobs/${digest}`);
  assert(isComplete);
  assertEquals(computeDigest(all), digest);
  assert(await site.holds(digest));
  assertEquals(await site.listTemporary(), []);

  assertEquals(upstream.count("blob", "GET"), 1 + CUTS + KILLS);
  const ratio = upstream.bodyBytes / SIZE;
  assertGreater(ratio, 0.99);
  assert(ratio <= 1.05, `${upstream.bodyBytes} bytes were fetched for ${SIZE}: ${ratio}`);
});
