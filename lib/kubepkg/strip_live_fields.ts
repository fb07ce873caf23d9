import { isJsonObject } from "../oci/json.ts";
import { BUILT_IN_GROUPS } from "./cluster_kinds.ts";
import { formatField } from "./field_path.ts";
import type { KubeObject } from "./kubepkg.ts";
import { groupOf } from "./object_identity.ts";
import { stripExportedFields } from "./strip_exported_fields.ts";

/** An object without the fields that a cluster sets, and what was removed. */
interface StrippedObject {
  readonly object: KubeObject;
  /** Names of the fields that had a value: `metadata.uid`. Empty ones (`status: {}`) are removed without a word. */
  readonly stripped: readonly string[];
}

// The API server sets these. `managedFields` and `resourceVersion` make an apply fail; `ownerReferences` to objects of
// another cluster make the garbage collector delete the object.
const METADATA_FIELDS = [
  "creationTimestamp",
  "deletionGracePeriodSeconds",
  "deletionTimestamp",
  "generation",
  "managedFields",
  "ownerReferences",
  "resourceVersion",
  "selfLink",
  "uid",
];
const ANNOTATIONS = [
  "deployment.kubernetes.io/revision",
  "kubectl.kubernetes.io/last-applied-configuration",
  "objectset.rio.cattle.io/applied",
  "objectset.rio.cattle.io/id",
  "objectset.rio.cattle.io/inputid",
  "objectset.rio.cattle.io/owner-gvk",
  "objectset.rio.cattle.io/owner-name",
  "objectset.rio.cattle.io/owner-namespace",
];
// By this label, k3s finds what a file of another cluster brought, and deletes it where no file here has it.
const LABELS = ["objectset.rio.cattle.io/hash"];

/**
 * Removes the fields that only a live cluster sets (`kubectl get -o yaml` writes them): the server's fields of the
 * metadata, `status`, the annotations and labels that kubectl and controllers keep for themselves, and, where the object was exported,
 * addresses and names that the cluster chose.
 *
 * `status` of a custom resource is removed only where the object was exported: without the status subresource it is data.
 */
export function stripLiveFields(object: KubeObject): StrippedObject {
  const stripped: string[] = [];
  const { metadata: given } = object;
  let fields: Record<string, unknown> = isExported(given)
    ? stripExportedFields(object, (path) => stripped.push(formatField(path)))
    : object;
  if ("status" in object && (isExported(given) || BUILT_IN_GROUPS.has(groupOf(object.apiVersion)))) {
    fields = without(fields, ["status"], (field) => stripped.push(field));
  }
  if (isJsonObject(fields.metadata)) {
    const before = fields.metadata;
    let metadata = without(before, METADATA_FIELDS, (field) => stripped.push(`metadata.${field}`));
    for (const [name, keys] of [["annotations", ANNOTATIONS], ["labels", LABELS]] as const) {
      const map = metadata[name];
      if (!isJsonObject(map)) continue;
      const kept = without(map, keys, (key) => stripped.push(`metadata.${name}[${JSON.stringify(key)}]`));
      if (kept !== map) metadata = { ...metadata, [name]: kept };
    }
    if (metadata !== before) fields = { ...fields, metadata };
  }
  return { object: fields as KubeObject, stripped };
}

function isExported(metadata: unknown): boolean {
  return isJsonObject(metadata) && ["managedFields", "resourceVersion", "uid"].some((it) => isFilled(metadata[it]));
}

// The value itself where it has none of the fields.
function without(
  value: Record<string, unknown>,
  fields: readonly string[],
  onStripped: (field: string) => void,
): Record<string, unknown> {
  const present = fields.filter((field) => Object.hasOwn(value, field));
  if (present.length === 0) return value;
  for (const field of present) if (isFilled(value[field])) onStripped(field);
  return Object.fromEntries(Object.entries(value).filter(([key]) => !fields.includes(key)));
}

function isFilled(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isJsonObject(value)) return Object.values(value).some(isFilled);
  return value !== null && value !== undefined && value !== "";
}
