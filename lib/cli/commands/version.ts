import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG } from "../command_line/flags.ts";
import { COMMIT } from "../console/build.ts";
import type { Io } from "../console/io.ts";
import { formatJson } from "../console/table.ts";
import { VERSION } from "../console/version.ts";

/** `crpe version` */
export const COMMAND: CommandDefinition = {
  interrupted: "nothing was changed",
  flags: [FLAG.json],
  examples: [["crpe version --json", "print version, commit and runtime as JSON"]],
  run: runVersion,
};

/** `crpe version` */
// deno-lint-ignore require-await
async function runVersion(invocation: Invocation, io: Io): Promise<number> {
  const { os, arch } = Deno.build;
  const runtime = { deno: Deno.version.deno, v8: Deno.version.v8 };
  if (invocation.isSet("json")) {
    io.out(formatJson({ version: VERSION, commit: COMMIT ?? null, runtime, platform: `${os}/${arch}` }));
    return 0;
  }
  io.out(`crpe ${VERSION} (commit ${COMMIT ?? "unknown"}, Deno ${runtime.deno}, ${os}/${arch})\n`);
  return 0;
}
