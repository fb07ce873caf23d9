import { formatPackageId, type PackageId } from "../kubepkg/package_id.ts";
import { isCompleted } from "./handover/handover_records.ts";
import type { PackageRecords } from "./package_records.ts";
import { RECORD } from "./records/package_folders.ts";
import { absentIfBroken, type RecordError, setRecordAside } from "./records/record_file.ts";

/** What becomes of a record that the system refuses to open. */
export const LEFT_ALONE = "left alone: it could not be opened, and may be intact";

/** The records that a package can do without, by their paths, and what follows. */
const REPLACEABLE: readonly (readonly [path: RegExp, consequence: string])[] = [
  [new RegExp(`/${RECORD.history}/\\d+\\.json$`), "it is no longer possible to roll back to this release"],
  [new RegExp(`/${RECORD.pending}$`), "send the bundle again, or import its parts again"],
  [new RegExp(`/${RECORD.receipt}$`), "the next import writes a new one"],
  [/\/\.images\//, "crpe import --images-dir --force writes the archive again"],
];

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
  const [, consequence] = REPLACEABLE.find(([pattern]) => pattern.test(path)) ?? [];
  if (consequence !== undefined) {
    await setRecordAside(path);
    return { isRepaired: true, outcome: `moved aside; ${consequence}` };
  }
  const advice = `import ${formatPackageId(id)} again with --force, or drop it with crpe packages remove ${
    formatPackageId(id)
  } --forget`;
  if (!path.endsWith(`/${RECORD.current}`)) {
    return { isRepaired: false, outcome: `nothing else tells what was in it; ${advice}` };
  }
  const handedOver = await records.handovers.read(id).catch(absentIfBroken);
  if (!isCompleted(handedOver)) return { isRepaired: false, outcome: `nothing else tells what was in it; ${advice}` };
  await setRecordAside(path);
  await records.restore(handedOver.kubepkg);
  const { version } = handedOver.kubepkg.spec;
  return { isRepaired: true, outcome: `rebuilt from the record of the hand-over: ${version} is installed` };
}
