import { ChunkBudget } from "../../../lib/bytes/chunk_budget.ts";
import { returnChunk } from "../../../lib/bytes/lent_chunks.ts";
import { type Follower, Relay } from "../../../lib/cache/relay.ts";
import { assertEquals } from "../../support/assert.ts";

const MiB = 1024 * 1024;

// What a relay of 8 MiB does with its first chunk of 1 MiB, when `added` chunks are added and two readers have read it.
const CASES: { title: string; added: number; returned: number; isFreed: boolean }[] = [
  { title: "keeps the memory of a chunk that it still has", added: 8, returned: 2, isFreed: false },
  { title: "keeps the memory of a chunk that a reader has", added: 9, returned: 1, isFreed: false },
  { title: "frees the memory of a chunk that all have read", added: 9, returned: 2, isFreed: true },
];
for (const { title, added, returned, isFreed } of CASES) {
  Deno.test(`Relay ${title}`, async () => {
    const budget = new ChunkBudget();
    const relay = new Relay(new Set<Follower>(), "the blob", budget);
    const chunks = Array.from({ length: added }, (_, i) => new Uint8Array(MiB).fill(i));
    relay.addCopy(0, chunks[0]!);
    const read = [await relay.read(0, MiB), await relay.read(10, MiB)];
    assertEquals(read.map((bytes) => bytes?.length), [MiB, MiB - 10]);
    for (const [i, chunk] of chunks.slice(1).entries()) relay.addCopy((i + 1) * MiB, chunk);
    for (const bytes of read.slice(0, returned)) returnChunk(bytes!);
    assertEquals(chunks[0]!.length, isFreed ? 0 : MiB);
    assertEquals((await relay.read(0, 1))?.length, added === 8 ? 1 : undefined);
    relay.clear();
    assertEquals(budget.used, 0);
    assertEquals(chunks.slice(1).filter(({ length }) => length > 0), []);
  });
}
