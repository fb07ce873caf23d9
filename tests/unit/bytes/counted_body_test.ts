import { countBody } from "../../../lib/bytes/counted_body.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";

/** Makes a body that enqueues one chunk of each size per pull, and then closes or fails. */
function makeBody(chunks: readonly number[], last: "close" | "error") {
  const state = { cancelled: undefined as unknown, pulls: 0 };
  const rest = [...chunks];
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      state.pulls++;
      const size = rest.shift();
      if (size !== undefined) controller.enqueue(new Uint8Array(size));
      else if (last === "close") controller.close();
      else throw new Error("cut");
    },
    cancel(reason) {
      state.cancelled = reason;
    },
  }, { highWaterMark: 0 });
  return { body, state };
}

const wholes: [what: string, chunks: number[], length: number, reported: [number, boolean]][] = [
  ["one chunk", [10], 10, [10, true]],
  ["several chunks", [3, 4, 5], 12, [12, true]],
  ["no bytes", [], 0, [0, true]],
  ["fewer bytes than promised", [3, 4], 12, [7, true]],
  ["unknown length", [3, 4], Infinity, [7, true]],
];
for (const [what, chunks, length, expected] of wholes) {
  Deno.test(`countBody() reports the end once for a body of ${what}`, async () => {
    const reported: [number, boolean][] = [];
    const { body } = makeBody(chunks, "close");
    const got = await new Response(countBody(body, length, { onEnd: (...end) => reported.push(end) }) as BodyInit)
      .bytes();
    assertEquals([got.length, reported], [expected[0], [expected]]);
  });
}

Deno.test("countBody() reports the end with the last bytes, before the end of the stream is read", async () => {
  const reported: number[] = [];
  const { body } = makeBody([3, 4], "close");
  const reader = countBody(body, 7, { onEnd: (bytes) => reported.push(bytes) }).getReader();
  await reader.read();
  assertEquals(reported, []);
  await reader.read();
  assertEquals(reported, [7]);
  assertEquals((await reader.read()).done, true);
  assertEquals(reported, [7]);
});

Deno.test("countBody() reports a body that fails, and fails itself", async () => {
  const reported: [number, boolean][] = [];
  const { body } = makeBody([3, 4], "error");
  await assertRejects(
    () => new Response(countBody(body, 12, { onEnd: (...end) => reported.push(end) }) as BodyInit).bytes(),
    Error,
    "cut",
  );
  assertEquals(reported, [[7, false]]);
});

Deno.test("countBody() reports a cancelled read, cancels the body, and does not read ahead", async () => {
  const reported: [number, boolean][] = [];
  const { body, state } = makeBody([3, 4, 5], "close");
  const counted = countBody(body, 12, { onEnd: (...end) => reported.push(end) });
  const reader = counted.getReader();
  await reader.read();
  assertEquals([state.pulls, reported], [1, []]);
  await reader.cancel("gone");
  assertEquals([state.pulls, state.cancelled, reported], [1, "gone", [[3, false]]]);
});
