import { acceptsType } from "../http/accepted_type.ts";
import { formatManifestFile } from "../install/handover/manifest_file.ts";
import type { PackageRecords, PackageScan } from "../install/package_records.ts";
import type { Receipt } from "../install/receipts.ts";
import { absentIfBroken } from "../install/records/record_file.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { formatFullPackageId, isSelected, packageIdOf, type PackageSelector } from "../kubepkg/package_id.ts";
import { packageObjects } from "../kubepkg/package_objects.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import { answerJson } from "./answer.ts";

const YAML = "application/yaml";

// The reason may quote the record, and the path is of no use to a client.
const UNREADABLE = "Cannot read the record of this package; crpe packages on the agent's machine names the file";

/**
 * Describes the installed packages for a client without a token: names, versions, images and digests, and nothing else. A
 * package whose record cannot be read has an `error` instead.
 */
export function describePackages({ packages, problems }: PackageScan): unknown[] {
  return [
    ...packages.map(describePackage),
    ...problems.map(({ id: { namespace, name } }) => ({
      kind: "KubePkg",
      metadata: { name, namespace },
      error: UNREADABLE,
    })),
  ];
}

/** Describes a package as `describePackages` does: what is not named here is left out. */
export function describePackage(kubepkg: KubePkg): unknown {
  const { apiVersion, kind, metadata: { name, namespace }, spec: { version, images }, status } = kubepkg;
  const digests = status?.digests?.map((line) => {
    const { type, name, digest, size, tag, platform } = line;
    return { type, name, digest, size, tag, platform };
  });
  return {
    apiVersion,
    kind,
    metadata: { name, namespace },
    spec: { version, images },
    status: digests === undefined ? undefined : { digests },
  };
}

/**
 * Finds an installed package.
 *
 * @param selector without a namespace, the name must be unique
 * @throws {RegistryError} `NOT_FOUND` when it is not installed, `CONFLICT` when several namespaces have it, `INTERNAL` when
 *   its record cannot be read
 */
export async function findPackage(records: PackageRecords, selector: PackageSelector): Promise<KubePkg> {
  const found: KubePkg[] = [];
  let isUnreadable = false;
  for (const id of await records.listIds()) {
    if (!isSelected(id, selector)) continue;
    const installed = await records.read(id).catch((error) => {
      isUnreadable = true;
      return absentIfBroken(error);
    });
    if (installed !== undefined) found.push(installed);
  }
  const [first, second] = found;
  if (second !== undefined) {
    const names = found.map(({ metadata }) => formatFullPackageId(metadata));
    throw new RegistryError(
      "CONFLICT",
      cannot(`choose between ${names.join(" and ")}`, "name the namespace with ?namespace=NAMESPACE"),
      { detail: { packages: names } },
    );
  }
  if (first !== undefined) return first;
  if (isUnreadable) throw new RegistryError("INTERNAL", UNREADABLE);
  throw new RegistryError("NOT_FOUND", cannot(`find ${JSON.stringify(selector.name)}`, "no such package is installed"));
}

/** Reads the receipt of a package. @throws {RegistryError} `NOT_FOUND` when there is none that can be read */
export async function readReceipt(kubepkg: KubePkg, records: PackageRecords): Promise<Receipt> {
  const id = packageIdOf(kubepkg);
  const receipt = await records.receipts.read(id).catch(absentIfBroken);
  if (receipt !== undefined) return receipt;
  throw new RegistryError(
    "NOT_FOUND",
    cannot(
      `find the receipt of ${formatFullPackageId(id)}`,
      "it was installed by an earlier crpe, or its receipt is damaged",
    ),
  );
}

/** Answers with the manifests of a package: a JSON object, or the YAML of the hand-over if the client prefers that. */
export function answerManifests(kubepkg: KubePkg, headers: Headers): Response {
  if (!acceptsType(headers, YAML)) return answerJson(kubepkg.spec.manifests);
  const body = new TextEncoder().encode(formatManifestFile(packageObjects(kubepkg), [], 0));
  return new Response(body, {
    headers: { "content-type": YAML, "content-length": String(body.length), "cache-control": "no-store, no-transform" },
  });
}
