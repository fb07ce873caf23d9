import type { Command, CommandEntry } from "../../../../lib/cli/command_line/command.ts";
import { findCommand, findKnownCommand } from "../../../../lib/cli/command_line/find_command.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { UsageError } from "../../../../lib/oci/error.ts";

const make = (name: string, more: Partial<Command> = {}): Command => {
  const flags = [{ name: "data", short: "d", value: "DIR", summary: "" }, { name: "json", summary: "" }];
  return {
    name,
    operands: "",
    summary: "",
    flags,
    examples: [],
    run: () => Promise.resolve(0),
    interrupted: undefined,
    ...more,
  };
};
const COMMANDS: readonly CommandEntry[] = [
  make("images"),
  make("packages", { subcommands: [make("history"), make("remove")] }),
].map((command) => ({ ...command, load: () => Promise.resolve(command) }));

for (
  const [line, name, rest] of [
    ["images x", "images", "x"],
    ["packages", "packages", ""],
    ["packages --json", "packages", "--json"],
    ["packages history NAME --json", "packages history", "NAME --json"],
    ["packages --data history history NAME", "packages history", "--data history NAME"],
    ["packages --data=x history NAME", "packages history", "--data=x NAME"],
    ["packages -d x remove NAME", "packages remove", "-d x NAME"],
    ["packages --json remove remove", "packages remove", "--json remove"],
    ["packages --data x", "packages", "--data x"],
    ["packages -- history", "packages", "-- history"],
  ] as const
) {
  Deno.test(`findCommand() splits "${line}"`, async () => {
    const { command, args } = await findCommand(COMMANDS, line.split(" "));
    assertEquals({ name: command.name, rest: args.join(" ") }, { name, rest });
    assertEquals((await findKnownCommand(COMMANDS, line.split(" ")))?.name, name);
  });
}

for (
  const [line, message, known] of [
    ["image", 'Cannot run "image": there is no such command; did you mean "images"?', undefined],
    [
      "packages histroy x",
      'Cannot run "histroy": there is no such subcommand of packages; did you mean "history"?',
      "packages",
    ],
    ["rmi x", 'Cannot run "rmi": there is no such command; use crpe images rm', undefined],
    ["login x", 'Cannot run "login": there is no such command; use docker login or podman login', undefined],
    ["packages ls", 'Cannot run "ls": there is no such subcommand of packages; use crpe images, or', "packages"],
    ["constructor", 'Cannot run "constructor": there is no such command', undefined],
    ["packages --to x history", "Cannot use --to: there is no such flag", "packages"],
    ["packages --dat=x y", "Cannot use --dat: there is no such flag; did you mean --data?", "packages"],
    ["packages -dx y", 'Cannot run "y": there is no such subcommand of packages', "packages"],
    ["packages --quiet y", 'Cannot run "y": there is no such subcommand of packages', "packages"],
    ["--json packages", "Cannot use --json: the command must come first", undefined],
  ] as const
) {
  Deno.test(`findCommand() refuses "${line}" and suggests the nearest name`, async () => {
    await assertRejects(() => findCommand(COMMANDS, line.split(" ")), UsageError, message);
    assertEquals((await findKnownCommand(COMMANDS, line.split(" ")))?.name, known);
  });
}
