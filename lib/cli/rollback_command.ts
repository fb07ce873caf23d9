import { PackageRecords } from "../agent/package_records.ts";
import { rollBackPackage, type RollbackResult } from "../agent/rollback_package.ts";
import { DiskStore } from "../content/disk_store.ts";
import { takeWriteLease } from "../content/write_lease.ts";
import { createHandover, readHandoverPlace } from "./choose_handover.ts";
import type { Invocation } from "./command.ts";
import { findInstalledPackage } from "./installed_package.ts";
import type { Io } from "./io.ts";
import { readSettings } from "./settings.ts";
import { formatJson } from "./table.ts";
import { createWarning } from "./warn.ts";

/** `crpe packages rollback` */
export async function runRollback(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  const records = new PackageRecords(data);
  const [name = ""] = invocation.arguments;
  const given = readHandoverPlace(invocation);
  await findInstalledPackage(records, name);
  using _lease = await takeWriteLease(data);
  const warn = createWarning(io);
  const result = await rollBackPackage(name, {
    store: new DiskStore(data, { warn }),
    records,
    to: invocation.flag("to"),
    openHandover: (recorded) => {
      const place = given ?? recorded;
      return place === undefined ? undefined : createHandover(place, { records });
    },
  });
  if (result.handedOver?.note !== undefined) warn(result.handedOver.note);
  if (invocation.isSet("json")) {
    const { isChanged, handedOver, ...what } = result;
    io.out(formatJson({ ...what, rolledBack: isChanged, handover: handedOver?.where, left: handedOver?.left }));
  } else io.out(formatResult(result));
  return 0;
}

function formatResult({ name, from, to, isChanged, handedOver }: RollbackResult): string {
  if (!isChanged) return `${name}@${to} is installed already; nothing to do\n`;
  const lines = [`rolled ${name} back from ${from} to ${to}`];
  if (handedOver === undefined) {
    lines.push("  not handed over: it never was; name where with --manifests-dir or --kubectl");
  } else {
    lines.push(`  handed over to ${handedOver.where}`);
    lines.push(...handedOver.left.map((object) => `  left in the cluster: ${object}`));
  }
  return lines.map((line) => `${line}\n`).join("");
}
