import { computeDigest } from "../../../../lib/oci/digest.ts";
import { BlobBody } from "../../../../lib/upstream/push/blob_body.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";

const BYTES = new TextEncoder().encode("content");
const content = {
  digest: computeDigest(BYTES),
  size: BYTES.length,
  open: (start: number) => Promise.resolve(new Blob([BYTES.subarray(start)]).stream()),
};

Deno.test("[98] a body that the connection takes no more of is aborted, and one that was taken is not", async () => {
  await using stalled = new BlobBody(content, { stallTimeout: 1, onSent: () => {} });
  const aborted = new Promise((resolve) => stalled.signal.addEventListener("abort", resolve));
  const reader = (await stalled.open()).getReader();
  await reader.read();
  await aborted;
  assertEquals(stalled.signal.reason.message, "the connection took no bytes in 0 s");

  await using taken = new BlobBody(content, { stallTimeout: 60_000, onSent: () => {} });
  assertEquals(await new Response(await taken.open()).text(), "content");
  // A timer that still ran would be reported as a leak.
  assertEquals(taken.signal.aborted, false);
});

Deno.test("[98] a body that is opened again starts at its first byte, and the one before fails", async () => {
  let sent = 0;
  await using body = new BlobBody(content, { stallTimeout: 60_000, onSent: (bytes) => sent += bytes });
  const first = (await body.open()).getReader();
  assertEquals(await new Response(await body.open()).text(), "content");
  await assertRejects(() => first.read(), Error, "opened again");
  assertEquals(sent, BYTES.length);
});
