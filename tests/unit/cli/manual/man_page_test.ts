import { findCommand } from "../../../../lib/cli/command_line/find_command.ts";
import { parseCommandLine } from "../../../../lib/cli/command_line/parse_command_line.ts";
import { COMMANDS, loadCommands } from "../../../../lib/cli/commands.ts";
import { listCommands } from "../../../../lib/cli/manual/list_commands.ts";
import { formatManPages } from "../../../../lib/cli/manual/man_page.ts";
import { assert, assertEquals, assertStringIncludes } from "../../../support/assert.ts";
import { peerTest, runPeer } from "../../../support/peers.ts";
import { TestFolder } from "../../../support/test_folder.ts";

const LOADED = await loadCommands();
const PAGES = formatManPages(LOADED, { version: "1.2.3", day: "2026-01-02" });

Deno.test("there is a man page of crpe and of each command, with its flags", () => {
  assertEquals(PAGES.map(({ file }) => file), [
    "crpe.1",
    ...listCommands(LOADED).map(({ name }) => `crpe-${name.replaceAll(" ", "-")}.1`),
  ]);
  for (const { name, command } of listCommands(LOADED)) {
    const { text } = PAGES.find(({ file }) => file === `crpe-${name.replaceAll(" ", "-")}.1`)!;
    for (const { name: flag } of command.flags) assertStringIncludes(text, `\\-\\-${flag.replaceAll("-", "\\-")}\\fR`);
  }
});

peerTest("man formats each page without a warning", ["man"], async () => {
  await using folder = await TestFolder.create();
  for (const { file, text } of PAGES) {
    const path = await folder.write(file, text);
    const { code, stdout, stderr } = await runPeer("man", ["--warnings=w", "-l", path], {
      env: { MANWIDTH: "100", LC_ALL: "C.UTF-8", HOME: folder.path },
    });
    assertEquals([code, stderr], [0, ""], file);
    assertStringIncludes(stdout, "EXIT STATUS");
  }
});

Deno.test("no command has a flag twice", () => {
  for (const { name, command } of listCommands(LOADED)) {
    const flags = command.flags.map(({ name }) => name);
    assertEquals(flags.filter((flag, i) => flags.indexOf(flag) !== i), [], name);
  }
});

Deno.test("every command has an example, and every example is a command line that can be parsed", async () => {
  for (const { name, command: { examples } } of listCommands(LOADED)) {
    assert(examples.length > 0, name);
    for (const [line] of examples) {
      const words = /\bcrpe ([^>|)]+)/.exec(line)![1]!.trim().split(" ");
      const found = await findCommand(COMMANDS, words);
      assertEquals(found.command.name, name, line);
      parseCommandLine(found.command, found.args);
    }
  }
});
