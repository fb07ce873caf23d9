import { PullThrough } from "../../../lib/cache/pull_through.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { until } from "../../support/cache_fixture.ts";
import { makeBlob, makeManifest } from "../../support/content.ts";
import { FakeUpstream, unreachable } from "../../support/fake_upstream.ts";
import { removeFolder } from "../../support/remove_folder.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const [config, layer] = [makeBlob(200, 1), makeBlob(3000, 2)] as const;
const before = makeManifest(config, [layer]);
const after = makeManifest(layer, [config]);

async function openRevalidating(revalidationWait: number) {
  const folder = await TestFolder.create();
  const upstream = new FakeUpstream(config, layer, before, after);
  upstream.tags.set("1.0", before.descriptor.digest);
  const warnings: string[] = [];
  let time = 0;
  const cache = new PullThrough({
    store: new DiskStore(folder.path),
    upstream,
    tagTtl: 1000,
    revalidationWait,
    now: () => time,
    warn: (message) => warnings.push(message),
  });
  for (const { descriptor } of [config, layer]) await cache.fetchBlob(REPO, descriptor);
  assertEquals((await cache.resolve(REPO, "1.0"))?.digest, before.descriptor.digest);
  upstream.tags.set("1.0", after.descriptor.digest);
  time += 1000;
  return {
    ...{ cache, upstream, warnings },
    resolve: async () => await cache.resolve(REPO, "1.0"),
    wait: (milliseconds: number) => time += milliseconds,
    countHeads: () => upstream.asked.filter((asked) => asked.startsWith("head ")).length,
    [Symbol.asyncDispose]: () => removeFolder(folder.path),
  };
}

/** Delays the answers to HEAD until the returned function is called. */
function delayHeads(upstream: FakeUpstream): () => void {
  const gate = Promise.withResolvers<void>();
  const head = upstream.headManifest.bind(upstream);
  upstream.headManifest = async (...ask) => {
    await gate.promise;
    return await head(...ask);
  };
  return gate.resolve;
}

Deno.test("[75] a tag of a slow upstream is served at once, and revalidated once in the background", async () => {
  await using it = await openRevalidating(1);
  const answer = delayHeads(it.upstream);
  const stale = { ...before.descriptor, isStale: true as const };
  assertEquals(await Promise.all([1, 2, 3].map(() => it.resolve())), [stale, stale, stale]);
  assertEquals(await it.resolve(), stale);
  answer();
  await until("the tag is revalidated", async () => (await it.resolve())?.digest === after.descriptor.digest);
  assertEquals([it.upstream.asked.filter((asked) => asked.startsWith("head ")), it.warnings], [["head 1.0"], []]);
});

Deno.test("[75] a tag of a quick upstream is revalidated before it is served", async () => {
  await using it = await openRevalidating(60_000);
  assertEquals(
    await Promise.all([1, 2, 3].map(() => it.resolve())),
    [1, 2, 3].map(() => ({ ...after.descriptor, isFetched: true as const })),
  );
  assertEquals(it.countHeads(), 1);
});

Deno.test("[75] a tag stays stale after a revalidation in the background has failed", async () => {
  await using it = await openRevalidating(1);
  it.upstream.failure = unreachable();
  const answer = delayHeads(it.upstream);
  const stale = { ...before.descriptor, isStale: true as const };
  assertEquals(await it.resolve(), stale);
  answer();
  await until("the failure is reported", () => it.warnings.length === 1);
  assertEquals([await it.resolve(), it.countHeads()], [stale, 1]);
  it.wait(1000);
  it.upstream.failure = undefined;
  await until("the tag is revalidated", async () => (await it.resolve())?.digest === after.descriptor.digest);
});

Deno.test("[75] the first request for an unknown tag waits for the upstream", async () => {
  await using it = await openRevalidating(1);
  it.upstream.tags.set("2.0", after.descriptor.digest);
  const resolve = it.upstream.resolve.bind(it.upstream);
  it.upstream.resolve = async (...ask) => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return await resolve(...ask);
  };
  assertEquals(await it.cache.resolve(REPO, "2.0"), { ...after.descriptor, isFetched: true });
});

Deno.test("[75] at most 64 tags are revalidated at a time; the other ones are served as they are", async () => {
  await using it = await openRevalidating(1);
  const tags = Array.from({ length: 80 }, (_, i) => `t${i}`);
  for (const tag of tags) it.upstream.tags.set(tag, before.descriptor.digest);
  await Promise.all(tags.map((tag) => it.cache.resolve(REPO, tag)));
  it.wait(1000);
  let pending = 0;
  const gate = Promise.withResolvers<void>();
  it.upstream.headManifest = async () => {
    pending++;
    await gate.promise;
    return before.descriptor;
  };
  const served = await Promise.all(tags.map((tag) => it.cache.resolve(REPO, tag)));
  assert(served.every((manifest) => manifest?.isStale));
  assertEquals(pending, 64);
  gate.resolve();
  await until("the tags are fresh", async () => !(await it.cache.resolve(REPO, "t0"))?.isStale);
});
