import type { Command, Invocation } from "../command_line/command.ts";
import { didYouMean } from "../command_line/parse_command_line.ts";
import type { Io } from "../console/io.ts";
import { UsageError } from "../console/usage_error.ts";
import { formatCompletion, SHELLS } from "../manual/completion.ts";

/** `crpe completion` */
export function runCompletion(invocation: Invocation, io: Io, commands: readonly Command[]): Promise<number> {
  const [name = ""] = invocation.arguments;
  const shell = SHELLS.find((shell) => shell === name);
  if (shell === undefined) {
    throw new UsageError(
      `Cannot complete for ${JSON.stringify(name)}: it must be one of ${SHELLS.join(", ")}${didYouMean(name, SHELLS)}`,
    );
  }
  io.out(formatCompletion(shell, commands));
  return Promise.resolve(0);
}
