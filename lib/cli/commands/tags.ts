import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, UPSTREAM_FLAGS } from "../command_line/flags.ts";
import { readRepository } from "../command_line/read_reference.ts";
import { readSettings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { formatCount } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { listTags } from "../wiring/list_tags.ts";

/** `crpe tags` */
export const COMMAND: CommandDefinition = {
  details:
    "REPO is an image's name without a tag, such as nginx or quay.io/prometheus/node-exporter. Nothing is stored.",
  interrupted: "nothing was changed",
  flags: [FLAG.data, ...UPSTREAM_FLAGS, FLAG.json],
  examples: [
    ["crpe tags nginx", "ask the registry"],
    ["crpe tags nginx --offline", "list the tags in the store"],
  ],
  run: runTags,
};

async function runTags(invocation: Invocation, io: Io): Promise<number> {
  const repository = readRepository(invocation.arguments[0]!);
  const settings = await readSettings(invocation, io);
  const list = await listTags(repository, settings, io);
  io.out(invocation.isSet("json") ? formatJson(list) : list.tags.map((tag) => `${tag}\n`).join(""));
  if (!invocation.isSet("quiet")) {
    const where = list.from === "store" ? `the store in ${settings.data}` : repository.host;
    io.err(`crpe: ${formatCount(list.tags.length, "tag")} of ${list.repository}, from ${where}\n`);
  }
  return list.isPartial ? 1 : 0;
}
