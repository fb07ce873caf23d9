import { verifyStream } from "../../../lib/cache/verifying_stream.ts";
import { DigestMismatchError } from "../../../lib/content/verifier.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { makeBlob, readAll, streamOf } from "../../support/content.ts";

const { bytes, descriptor: { digest } } = makeBlob(300_000, 1);
const size = bytes.length;
const whole = { start: 0, length: size };

function open(body: ReadableStream<Uint8Array>, span = whole) {
  const failures: unknown[] = [];
  const stream = verifyStream(body, { digest, size, onFailure: (error) => failures.push(error) }, span);
  return { opened: { size, ...span, body: stream }, failures };
}

Deno.test("verifyStream() delivers a blob, and byte ranges of it, and reports no failure", async () => {
  for (const span of [whole, { start: 1000, length: 5 }, { start: size - 3, length: 3 }]) {
    const { opened, failures } = open(streamOf(bytes), span);
    assertEquals(await readAll(opened), bytes.slice(span.start, span.start + span.length));
    assertEquals(failures, []);
  }
});

Deno.test("[10] verifyStream() reports corrupt bytes, with the error that its reader receives", async () => {
  const wrong = bytes.slice();
  wrong[0]! ^= 1;
  const { opened, failures } = open(streamOf(wrong));
  const error = await assertRejects(() => readAll(opened), DigestMismatchError);
  assertEquals(failures, [error]);
});

Deno.test("[4] verifyStream() reports a body that fails", async () => {
  const cut = new Error("cut");
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(bytes.slice(0, 100_000)),
    pull: () => Promise.reject(cut),
  });
  const { opened, failures } = open(body);
  await assertRejects(() => readAll(opened), Error, "cut");
  assertEquals(failures, [cut]);
});

Deno.test("[2] verifyStream() cancels the body when its reader cancels, and reports no failure", async () => {
  const cancelled = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(bytes.slice(0, 1000)),
    cancel: () => cancelled.resolve(),
  });
  const { opened, failures } = open(body);
  const reader = opened.body.getReader();
  // The blob is longer than the held-back bytes, so that some bytes are delivered before its end.
  assert(!(await reader.read()).done);
  await reader.cancel();
  await cancelled.promise;
  assertEquals(failures, []);
});
