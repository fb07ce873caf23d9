import { createAgentHandlerFixture } from "../../support/agent_handler_fixture.ts";
import { assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { makeTar } from "../bundle/bundle_support.ts";
import { A, B, LIST_FILES, listFiles, packageOf } from "../bundle/list_bundle.ts";

const LIST = makeTar(LIST_FILES);
const NDJSON = { accept: "application/x-ndjson" };

Deno.test("[80] PUT /kubepkgs of a bundle of two packages answers with a result for each", async () => {
  await using agent = await createAgentHandlerFixture();
  const response = await agent.ask("/kubepkgs", { method: "PUT", body: LIST });
  const { packages } = await response.json();
  assertEquals(response.status, 200);
  assertEquals(
    packages.map(({ name, verdict, imported }: Record<string, unknown>) => [name, verdict, imported]),
    [["a", "install", true], ["b", "install", true]],
  );
  const installed = await (await agent.ask("/kubepkgs")).json();
  assertEquals(installed.map((it: { metadata: { name: string } }) => it.metadata.name), ["a", "b"]);
  assertEquals(agent.reports.map(({ name, outcome }) => [name, outcome]), [["a", "imported"], ["b", "imported"]]);
  const again = await agent.ask("/kubepkgs", { method: "PUT", body: LIST });
  assertEquals((await again.json()).packages.map(({ verdict }: { verdict: string }) => verdict), ["same", "same"]);
});

for (const [how, headers] of [["", {}], [", as lines", NDJSON]] as const) {
  Deno.test(`[80] PUT /kubepkgs of which one package is refused installs the other, and answers 409${how}`, async () => {
    await using agent = await createAgentHandlerFixture();
    const newer = makeTar(listFiles([packageOf("a", A, "2.0.0"), packageOf("b", B)]).slice(0, 6));
    await agent.ask("/kubepkgs", { method: "PUT", body: newer });
    const next = makeTar(listFiles([packageOf("a", A), packageOf("b", B, "1.1.0")]));
    const response = await agent.ask("/kubepkgs", { method: "PUT", body: next, headers });
    const last = JSON.parse((await response.text()).trim().split("\n").at(-1)!);
    const error = last.errors?.[0] ?? last.error;
    assertEquals(error.code, "CONFLICT");
    assertStringIncludes(error.message, "2.0.0 is installed, which is higher");
    assertEquals(
      error.detail.packages.map((it: Record<string, unknown>) => [it.name, it.imported, it.error !== undefined]),
      [["a", false, true], ["b", true, false]],
    );
    const versions = (await agent.records.list()).map(({ spec }) => spec.version);
    assertEquals(versions, ["2.0.0", "1.1.0"]);
    assertEquals(agent.reports.slice(-2).map(({ name, outcome }) => [name, outcome]), [
      ["a", "refused"],
      ["b", "imported"],
    ]);
    assertEquals(agent.leases(), 0);
  });
}
