import { flattenObjects } from "./flatten_objects.ts";
import type { FieldPath } from "./field_path.ts";
import { installRank } from "./install_rank.ts";
import type { KubeObject, KubePkg } from "./kubepkg.ts";
import { identifyObject, metadataOf, type ObjectIdentity } from "./object_identity.ts";
import { readDeclaredScopes, scopeOf } from "./scope_of.ts";

/** One object of a package as it goes to a cluster. */
export interface PackageObject {
  /** With the namespace that the object goes into; "" for a cluster-scoped object. */
  readonly identity: ObjectIdentity;
  /** With its namespace filled in. */
  readonly object: KubeObject;
  /** The field of the KubePkg that the object comes from; `["metadata", "namespace"]` for an added Namespace. */
  readonly path: FieldPath;
  /**
   * Set for the Namespace that crpe adds because the package does not bring it. It may hold data of others: removing
   * the package keeps it.
   */
  readonly isAdded?: true;
}

/** Every cluster has them. */
export const SYSTEM_NAMESPACES: ReadonlySet<string> = new Set([
  "default",
  "kube-node-lease",
  "kube-public",
  "kube-system",
]);

/**
 * Gives the objects of a package in the order of installation: lists unpacked, the namespace of the package filled in
 * where a namespaced object names none, and a Namespace added where the package uses its own namespace and does not
 * bring it. Objects of one rank are sorted by their key in `spec.manifests`, so that two documents which differ only in
 * the order of their fields give the same.
 *
 * @throws {CorruptError} as `flattenObjects`
 */
export function packageObjects(kubepkg: KubePkg): PackageObject[] {
  const flat = flattenObjects(kubepkg.spec.manifests);
  const declared = readDeclaredScopes(flat.map(({ object }) => object));
  const { namespace } = kubepkg.metadata;
  const objects: PackageObject[] = flat.map(({ object: given, path }) => {
    const isNamespaced = scopeOf(given, declared) === "Namespaced";
    const object = isNamespaced ? withNamespace(given, namespace) : given;
    const identity = identifyObject(object);
    return { identity: isNamespaced ? identity : { ...identity, namespace: "" }, object, path };
  });
  if (needsNamespace(objects, namespace)) objects.push(makeNamespace(namespace));
  return objects
    .map((it) => ({ it, rank: installRank(it.identity), key: String(it.path[2] ?? "") }))
    .sort((a, b) => a.rank - b.rank || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ it }) => it);
}

function withNamespace(object: KubeObject, namespace: string): KubeObject {
  const metadata = metadataOf(object);
  // A value of another type is left for `checkObjects` to find.
  if ((metadata.namespace ?? "") !== "") return object;
  return { ...object, metadata: { ...metadata, namespace } };
}

function needsNamespace(objects: readonly PackageObject[], namespace: string): boolean {
  if (SYSTEM_NAMESPACES.has(namespace)) return false;
  return objects.some(({ identity }) => identity.namespace === namespace) && !namespacesOf(objects).has(namespace);
}

/** The names of the Namespaces among objects. */
export function namespacesOf(objects: readonly PackageObject[]): Set<string> {
  return new Set(
    objects.filter(({ identity: { group, kind } }) => group === "" && kind === "Namespace").map(({ identity }) => {
      return identity.name;
    }),
  );
}

function makeNamespace(name: string): PackageObject {
  const object: KubeObject = { apiVersion: "v1", kind: "Namespace", metadata: { name } };
  return { identity: identifyObject(object), object, path: ["metadata", "namespace"], isAdded: true };
}
