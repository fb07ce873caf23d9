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

for (
  const [what, body] of [
    ["with Content-Length", "abcd"],
    ["without Content-Length", new Blob(["ab", "cd"]).stream()],
  ] as const
) {
  Deno.test(`PUT /kubepkgs/blobs answers 400 to a body that is longer than its Content-Range, ${what}`, async () => {
    await using site = await createAgentHandlerFixture();
    const digest = computeDigest("abc");
    const status = { digests: [{ type: "blob", name: "registry.test/app", digest, size: 3 }] };
    await site.records.pending.write({ kubepkg: parseKubePkg({ ...makeKubePkg({}), status }) });
    const path = `/kubepkgs/blobs/${digest}`;
    const put = async (start: number, body: BodyInit, more: Record<string, string> = {}) => {
      return await site.ask(path, { method: "PUT", body, headers: { "content-range": `bytes ${start}-2/3`, ...more } });
    };
    const answer = await put(0, body, typeof body === "string" ? { "content-length": `${body.length}` } : {});
    const { errors: [{ code, message }] } = await answer.json();
    assertEquals([answer.status, code, message], [
      400,
      "INVALID",
      "Cannot accept the blob: the body has more than the 3 bytes that Content-Range names",
    ]);
    // The upload can be resumed.
    const { offset } = await (await site.ask(path)).json();
    assertEquals((await put(offset, "abc".slice(offset))).status, 201);
  });
}
