import { ChunkBudget } from "../../../lib/bytes/chunk_budget.ts";
import { returnChunk } from "../../../lib/bytes/lent_chunks.ts";
import { type Follower, Relay } from "../../../lib/cache/relay.ts";
import { assertEquals } from "../../support/assert.ts";

const MiB = 1024 * 1024;

// What a relay of 8 MiB does with its first chunk of 1 MiB, when `added` chunks are added and two readers have read it.
interface RelayCase {
  readonly title: string;
  readonly added: number;
  readonly returned: number;
  readonly stored: number;
  readonly isKept: boolean;
  readonly isFreed: boolean;
}

const CASES: RelayCase[] = [
  { title: "keeps a chunk while there is room", added: 8, returned: 2, stored: MiB, isKept: true, isFreed: false },
  {
    title: "keeps a chunk that is not on the disk",
    added: 9,
    returned: 2,
    stored: MiB - 1,
    isKept: true,
    isFreed: false,
  },
  { title: "leaves a chunk to its reader", added: 9, returned: 1, stored: MiB, isKept: false, isFreed: false },
  { title: "frees a chunk that all have read", added: 9, returned: 2, stored: MiB, isKept: false, isFreed: true },
];
for (const { title, added, returned, stored, isKept, isFreed } of CASES) {
  Deno.test(`Relay ${title}`, async () => {
    const budget = new ChunkBudget();
    const relay = new Relay(new Set<Follower>(), "the blob", budget);
    const chunks = Array.from({ length: added }, (_, i) => new Uint8Array(MiB).fill(i));
    const add = (i: number) => relay.addCopy(i * MiB, chunks[i]!, () => stored);
    add(0);
    const read = [await relay.read(0, MiB), await relay.read(10, MiB)];
    assertEquals(read.map((bytes) => bytes?.length), [MiB, MiB - 10]);
    for (let i = 1; i < added; i++) add(i);
    for (const bytes of read.slice(0, returned)) returnChunk(bytes!);
    assertEquals(chunks[0]!.length, isFreed ? 0 : MiB);
    assertEquals((await relay.read(0, 1))?.length, isKept ? 1 : undefined);
    relay.clear();
    assertEquals(budget.used, 0);
    assertEquals(chunks.slice(1).filter(({ length }) => length > 0), []);
  });
}
