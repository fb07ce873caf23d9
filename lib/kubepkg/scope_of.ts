import { isJsonObject } from "../oci/json.ts";
import { BUILT_IN_GROUPS, CLUSTER_KINDS } from "./cluster_kinds.ts";
import type { KubeObject } from "./kubepkg.ts";
import { groupOf } from "./object_identity.ts";

/** Whether objects of a kind live in a namespace. The words are those of a CustomResourceDefinition's `spec.scope`. */
type ObjectScope = "Cluster" | "Namespaced";

/** The scopes that the CustomResourceDefinitions of a package declare, by `group/kind`. */
type DeclaredScopes = ReadonlyMap<string, ObjectScope>;

/**
 * Tells whether objects of a kind live in a namespace: by Kubernetes' own kinds, then by the CustomResourceDefinitions of
 * the package, then by the table of well-known cluster-scoped kinds.
 *
 * An unknown kind counts as namespaced. That is the safe guess: the API server ignores `metadata.namespace` of a
 * cluster-scoped object, but it would put a namespaced object that names no namespace into `default`.
 */
export function scopeOf({ apiVersion, kind }: KubeObject, declared: DeclaredScopes = new Map()): ObjectScope {
  const group = groupOf(apiVersion);
  const own = BUILT_IN_GROUPS.has(group) ? undefined : declared.get(`${group}/${kind}`);
  return own ?? (isKnownClusterKind(group, kind) ? "Cluster" : "Namespaced");
}

/** Reads the scopes that the CustomResourceDefinitions among `objects` declare; an incomplete definition is skipped. */
export function readDeclaredScopes(objects: Iterable<KubeObject>): DeclaredScopes {
  const scopes = new Map<string, ObjectScope>();
  for (const { apiVersion, kind, spec } of objects) {
    if (kind !== "CustomResourceDefinition" || groupOf(apiVersion) !== "apiextensions.k8s.io") continue;
    if (!isJsonObject(spec) || typeof spec.group !== "string" || !isJsonObject(spec.names)) continue;
    if (typeof spec.names.kind !== "string") continue;
    // v1beta1 defaults to Namespaced; v1 requires the field.
    scopes.set(`${spec.group}/${spec.names.kind}`, spec.scope === "Cluster" ? "Cluster" : "Namespaced");
  }
  return scopes;
}

function isKnownClusterKind(group: string, kind: string): boolean {
  const kinds = Object.hasOwn(CLUSTER_KINDS, group) ? CLUSTER_KINDS[group]! : "";
  return kinds === "*" || kinds.split(" ").includes(kind);
}
