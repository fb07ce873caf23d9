import type { PackageId } from "../../kubepkg/package_id.ts";
import type { HandoverResult } from "../../install/handover/handover.ts";
import type { ManifestDiff } from "../../install/handover/manifest_file.ts";
import type { KeepReason } from "../../install/handover/plan_objects.ts";

const KEPT: Readonly<Record<KeepReason, string>> = {
  data: "kept, because deleting it can delete data; --prune-data deletes it",
  shared: "kept, because another package has it too",
  "in use": "kept, because other objects need it",
  unknown: "kept, because crpe cannot see whether others need it",
};

/** What changes in the cluster, a line an object: `+` added, `~` changed, `-` deleted, `=` kept. */
export function formatManifestDiff({ added, changed, removed, kept }: ManifestDiff): string[] {
  return [
    ...added.map((name) => `  + ${name}`),
    ...changed.map((name) => `  ~ ${name}`),
    ...removed.map((name) => `  - ${name}`),
    ...kept.map(({ object, reason }) => `  = ${object} is ${KEPT[reason]}`),
  ];
}

/** Where manifests were handed over to, and what was seen of it. */
export function formatHandedOver({ where, isConfirmed, remaining = [] }: HandoverResult): string[] {
  const isFile = where.startsWith("/");
  const seen = isFile
    ? "; k3s applies it within 15 s (crpe packages status shows it)"
    : isConfirmed
    ? "; all objects are there"
    : remaining.length === 0
    ? "; that all objects are there could not be confirmed"
    : "";
  return [
    `  handed over to ${where}${seen}`,
    ...remaining.map((object) => `  still in the cluster: ${object}`),
  ];
}

/** Says that packages of the same name in other namespaces are packages of their own. */
export function formatSameName({ namespace, name }: PackageId, others: readonly string[]): string {
  const where = `${others.length === 1 ? "namespace" : "namespaces"} ${others.join(", ")}`;
  return `a package named ${name} is also installed in the ${where}; it stays, and this one is of the namespace ${namespace}`;
}
