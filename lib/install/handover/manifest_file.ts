import type { KubeObject } from "../../kubepkg/kubepkg.ts";
import type { PackageId } from "../../kubepkg/package_id.ts";
import type { PackageObject } from "../../kubepkg/package_objects.ts";
import { computeDigest, splitDigest } from "../../oci/digest.ts";
import { formatIdentity, metadataOf } from "../../kubepkg/object_identity.ts";
import { isJsonObject } from "../../oci/json.ts";
import { type KeepReason, labelsOf, type ObjectChanges } from "./plan_objects.ts";
import { formatYaml } from "./yaml.ts";

/** What changes in the cluster, as `kind/namespace/name`, sorted. */
export interface ManifestDiff {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
  /** Objects that leave the package and stay in the cluster. */
  readonly kept: readonly { readonly object: string; readonly reason: KeepReason }[];
}

const MAX_DNS_LABEL = 63;
const PRUNE_LABEL = "objectset.rio.cattle.io/prune";

/**
 * The text of the file that a cluster's watcher applies: the objects of a package in their order, then those that left it
 * and are kept, since the watcher deletes what leaves the file.
 *
 * @param revision makes the file differ from every earlier one, even if its objects are the same: k3s skips a file whose
 *   checksum is that of the last one that it applied completely
 */
export function formatManifestFile(
  objects: readonly PackageObject[],
  kept: readonly PackageObject[],
  revision: number,
): string {
  return [
    revision === 0 ? "" : `# hand-over ${revision + 1}\n`,
    formatObjects(objects.map(({ object }) => object)),
    kept.length === 0 ? "" : "# No longer in the package. Kept, because deleting them can delete data.\n",
    formatObjects(kept.map(({ object }) => object)),
  ].join("");
}

/**
 * An object with the label that keeps k3s from deleting it when it leaves its file, also after another file of that name
 * was written. The label goes when the object is handed over again.
 */
export function withoutPruning(it: PackageObject): PackageObject {
  const metadata = metadataOf(it.object);
  const labels = isJsonObject(metadata.labels) ? metadata.labels : {};
  const object = { ...it.object, metadata: { ...metadata, labels: { ...labels, [PRUNE_LABEL]: "false" } } };
  return { ...it, object };
}

/** Objects as one multi-document YAML, in their order. */
export function formatObjects(objects: readonly KubeObject[]): string {
  return objects.map((object) => `---\n${formatYaml(object)}`).join("");
}

/**
 * The name of a package's file: a DNS label. k3s names what a file brought after the file's name up to the first dot, so
 * there must be no other, and no two packages may share it: where the name had to be changed, a hash tells them apart.
 *
 * @param isTaken whether another package has a file of that name, as packages of one name in two namespaces would
 */
export function handoverFileName(
  { metadata: { name, namespace } }: { readonly metadata: PackageId },
  isTaken: (fileName: string) => boolean = () => false,
): string {
  const label = name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  const isUnchanged = label === name && label.length <= MAX_DNS_LABEL;
  const first = isUnchanged ? `${label}.yaml` : withHash(label, name);
  return isTaken(first) ? withHash(label, `${namespace}/${name}`) : first;
}

/** Describes changes for people and for JSON output. */
export function describeChanges({ added, changed, deleted, kept }: ObjectChanges): ManifestDiff {
  return {
    added: labelsOf(added),
    changed: labelsOf(changed),
    removed: labelsOf(deleted),
    kept: kept.map(({ object, reason }) => ({ object: formatIdentity(object.identity), reason })),
  };
}

function withHash(label: string, text: string): string {
  const hash = splitDigest(computeDigest(text)).hex.slice(0, 10);
  const start = label.slice(0, MAX_DNS_LABEL - hash.length - 1).replace(/-+$/, "");
  return `${start === "" ? "package" : start}-${hash}.yaml`;
}
