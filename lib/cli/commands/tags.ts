import type { Invocation } from "../command_line/command.ts";
import { readRepository } from "../command_line/read_reference.ts";
import { readSettings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { formatCount } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { listTags } from "../wiring/list_tags.ts";

/** `crpe tags` */
export async function runTags(invocation: Invocation, io: Io): Promise<number> {
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
