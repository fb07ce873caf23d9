import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { identifyObject } from "../kubepkg/object_identity.ts";
import { formatPackageId, isSamePackage, type PackageId, packageIdOf } from "../kubepkg/package_id.ts";
import { type PackageObject, packageObjects } from "../kubepkg/package_objects.ts";
import { CorruptError } from "../oci/error.ts";
import { type HandedOver, handedOverObjects } from "./handover/handover_records.ts";
import { holdsData } from "./handover/plan_objects.ts";
import type { PackageRecords } from "./package_records.ts";

/** Lists the installed releases of all packages but one, as far as their records can be read. */
export async function listOtherPackages(records: PackageRecords, except: PackageId): Promise<KubePkg[]> {
  return (await records.scan()).packages.filter((it) => !isSamePackage(packageIdOf(it), except));
}

/** What packages have in the cluster and in manifest folders. */
interface OtherPackages {
  readonly objects: readonly PackageObject[];
  /** Absolute paths of their manifest files. */
  readonly files: ReadonlySet<string>;
  /** False if a record cannot be read that would tell which objects a package has. */
  readonly isComplete: boolean;
  /** The packages whose record of the hand-over cannot be read. */
  readonly unreadable: readonly PackageId[];
  /** What is wrong with the records that cannot be read, a sentence each. */
  readonly warnings: readonly string[];
}

/**
 * Reads what all packages but one have: those that are installed, and those whose first hand-over was not completed. A
 * record that is not valid does not get in the way; it is named.
 */
export async function readOtherPackages(records: PackageRecords, except: PackageId): Promise<OtherPackages> {
  const objects: PackageObject[] = [];
  const files = new Set<string>();
  const warnings: string[] = [];
  const unreadable: PackageId[] = [];
  let isComplete = true;
  for (const id of await records.listIds()) {
    if (isSamePackage(id, except)) continue;
    const attempt = async <T>(read: () => Promise<T>): Promise<T | "unreadable"> => {
      try {
        return await read();
      } catch (error) {
        if (!(error instanceof CorruptError)) throw error;
        warnings.push(
          `a record of the package ${
            formatPackageId(id)
          } is not valid, so nothing is deleted that it may need: ${error.message}`,
        );
        return "unreadable";
      }
    };
    const installed = await attempt(async () => readObjects(await records.read(id)));
    const handedOver = await attempt(async () => needsOf(await records.handovers.read(id)));
    if (handedOver === "unreadable" || installed === "unreadable" && handedOver === undefined) isComplete = false;
    if (installed !== "unreadable" && installed !== undefined) { for (const object of installed) objects.push(object); }
    if (handedOver === "unreadable") unreadable.push(id);
    if (handedOver === "unreadable" || handedOver === undefined) continue;
    for (const object of handedOver.objects) objects.push(object);
    for (const path of handedOver.files) files.add(path);
  }
  return { objects, files, isComplete, unreadable, warnings };
}

function readObjects(kubepkg: KubePkg | undefined): readonly PackageObject[] | undefined {
  return kubepkg && packageObjects(kubepkg);
}

function needsOf(
  handedOver: HandedOver | undefined,
): { objects: readonly PackageObject[]; files: readonly string[] } | undefined {
  if (handedOver === undefined) return undefined;
  const { kept = [], files } = handedOver;
  // What a package no longer has, it keeps for its data, or because another package has it. The latter must not keep two
  // packages waiting for each other.
  const data = kept.filter((object) => holdsData(identifyObject(object)));
  return { objects: handedOverObjects({ ...handedOver, kept: data }), files: files.map(({ path }) => path) };
}
