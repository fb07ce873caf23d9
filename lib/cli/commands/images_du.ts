import { measureUsage } from "../../cache/image_usage.ts";
import { splitDigest } from "../../oci/digest.ts";
import { listPartialBlobs } from "../../store/partial_files.ts";
import type { Command, Invocation } from "../command_line/command.ts";
import { FLAG } from "../command_line/flags.ts";
import { readSettings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { formatSize } from "../console/quantity.ts";
import { formatJson, formatTable } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";

/** `crpe images du` */
export const IMAGE_USAGE: Command = {
  name: "du",
  operands: "",
  summary: "show the disk space of each image, and what it shares with others",
  interrupted: "nothing was changed",
  arity: [0, 0],
  flags: [FLAG.data, FLAG.json],
  examples: [["crpe images du", "show which images use the disk"]],
  run: runImageUsage,
};

async function runImageUsage(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  await warnOfData(data, io);
  const usage = await measureUsage(data);
  const partial = (await listPartialBlobs(data)).reduce((sum, { size }) => sum + size, 0);
  if (invocation.isSet("json")) {
    io.out(formatJson({ ...usage, partial }));
    return 0;
  }
  const rows = usage.images.map(({ references, digest, size, unique }) => [
    references.join(" ") || "(no tag)",
    splitDigest(digest).hex.slice(0, 12),
    formatSize(size),
    formatSize(size - unique),
    formatSize(unique),
  ]);
  io.out(formatTable(["IMAGE", "DIGEST", "SIZE", "SHARED", "UNIQUE"], rows));
  const rest = [
    `${formatSize(usage.total)} in the store`,
    ...(usage.unreferenced === 0 ? [] : [`${formatSize(usage.unreferenced)} of it unreferenced (crpe gc frees it)`]),
    ...(partial === 0 ? [] : [`${formatSize(partial)} of partial downloads (crpe gc --partial frees it)`]),
  ];
  io.out(`${rest.join("; ")}\n`);
  return 0;
}
