import { Outbox, type OutboxBundle } from "../../bundle/outbox.ts";
import { formatPackageId } from "../../kubepkg/package_id.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG } from "../command_line/flags.ts";
import { readSettings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { formatDate, formatSize } from "../console/quantity.ts";
import { runSeveral, type SeveralItem } from "../console/several.ts";
import { formatJson, formatTable } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";

/** `crpe outbox` and its subcommands */
export const COMMAND: CommandDefinition = {
  interrupted: "nothing was changed",
  details: [
    "BUNDLE is NAME@VERSION, or the digest of the file, of which six digits are enough. Of several bundles of the same",
    "version it is the latest.",
  ].join("\n"),
  flags: [FLAG.data, FLAG.json],
  subcommands: [
    {
      name: "path",
      operands: "BUNDLE",
      interrupted: "nothing was changed",
      summary: "print the path of a bundle's file, for crpe push, crpe inspect or cp",
      flags: [FLAG.data],
      examples: [["crpe outbox path line4@1.0.0", "print the path of a bundle, for crpe push"]],
      run: runOutboxPath,
    },
    {
      name: "rm",
      operands: "BUNDLE…",
      interrupted: "bundles that were not removed yet stay; run the same command again",
      summary: "remove bundles from the outbox",
      flags: [FLAG.data, FLAG.json],
      examples: [["crpe outbox rm line4@1.0.0", "remove a bundle"]],
      run: runRemoveFromOutbox,
    },
  ],
  examples: [
    ["crpe outbox", "list the packed bundles"],
  ],
  run: runOutbox,
};

const SHOWN_DIGITS = 12;
const DIGEST_START = "sha256:".length;

async function runOutbox(invocation: Invocation, io: Io): Promise<number> {
  const outbox = await openOutbox(invocation, io);
  const bundles = await outbox.list();
  if (invocation.isSet("json")) {
    io.out(formatJson(bundles.map((bundle) => ({ ...describe(bundle), file: outbox.pathOf(bundle.digest) }))));
    return 0;
  }
  io.out(formatTable(["DIGEST", "PACKAGES", "SIZE", "PACKED (UTC)"], bundles.map(formatRow)));
  for (const { name, size, written, isInUse } of await outbox.listPartials()) {
    const advice = isInUse
      ? "is being packed"
      : "is of an interrupted pack: the same pack resumes it, crpe gc --partial removes it";
    io.err(`crpe: ${name} (${formatSize(size)}, ${formatDate(written)}) ${advice}\n`);
  }
  return 0;
}

async function runOutboxPath(invocation: Invocation, io: Io): Promise<number> {
  const outbox = await openOutbox(invocation, io);
  const { digest } = await outbox.find(invocation.arguments[0]!);
  io.out(`${outbox.pathOf(digest)}\n`);
  return 0;
}

async function runRemoveFromOutbox(invocation: Invocation, io: Io): Promise<number> {
  const outbox = await openOutbox(invocation, io);
  const run = async (selector: string, { report }: SeveralItem) => {
    const bundle = await outbox.find(selector);
    await outbox.remove(bundle.digest);
    report(describe(bundle), `removed ${namesOf(bundle)}, ${bundle.digest}: ${formatSize(bundle.size)} freed\n`);
  };
  return await runSeveral(invocation.arguments, { invocation, io }, run);
}

async function openOutbox(invocation: Invocation, io: Io): Promise<Outbox> {
  const { data } = await readSettings(invocation, io);
  await warnOfData(data, io);
  return new Outbox(data);
}

function describe({ time, ...bundle }: OutboxBundle): object {
  return { ...bundle, packed: new Date(time).toISOString() };
}

function formatRow(bundle: OutboxBundle): string[] {
  const { digest, size, time } = bundle;
  const short = digest.slice(DIGEST_START, DIGEST_START + SHOWN_DIGITS);
  return [short, namesOf(bundle), formatSize(size), formatDate(new Date(time))];
}

function namesOf({ packages, error }: OutboxBundle): string {
  return error === undefined ? packages.map((one) => `${formatPackageId(one)}@${one.version}`).join(",") : "unreadable";
}
