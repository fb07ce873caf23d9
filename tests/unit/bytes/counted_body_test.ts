import { countBody } from "../../../lib/bytes/counted_body.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";

/** A body that hands out so many bytes a pull, one pull after the other, and then does what it is to do. */
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

const wholes: [what: string, chunks: number[], length: number, told: [number, boolean]][] = [
  ["one chunk", [10], 10, [10, true]],
  ["several chunks", [3, 4, 5], 12, [12, true]],
  ["nothing", [], 0, [0, true]],
  ["fewer bytes than promised", [3, 4], 12, [7, true]],
  ["a length that nobody knows", [3, 4], Infinity, [7, true]],
];
for (const [what, chunks, length, expected] of wholes) {
  Deno.test(`countBody() tells once of a body of ${what}`, async () => {
    const told: [number, boolean][] = [];
    const { body } = makeBody(chunks, "close");
    const got = await new Response(countBody(body, length, (...end) => told.push(end)) as BodyInit).bytes();
    assertEquals([got.length, told], [expected[0], [expected]]);
  });
}

Deno.test("countBody() has told of the whole when the last bytes are handed out, not only at the end after them", async () => {
  const told: number[] = [];
  const { body } = makeBody([3, 4], "close");
  const reader = countBody(body, 7, (bytes) => told.push(bytes)).getReader();
  await reader.read();
  assertEquals(told, []);
  await reader.read();
  assertEquals(told, [7]);
  assertEquals((await reader.read()).done, true);
  assertEquals(told, [7]);
});

Deno.test("countBody() tells of a body that breaks off, and breaks off itself", async () => {
  const told: [number, boolean][] = [];
  const { body } = makeBody([3, 4], "error");
  await assertRejects(
    () => new Response(countBody(body, 12, (...end) => told.push(end)) as BodyInit).bytes(),
    Error,
    "cut",
  );
  assertEquals(told, [[7, false]]);
});

Deno.test("countBody() tells of a reader that leaves, cancels the body, and reads nothing ahead", async () => {
  const told: [number, boolean][] = [];
  const { body, state } = makeBody([3, 4, 5], "close");
  const counted = countBody(body, 12, (...end) => told.push(end));
  const reader = counted.getReader();
  await reader.read();
  assertEquals([state.pulls, told], [1, []]);
  await reader.cancel("gone");
  assertEquals([state.pulls, state.cancelled, told], [1, "gone", [[3, false]]]);
});
