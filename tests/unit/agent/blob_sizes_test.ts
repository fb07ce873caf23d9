import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { createAgentHandlerFixture } from "../../support/agent_handler_fixture.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeKubePkg } from "../../support/kubepkg.ts";

Deno.test("PUT /kubepkgs/blobs accepts a blob whose size one of several pending packages declares", async () => {
  await using site = await createAgentHandlerFixture();
  const digest = computeDigest("abc");
  for (const [name, size] of [["a", 7], ["b", 3]] as const) {
    const status = { digests: [{ type: "blob", name: "registry.test/app", digest, size }] };
    await site.records.pending.write({ kubepkg: parseKubePkg({ ...makeKubePkg({}, { name }), status }) });
  }
  const put = async (size: number) => {
    const headers = { "content-range": `bytes 0-${size - 1}/${size}` };
    return (await site.ask(`/kubepkgs/blobs/${digest}`, { method: "PUT", body: "abcdefgh".slice(0, size), headers }))
      .status;
  };
  assertEquals([await put(4), await put(3)], [400, 201]);
});
