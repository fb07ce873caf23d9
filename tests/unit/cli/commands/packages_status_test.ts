import { run } from "../../../../lib/cli/run.ts";
import { assertEquals } from "../../../support/assert.ts";
import { createTestIo } from "../../../support/test_io.ts";

const [NAME, WORD] = ["line4", "default;reboot"];
const STATUS = { namespace: "default", name: NAME, version: "1.0.0", state: "applied", present: [], removing: true };
const ROWS: readonly (readonly [what: string, namespace: string, status: unknown, lines: readonly string[]])[] = [
  ["the package", "default", STATUS, [
    "line4@1.0.0, which is being removed, is applied",
    "  crpe packages remove line4 continues the removal",
  ]],
  ["a package of a namespace that is none", WORD, { ...STATUS, namespace: WORD }, []],
  ["a name that is none", "default", { ...STATUS, name: "line4;reboot" }, []],
  ["a namespace that is not that of the list", "default", { ...STATUS, namespace: WORD }, []],
];
for (const [what, namespace, status, lines] of ROWS) {
  Deno.test(`packages status --to an agent that answers with ${what} advises ${lines[1]?.trim() ?? "no command"}`, async () => {
    const list = [{ metadata: { namespace, name: NAME }, spec: { version: "1.0.0" } }];
    await using agent = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      ({ url }) => Response.json(new URL(url).pathname === "/kubepkgs" ? list : status),
    );
    const io = createTestIo();
    const url = `http://127.0.0.1:${agent.addr.port}`;
    assertEquals(await run(["packages", "status", NAME, `--to=${url}`, "--insecure-http"], io), 1);
    assertEquals(io.outText, lines.map((line) => `${line}\n`).join(""));
    assertEquals(io.errText.includes("reboot"), false);
    assertEquals(io.errText.startsWith(`crpe: Cannot ask ${url}: `), lines.length === 0);
  });
}
