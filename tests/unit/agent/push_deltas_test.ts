import { collectPackageDigests } from "../../../lib/install/package_digests.ts";
import { checkPart } from "../../../lib/install/pending_packages.ts";
import { packageIdOf } from "../../../lib/kubepkg/package_id.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { createAgentHandlerFixture } from "../../support/agent_handler_fixture.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { makeParts } from "../../support/bundle_parts.ts";
import { packDeltaBundle } from "../../support/delta_bundle.ts";
import { DELTA_REPO, deltaOf } from "../../support/delta_fixture.ts";
import { writeImage } from "../../support/put_image.ts";

const ID = computeDigest("a pack");
const { old, bundle, whole } = await packDeltaBundle();
const delta = deltaOf(bundle);
const { bytes } = bundle.entries.find(({ name }) => name.startsWith("deltas/"))!;

/** Sends the delta of a pending package, whose bases are kept until then. */
async function sendDelta(site: Awaited<ReturnType<typeof createAgentHandlerFixture>>): Promise<void> {
  const kept = await collectPackageDigests(site.records);
  assert([delta.delta, ...delta.bases.map(({ digest }) => digest)].every((digest) => kept.has(digest)));
  const answer = await site.ask(`/kubepkgs/blobs/${delta.delta}`, {
    method: "PUT",
    headers: { "content-range": `bytes 0-${delta.size - 1}/${delta.size}` },
    body: bytes.slice(),
  });
  assertEquals(answer.status, 201, await answer.text());
}

for (const hasParts of [false, true]) {
  const state = hasParts ? "some parts of the release were imported" : "nothing is pending";
  Deno.test(`a delta can be sent after its plan when ${state}, and its bases are kept`, async () => {
    await using site = await createAgentHandlerFixture();
    await writeImage(site.store, `${DELTA_REPO}:1`, old);
    const part = { id: ID, count: 3, received: [1] };
    if (hasParts) await site.records.pending.write({ kubepkg: whole, part });
    const plan = await site.ask("/kubepkgs/plan", { method: "POST", body: JSON.stringify(bundle.kubepkg) });
    assertEquals(plan.status, 200);
    const { missing } = await plan.json() as { missing: { digest: string }[] };
    assert(missing.some(({ digest }) => digest === delta.delta));

    await sendDelta(site);

    // The other parts can still be imported.
    const pending = (await site.records.pending.read(packageIdOf(whole)))!;
    assertEquals(pending.part, hasParts ? part : undefined);
    const next = { id: ID, number: 2, count: 3, carries: [] };
    assertEquals(checkPart(whole, next, { pending, what: "2.tgz" }), hasParts ? [1] : []);
  });
}

Deno.test("a delta can be sent after its plan when a part of the release was imported since", async () => {
  await using site = await createAgentHandlerFixture();
  await writeImage(site.store, `${DELTA_REPO}:1`, old);
  const plan = await site.ask("/kubepkgs/plan", { method: "POST", body: JSON.stringify(bundle.kubepkg) });
  assertEquals(plan.status, 200);
  const others = whole.status!.digests!.map(({ digest }) => digest).filter((digest) => digest !== delta.digest);
  const contents = new Map<Digest, Uint8Array<ArrayBuffer>>([[delta.digest, new Uint8Array(1)]]);
  for (const entry of bundle.entries) contents.set(computeDigest(entry.bytes), entry.bytes.slice());
  const [first] = await makeParts(whole, [others.map((digest) => [digest] as const), [[delta.digest]]], { contents });
  const part = await site.ask("/kubepkgs", { method: "PUT", body: first! });
  assertEquals([part.status, (await part.json()).part?.missing], [200, [2]]);

  await sendDelta(site);
});
