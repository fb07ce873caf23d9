import { ChunkBudget } from "../../../lib/bytes/chunk_budget.ts";
import { readObject } from "../../../lib/object_store/read_object.ts";
import { assertEquals } from "../../support/assert.ts";
import { MemoryS3 } from "../../support/memory_s3.ts";

const LENGTH = 5_000_000;

/** A byte stream that sends `chunks`, and then waits. */
function openBody(chunks: number, onCancel: () => void): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    type: "bytes",
    pull(controller) {
      if (chunks-- > 0) controller.enqueue(new Uint8Array(1000));
      else return new Promise(() => {});
    },
    cancel: onCancel,
  }, { highWaterMark: 0 });
}

Deno.test("[103] readObject() opens nothing, and holds no memory, after a client has left", async () => {
  const budget = new ChunkBudget();
  const s3 = new MemoryS3();
  let cancels = 0;
  s3.intercept = () => {
    const headers = { "content-range": `bytes 0-${LENGTH - 1}/${LENGTH}`, etag: '"x"' };
    return new Response(openBody(Infinity, () => cancels++), { status: 206, headers });
  };
  for (const chunks of [0, 3]) {
    const opened = { size: LENGTH, etag: '"x"', body: openBody(chunks, () => cancels++) };
    const part = { key: "k", start: 0, length: LENGTH, budget };
    const reader = readObject(s3.client(), part, opened).getReader();
    for (let i = 0; i < chunks; i++) await reader.read();
    const pending = reader.read();
    // The pull waits for the storage.
    await new Promise((resolve) => setTimeout(resolve, 0));
    await reader.cancel();
    assertEquals((await pending).done, true);
    // What a wrong resume would do takes some turns of the event loop.
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assertEquals({ requests: s3.requests, cancels, used: budget.used }, { requests: [], cancels: 2, used: 0 });
});

Deno.test("[103] readObject() gives the memory back when the storage sends too much", async () => {
  const budget = new ChunkBudget();
  let cancels = 0;
  const opened = { size: 500, etag: '"x"', body: openBody(Infinity, () => cancels++) };
  const part = { key: "k", start: 0, length: 500, budget };
  const error = await new Response(readObject(new MemoryS3().client(), part, opened)).bytes().catch((it) => it);
  assertEquals([error.message, cancels, budget.used], ["Cannot read k: the object storage sent too much", 1, 0]);
});
