import { run } from "../../../../lib/cli/run.ts";
import { assert, assertEquals, assertStringIncludes } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";
import { createTestIo } from "../../../support/test_io.ts";

/** A command line of each command that works on what a data folder has. */
const COMMANDS: readonly (readonly string[])[] = [
  ["images"],
  ["images", "--partial"],
  ["images", "rm", "a.test/b:1"],
  ["images", "du"],
  ["images", "pin", "a.test/b:1"],
  ["images", "unpin", "a.test/b:1"],
  ["save", "a.test/b:1", "-o", "out.tar"],
  ["copy", "a.test/b:1", "--to=127.0.0.1:1", "--offline"],
  ["tags", "a.test/b", "--offline"],
  ["inventory"],
  ["verify"],
  ["gc"],
  ["outbox"],
  ["outbox", "path", "a@1"],
  ["outbox", "rm", "a@1"],
  ["packages"],
  ["packages", "--pending"],
  ["packages", "history", "line4"],
  ["packages", "status", "line4"],
  ["packages", "rollback", "line4"],
  ["packages", "remove", "line4"],
  ["manifests", "line4"],
  ["doctor", "--offline"],
];

for (const command of COMMANDS) {
  Deno.test(`crpe ${command.join(" ")} warns about a --data that is above the likely one, and refuses a file`, async () => {
    await using folder = await TestFolder.create();
    const right = `${folder.path}/srv/crpe`;
    await folder.write("srv/crpe/docker/registry/v2/repositories/a.test/x", "");
    const io = createTestIo({ env: { HOME: folder.path } });
    await run([...command, `--data=${folder.path}/srv`], io);
    const shown = io.errText + io.outText;
    assertStringIncludes(shown, `the data folder ${folder.path}/srv is empty, but ${right} in it has content`);
    if (command[0] === "doctor") return;
    const other = createTestIo({ env: { HOME: folder.path } });
    const file = await folder.write("file", "text");
    const status = await run([...command, `--data=${file}`], other);
    assertEquals([status, other.outText], [1, ""]);
    assert(other.errText.startsWith(`crpe: Cannot use ${file} as the data folder: it is a file; `), other.errText);
  });
}
