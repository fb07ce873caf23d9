import { parseCommandLine } from "../../../../lib/cli/command_line/parse_command_line.ts";
import { readSettings } from "../../../../lib/cli/command_line/settings.ts";
import { COMMANDS } from "../../../../lib/cli/commands.ts";
import { openPushTarget, parsePushTarget } from "../../../../lib/cli/wiring/open_push_target.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";
import { createTestIo } from "../../../support/test_io.ts";

const PROXY = { HTTP_PROXY: "http://proxy.lan:3128" };
const ROWS: [what: string, to: string, env: Record<string, string>, refusal: string | undefined][] = [
  ["is sent with https", "registry.lan:5000", {}, undefined],
  ["is sent to this machine", "127.0.0.1:5000", {}, undefined],
  ["is not sent to another machine with http", "http://registry.lan:5000", {}, "unencrypted to another machine; use"],
  ["is not sent to a proxy with http", "127.0.0.1:5000", PROXY, "another machine (the proxy proxy.lan:3128); use"],
  ["is sent past a proxy", "127.0.0.1:5000", { ...PROXY, NO_PROXY: "127.0.0.1" }, undefined],
];
for (const [what, to, env, refusal] of ROWS) {
  Deno.test(`the login of a push ${what}`, async () => {
    await using folder = await TestFolder.create();
    const auths = Object.fromEntries(
      ["registry.lan:5000", "127.0.0.1:5000"].map((host) => [host, { auth: btoa("engineer:a-secret") }]),
    );
    await folder.write("config.json", JSON.stringify({ auths }));
    const io = createTestIo({ env: { ...env, HOME: folder.path, DOCKER_CONFIG: folder.path } });
    const invocation = parseCommandLine(await COMMANDS.find(({ name }) => name === "copy")!.load(), [
      "plain:3",
      `--to=${to}`,
    ]);
    const { client, checkLogin } = await openPushTarget(parsePushTarget(to), {
      settings: await readSettings(invocation, io),
      io,
      warn: (message) => {
        throw new Error(message);
      },
      isInsecureAllowed: false,
      onEvent: () => {},
    });
    assertEquals(client.hasCredential("team/app"), true);
    if (refusal === undefined) checkLogin("team/app");
    else assertThrows(() => checkLogin("team/app"), Error, refusal);
  });
}
