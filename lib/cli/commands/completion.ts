import type { Command, CommandDefinition } from "../command_line/command.ts";
import { didYouMean } from "../command_line/parse_command_line.ts";
import { formatCompletion, SHELLS } from "../manual/completion.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** `crpe completion`. @param loadCommands gives the commands that are completed */
export function createCompletion(loadCommands: () => Promise<readonly Command[]>): CommandDefinition {
  return {
    values: ["bash", "zsh", "fish"],
    interrupted: "nothing was changed",
    details: "The completion runs without crpe: print it again after an update. The archive of a release has it too.",
    flags: [],
    examples: [["source <(crpe completion bash)", "complete crpe in this shell"]],
    run: async (invocation, io) => {
      const [name = ""] = invocation.arguments;
      const shell = SHELLS.find((shell) => shell === name);
      if (shell === undefined) {
        const known = `${SHELLS.join(", ")}${didYouMean(name, SHELLS)}`;
        throw new UsageError(cannot(`complete for ${JSON.stringify(name)}`, `it must be one of ${known}`));
      }
      io.out(formatCompletion(shell, await loadCommands()));
      return 0;
    },
  };
}
