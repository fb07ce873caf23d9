import { continueWith } from "../../../lib/cache/continue_with.ts";
import { assertEquals } from "../../support/assert.ts";
import { streamOf } from "../../support/content.ts";

const BYTES = Uint8Array.from({ length: 100 }, (_, i) => i);

/** Reads a body of 10 chunks, each of which takes a time, with a pace of 50 bytes in 5 s. */
async function read({ millisecondsEach, hasRest = true }: { millisecondsEach: number; hasRest?: boolean }) {
  let time = 0;
  const opened: number[] = [];
  let isCancelled = false;
  let sent = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (sent === BYTES.length) return controller.close();
      time += millisecondsEach;
      controller.enqueue(BYTES.slice(sent, sent += 10));
    },
    cancel: () => void (isCancelled = true),
  }, { highWaterMark: 0 });
  const openRest = (at: number) => {
    opened.push(at);
    return hasRest ? Promise.resolve(streamOf(BYTES.slice(at))) : Promise.reject(new Error("unreachable"));
  };
  const pace = { milliseconds: 5000, bytes: 50, now: () => time };
  const bytes = await new Response(continueWith(body, openRest, { start: 0, pace })).bytes();
  return { bytes, opened, isCancelled };
}

Deno.test("[108] what a peer sends too slowly is continued from the upstream", async () => {
  assertEquals(await read({ millisecondsEach: 2000 }), { bytes: BYTES, opened: [30], isCancelled: true });
});

Deno.test("[108] what a peer sends fast enough comes from the peer alone", async () => {
  assertEquals(await read({ millisecondsEach: 1000 }), { bytes: BYTES, opened: [], isCancelled: false });
});

Deno.test("[108] a slow peer goes on when the upstream cannot be reached, which is tried once", async () => {
  const expected = { bytes: BYTES, opened: [30], isCancelled: false };
  assertEquals(await read({ millisecondsEach: 2000, hasRest: false }), expected);
});
