import { formatPackageId, type PackageId } from "../kubepkg/package_id.ts";
import { isCompleted } from "./handover/handover_records.ts";
import type { PackageRecords } from "./package_records.ts";
import { RECORD } from "./records/package_folders.ts";
import { absentIfBroken, type RecordError, setRecordAside } from "./records/record_file.ts";

/** What becomes of a record that the system refuses to open. */
export const LEFT_ALONE = "left alone: it could not be opened, and may be intact";

/** What became of a record that cannot be read. */
interface RecordRepair {
  readonly isRepaired: boolean;
  readonly outcome: string;
}

/**
 * Repairs a record that cannot be read, as far as something else tells what was in it. The damaged file is kept as
 * `<file>.broken`. The caller holds the installation lock.
 */
export async function repairRecord(
  records: PackageRecords,
  id: PackageId,
  { path, isDamaged }: Pick<RecordError, "path" | "isDamaged">,
): Promise<RecordRepair> {
  if (!isDamaged) return { isRepaired: false, outcome: LEFT_ALONE };
  const file = path.slice(path.lastIndexOf("/") + 1);
  if (path.includes(`/${RECORD.history}/`)) {
    await setRecordAside(path);
    return repaired("moved aside; it is no longer possible to roll back to this release");
  }
  if (file === RECORD.pending) {
    await setRecordAside(path);
    return repaired("moved aside; send the bundle again, or import its parts again");
  }
  if (file === RECORD.receipt) {
    await setRecordAside(path);
    return repaired("moved aside; the next import writes a new one");
  }
  if (path.includes("/.images/")) {
    await setRecordAside(path);
    return repaired("moved aside; crpe import --images-dir --force writes the archive again");
  }
  const advice = `import ${formatPackageId(id)} again with --force, or drop it with crpe packages remove ${
    formatPackageId(id)
  } --forget`;
  if (file !== RECORD.current) return { isRepaired: false, outcome: `nothing else tells what was in it; ${advice}` };
  const handedOver = await records.handovers.read(id).catch(absentIfBroken);
  if (!isCompleted(handedOver)) return { isRepaired: false, outcome: `nothing else tells what was in it; ${advice}` };
  await setRecordAside(path);
  await records.restore(handedOver.kubepkg);
  return repaired(`rebuilt from the record of the hand-over: ${handedOver.kubepkg.spec.version} is installed`);
}

function repaired(outcome: string): RecordRepair {
  return { isRepaired: true, outcome };
}
