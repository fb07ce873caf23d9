import { createHash } from "node:crypto";
import { readBundle } from "../../../lib/bundle/read_bundle.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { createAgentHandlerFixture, makeBundle } from "../../support/agent_handler_fixture.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { makeParts } from "../../support/bundle_parts.ts";
import { makeBytes } from "../../support/content.ts";
import { buildImage } from "../../support/images.ts";
import { idOf } from "../../support/kubepkg.ts";

const IMAGE = buildImage({ files: [{ "a.txt": "a" }, { "b.bin": makeBytes(300_000) }] });
const { kubepkg } = await readBundle(new Blob([await makeBundle(IMAGE)]).stream());
const [first, ...others] = kubepkg.status!.digests!.map(({ digest }) => digest);
const contents = new Map<Digest, Uint8Array>([
  ...IMAGE.manifests.map(({ descriptor, bytes }) => [descriptor.digest, bytes] as const),
  ...IMAGE.blobs,
]);
const PARTS = await makeParts(kubepkg, [[[first!]], others.map((digest) => [digest] as const)], { contents });

Deno.test("PUT /kubepkgs accepts parts with their Content-Digest, and reports the missing ones", async () => {
  await using site = await createAgentHandlerFixture();
  const outcomes: unknown[] = [];
  for (const body of PARTS) {
    const headers = { "content-digest": `sha256:${createHash("sha256").update(body).digest("hex")}` };
    const response = await site.ask("/kubepkgs", { method: "PUT", body, headers });
    const { imported, part } = await response.json();
    outcomes.push([response.status, imported, part?.missing, site.reports.at(-1)?.outcome]);
  }
  assertEquals(outcomes, [[200, false, [2], "part"], [200, true, [], "imported"]]);
  assertEquals(site.errors, []);
});

Deno.test("PUT /kubepkgs does not record a part with a wrong Content-Digest", async () => {
  await using site = await createAgentHandlerFixture();
  const headers = { "content-digest": `sha256:${"0".repeat(64)}` };
  const response = await site.ask("/kubepkgs", { method: "PUT", body: PARTS[0]!, headers });
  assertEquals([response.status, site.reports.at(-1)?.outcome], [422, "corrupt"]);
  assert(!(await site.records.pending.read(idOf("line4")))?.part?.received.length);
});

Deno.test("POST /kubepkgs/plan of another release warns of the received parts that it discards", async () => {
  await using site = await createAgentHandlerFixture();
  assertEquals((await site.ask("/kubepkgs", { method: "PUT", body: PARTS[0]! })).status, 200);
  const higher = JSON.stringify({ ...kubepkg, spec: { ...kubepkg.spec, version: "9.0.0" } });
  const plan = await site.ask("/kubepkgs/plan", { method: "POST", body: higher });
  assertEquals((await plan.json()).warnings, [
    `part 1 of line4@${kubepkg.spec.version} was received before; line4@9.0.0 discards it`,
  ]);
});
