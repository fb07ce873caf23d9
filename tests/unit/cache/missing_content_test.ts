import { MissingContent } from "../../../lib/cache/missing_content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { FakeUpstream } from "../../support/fake_upstream.ts";
import { assertEquals } from "../../support/assert.ts";
import { UNKNOWN_DIGEST } from "../../support/content.ts";

/** Opens the explanations of an upstream whose repositories have so many tags. */
function open(tagsOf: (repository: string) => number | undefined) {
  const it = { time: 0, asked: [] as string[] };
  const upstream = new FakeUpstream();
  upstream.listTags = (repository) => {
    it.asked.push(repository);
    const length = tagsOf(repository);
    return Promise.resolve(
      length === undefined
        ? undefined
        : { tags: Array.from({ length }, (_, i) => `1.${i}`), isMore: false, mayBeIncomplete: false },
    );
  };
  const missing = new MissingContent({ store: new MemoryStore(), upstream, now: () => it.time });
  async function explain(first: number, last: number): Promise<void> {
    for (let i = first; i <= last; i++) await missing.explain(`registry.example/team/app${i}`, UNKNOWN_DIGEST);
  }
  return Object.assign(it, {
    explain,
    /** Explains again. @returns the number of requests to the upstream */
    async explainAgain(first: number, last: number): Promise<number> {
      const before = it.asked.length;
      await explain(first, last);
      return it.asked.length - before;
    },
  });
}

interface Row {
  readonly what: string;
  readonly tags: number | undefined;
  readonly repositories: number;
  /** Of how many repositories the answer is remembered. */
  readonly remembered: number;
}
const rows: Row[] = [
  { what: "all of a few long lists", tags: 1000, repositories: 19, remembered: 19 },
  { what: "the newest of many long lists", tags: 1000, repositories: 200, remembered: 19 },
  { what: "the newest of many short lists", tags: 30, repositories: 900, remembered: 400 },
  { what: "the newest of many unknown repositories", tags: undefined, repositories: 1200, remembered: 1000 },
  { what: "no list that is longer than all that is remembered", tags: 30_000, repositories: 2, remembered: 0 },
];
for (const { what, tags, repositories, remembered } of rows) {
  Deno.test(`[89] MissingContent remembers ${what}`, async () => {
    const it = open(() => tags);
    await it.explain(1, repositories);
    assertEquals(it.asked.length, repositories);
    const newest = repositories - remembered;
    assertEquals(await it.explainAgain(newest + 1, repositories), 0);
    if (newest > 0) assertEquals(await it.explainAgain(newest, newest), 1);
  });
}

Deno.test("[89] MissingContent replaces an answer that has ended, and counts it once", async () => {
  const it = open(() => 1000);
  for (let round = 0; round < 30; round++) {
    await it.explain(1, 1);
    it.time += 60_001;
  }
  await it.explain(1, 19);
  assertEquals(await it.explainAgain(1, 19), 0);
});

Deno.test("[89] MissingContent lists the tags of the store only when the upstream has none to compare with", async () => {
  const store = new MemoryStore();
  let listed = 0;
  store.listTags = () => {
    listed++;
    return Promise.resolve({ tags: ["1.0"], isMore: false });
  };
  const upstream = new FakeUpstream();
  upstream.listTags = () => Promise.resolve({ tags: ["2.0"], isMore: false });
  const missing = new MissingContent({ store, upstream, now: () => 0 });
  assertEquals((await missing.explain("registry.example/team/app", "2.1")).similarTags, ["2.0"]);
  assertEquals(listed, 0);
  const offline = new MissingContent({ store, now: () => 0 });
  assertEquals((await offline.explain("registry.example/team/app", "1.1")).similarTags, ["1.0"]);
  assertEquals(listed, 1);
});
