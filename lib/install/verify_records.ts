import { listFolder } from "../files/read_if_present.ts";
import { isPackageName, type KubePkg } from "../kubepkg/kubepkg.ts";
import type { PackageRecords } from "./package_records.ts";

/** A record of a package that cannot be used. */
export interface BrokenRecord {
  /** Name of the package. */
  readonly name: string;
  /** What the record is about, and how to replace it. */
  readonly kind: "installed" | "history" | "handover" | "pending";
  /** The error, with the path of the record. */
  readonly reason: string;
}

/** What `verifyRecords` found. */
export interface RecordReport {
  /** The installed packages whose record can be read. */
  readonly installed: readonly KubePkg[];
  readonly broken: readonly BrokenRecord[];
}

/**
 * Reads every record of the packages. A damaged one does not hide the others.
 *
 * @param data the data folder
 */
export async function verifyRecords(data: string, records: PackageRecords): Promise<RecordReport> {
  const installed: KubePkg[] = [];
  const broken: BrokenRecord[] = [];
  const names = (await listFolder(`${data}/kubepkg`) ?? [])
    .filter(({ name, isDirectory }) => isDirectory && isPackageName(name)).map(({ name }) => name).sort();
  for (const name of names) {
    const attempt = async (kind: BrokenRecord["kind"], read: () => Promise<unknown>) => {
      try {
        await read();
      } catch (error) {
        broken.push({ name, kind, reason: (error as Error).message });
      }
    };
    await attempt("installed", async () => {
      const kubepkg = await records.read(name);
      if (kubepkg !== undefined) installed.push(kubepkg);
    });
    await attempt("history", () => records.listHistory(name));
    await attempt("handover", () => records.handovers.read(name));
    await attempt("pending", () => records.pending.read(name));
  }
  return { installed, broken };
}
