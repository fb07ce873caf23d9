import type { Receipt } from "../../install/receipts.ts";
import { formatPackageId } from "../../kubepkg/package_id.ts";
import type { Command, Invocation } from "../command_line/command.ts";
import { STORE_FLAGS } from "../command_line/flags.ts";
import type { Io } from "../console/io.ts";
import { formatJson } from "../console/table.ts";
import { openRecords } from "../wiring/open_packages.ts";
import { askAbout } from "./ask_agent.ts";
import { findInstalledPackage } from "./find_package.ts";
import { REMOTE_FLAGS, runAt } from "./run_at.ts";
import { cannot, CrpeError } from "../../oci/error.ts";

/** `crpe packages receipt` */
export const PACKAGE_RECEIPT: Command = {
  name: "receipt",
  operands: "NAME",
  summary: "print the receipt of the last import or rollback of a package as JSON",
  interrupted: "nothing was changed",
  flags: [...STORE_FLAGS, ...REMOTE_FLAGS],
  examples: [["crpe packages receipt line4 > line4-receipt.json", "keep what was imported, and when"]],
  run: runAt({ local: runPackageReceipt, remote: runRemoteReceipt }),
};

async function runPackageReceipt(invocation: Invocation, io: Io): Promise<number> {
  io.out(formatJson(await readPackageReceipt(invocation, io)));
  return 0;
}

async function runRemoteReceipt(invocation: Invocation, io: Io): Promise<number> {
  return await askAbout(invocation.arguments[0]!, { invocation, io }, async (id, { packages }) => {
    io.out(formatJson(await packages.readReceipt(id)));
    return 0;
  });
}

/** Reads the receipt of the package that a command names. @throws {Error} when it has none */
export async function readPackageReceipt(invocation: Invocation, io: Io): Promise<Receipt> {
  const records = await openRecords(invocation, io);
  const id = await findInstalledPackage(records, invocation.arguments[0] ?? "");
  const receipt = await records.receipts.read(id);
  if (receipt === undefined) {
    throw new CrpeError(
      cannot(`print the receipt of ${formatPackageId(id)}`, "an earlier crpe, which wrote none, installed it"),
    );
  }
  return receipt;
}
