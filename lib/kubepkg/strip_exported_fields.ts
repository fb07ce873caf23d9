import { isJsonObject } from "../oci/json.ts";
import type { KubeObject } from "./kubepkg.ts";

/**
 * Fields of `spec` and `metadata` that the cluster of an exported object chose, by kind of the core and batch groups.
 * Another cluster refuses them (an address out of its range, a selector it did not generate) or waits for something that
 * it does not have (a node, a volume).
 */
const FIELDS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  "v1/Namespace": [["spec", "finalizers"], ["metadata", "labels", "kubernetes.io/metadata.name"]],
  "v1/PersistentVolume": [["spec", "claimRef", "uid"], ["spec", "claimRef", "resourceVersion"]],
  "v1/PersistentVolumeClaim": [
    ["spec", "volumeName"],
    ["metadata", "annotations", "pv.kubernetes.io/bind-completed"],
    ["metadata", "annotations", "pv.kubernetes.io/bound-by-controller"],
    ["metadata", "annotations", "volume.beta.kubernetes.io/storage-provisioner"],
    ["metadata", "annotations", "volume.kubernetes.io/selected-node"],
    ["metadata", "annotations", "volume.kubernetes.io/storage-provisioner"],
  ],
  "v1/Pod": [["spec", "nodeName"]],
  // The cluster deletes the token of an account with another uid, and makes a new one where there is none.
  "v1/Secret": [["metadata", "annotations", "kubernetes.io/service-account.uid"]],
  "v1/Service": [["spec", "clusterIP"], ["spec", "clusterIPs"]],
  "batch/v1/Job": [
    ["spec", "selector"],
    ["metadata", "labels", "controller-uid"],
    ["metadata", "labels", "batch.kubernetes.io/controller-uid"],
    ["spec", "template", "metadata", "labels", "controller-uid"],
    ["spec", "template", "metadata", "labels", "batch.kubernetes.io/controller-uid"],
  ],
};

/** Removes these fields from an object that was exported from a cluster; `onStripped` gets the path of each. */
export function stripExportedFields(object: KubeObject, onStripped: (path: readonly string[]) => void): KubeObject {
  const type = `${object.apiVersion}/${object.kind}`;
  if (!Object.hasOwn(FIELDS, type) || isChosen(object)) return object;
  let result: Record<string, unknown> = object;
  for (const path of FIELDS[type]!) {
    const stripped = withoutField(result, path);
    if (stripped === result) continue;
    result = stripped;
    onStripped(path);
  }
  return result as KubeObject;
}

// A headless Service and a Job with a selector of its own say so.
function isChosen({ spec }: KubeObject): boolean {
  return isJsonObject(spec) && (spec.clusterIP === "None" || spec.manualSelector === true);
}

// The value itself where it does not have the field.
function withoutField(value: Record<string, unknown>, [key, ...rest]: readonly string[]): Record<string, unknown> {
  if (key === undefined || !Object.hasOwn(value, key)) return value;
  if (rest.length === 0) return Object.fromEntries(Object.entries(value).filter(([name]) => name !== key));
  const inner = value[key];
  if (!isJsonObject(inner)) return value;
  const stripped = withoutField(inner, rest);
  return stripped === inner ? value : { ...value, [key]: stripped };
}
