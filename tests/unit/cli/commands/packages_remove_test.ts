import { run } from "../../../../lib/cli/run.ts";
import { assertEquals } from "../../../support/assert.ts";
import { createTestIo } from "../../../support/test_io.ts";

const LISTED = [{ metadata: { namespace: "default", name: "line4" }, spec: { version: "1.0.0" } }];

const ROWS: readonly (readonly [store: string | undefined, command: string])[] = [
  [undefined, "crpe gc"],
  ["s3://images/site_1", "crpe gc --untagged --store=s3://images/site_1"],
  ["s3://images?region=a&path-style=true", "crpe gc --untagged --store='s3://images?region=a&path-style=true'"],
  ["s3://a'; reboot; '", String.raw`crpe gc --untagged --store='s3://a'\''; reboot; '\'''`],
  ["'$(reboot)'", String.raw`crpe gc --untagged --store=''\''$(reboot)'\'''`],
  ["a\nreboot\x1b", `crpe gc --untagged --store='a\\u000areboot\\u001b'`],
];
for (const [store, command] of ROWS) {
  Deno.test(`[103] packages remove --to an agent that names its bucket ${JSON.stringify(store)} advises ${command}`, async () => {
    await using agent = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      ({ method }) => Response.json(method === "DELETE" ? { removed: true, store } : LISTED),
    );
    const io = createTestIo();
    const url = `http://127.0.0.1:${agent.addr.port}`;
    assertEquals([await run(["packages", "remove", "line4", `--to=${url}`, "--insecure-http"], io), io.errText], [
      0,
      "",
    ]);
    const advice = `  ${command} on that machine frees the space of its images`;
    assertEquals(io.outText.split("\n").slice(-2), [advice, ""]);
  });
}
