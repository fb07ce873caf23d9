import { MAX_PENDING } from "../../../lib/install/pending_packages.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { createAgentHandlerFixture } from "../../support/agent_handler_fixture.ts";
import { assertEquals, assertGreater, assertStringIncludes } from "../../support/assert.ts";
import { makeBytes } from "../../support/content.ts";
import { listPending } from "../../support/list_pending.ts";

const BLOB = makeBytes(300_000, 7);
const DIGEST = computeDigest(BLOB);

/** A release whose only blob is `BLOB`, as `POST /kubepkgs/plan` takes it. */
function planOf(name: string): string {
  const image = { type: "manifest", name: "registry.test/app", tag: "1", digest: `sha256:${"cd".repeat(32)}`, size: 5 };
  return JSON.stringify({
    apiVersion: "octohelm.tech/v1alpha1",
    kind: "KubePkg",
    metadata: { name },
    spec: { version: "1.0.0", images: { "registry.test/app:1": image.digest }, manifests: {} },
    status: { digests: [image, { type: "blob", name: image.name, digest: DIGEST, size: BLOB.length }] },
  });
}

/** Sends the bytes in small pieces, with a pause after each; never ends. */
function trickle(bytes: Uint8Array, { piece, pause }: { piece: number; pause: number }) {
  const state = { sent: 0, isCancelled: false };
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      if (state.isCancelled) return;
      controller.enqueue(bytes.slice(state.sent, state.sent + piece));
      state.sent += piece;
    },
    cancel: () => void (state.isCancelled = true),
  }, { highWaterMark: 0 });
  return { state, body };
}

const headers = { "content-range": `bytes 0-${BLOB.length - 1}/${BLOB.length}` };

Deno.test("[94] an upload that sends a byte now and then ends; its bytes are kept, and no lease is held", async () => {
  await using site = await createAgentHandlerFixture({ stallTimeout: 60 });
  assertEquals((await site.ask("/kubepkgs/plan", { method: "POST", body: planOf("slow") })).status, 200);
  for (
    const [path, options] of [
      [`/kubepkgs/blobs/${DIGEST}`, { headers }],
      ["/kubepkgs", {}],
      ["/kubepkgs/plan", { method: "POST" }],
    ] as const
  ) {
    const { state, body } = trickle(BLOB, { piece: 1, pause: 5 });
    const response = await site.ask(path, { method: "PUT", ...options, body });
    assertEquals(response.status, 400, path);
    assertStringIncludes(await response.text(), "bytes were received in 0.06 s");
    assertGreater(state.sent, 0);
    assertEquals([state.isCancelled, site.leases()], [true, 0], path);
  }
  const { offset } = await (await site.ask(`/kubepkgs/blobs/${DIGEST}`)).json();
  assertGreater(offset, 0);
});

Deno.test("[94] an upload that is slow, but makes progress, is received to its end", async () => {
  await using site = await createAgentHandlerFixture({ stallTimeout: 1000 });
  await site.ask("/kubepkgs/plan", { method: "POST", body: planOf("slow") });
  let sent = 0;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      // All pauses together are longer than the time-out.
      await new Promise((resolve) => setTimeout(resolve, 25));
      if (sent === BLOB.length) return controller.close();
      controller.enqueue(BLOB.slice(sent, sent += 5000));
    },
  }, { highWaterMark: 0 });
  assertEquals((await site.ask(`/kubepkgs/blobs/${DIGEST}`, { method: "PUT", headers, body })).status, 201);
});

Deno.test("[94] the number of pending packages is bounded, also for concurrent plans; a known one can go on", async () => {
  await using site = await createAgentHandlerFixture();
  const plan = (i: number) => site.ask("/kubepkgs/plan", { method: "POST", body: planOf(`app-${i}`) });
  const statuses = (await Promise.all(Array.from({ length: MAX_PENDING + 5 }, (_, i) => plan(i)))).map((it) =>
    it.status
  );
  assertEquals(statuses.filter((status) => status === 200).length, MAX_PENDING);
  assertEquals(statuses.filter((status) => status === 409).length, 5);
  assertEquals((await listPending(site.records.pending)).length, MAX_PENDING);
  assertEquals((await plan(statuses.indexOf(200))).status, 200);
  const refused = await plan(statuses.indexOf(409));
  assertStringIncludes(await refused.text(), "crpe packages --pending");
});
