import type { KubeObject, KubePkg } from "../../kubepkg/kubepkg.ts";
import { isJsonObject } from "../../oci/json.ts";

/** What identifies an object in a cluster. */
export interface ObjectIdentity {
  /** Without the version: the object is the same in each version of its group. */
  readonly group: string;
  readonly kind: string;
  /**
   * "" if the manifest names none: the object has no namespace, or gets the default one of the client that applies it.
   */
  readonly namespace: string;
  readonly name: string;
}

/** One object of a package. */
export interface PackageObject {
  readonly identity: ObjectIdentity;
  readonly object: KubeObject;
}

/**
 * The order in which objects are created: namespaces and definitions have to exist before the objects that use them.
 */
export type ObjectRank = "namespace" | "definition" | "other";

const MAX_NESTING = 8;

/** Reads the identity of an object. If the object has no name, the key of its manifest is used. */
export function identifyObject({ apiVersion, kind, metadata }: KubeObject, key: string): ObjectIdentity {
  const fields = isJsonObject(metadata) ? metadata : {};
  const slash = apiVersion.indexOf("/");
  return {
    group: slash < 0 ? "" : apiVersion.slice(0, slash),
    kind,
    namespace: typeof fields.namespace === "string" ? fields.namespace : "",
    name: typeof fields.name === "string" ? fields.name : key,
  };
}

/** Formats an identity as `kind/namespace/name`, for users. */
export function formatIdentity({ kind, namespace, name }: ObjectIdentity): string {
  return [kind, namespace, name].filter((part) => part !== "").join("/");
}

/** Returns the rank of an object in the order of creation. */
export function rankOf({ group, kind }: Pick<ObjectIdentity, "group" | "kind">): ObjectRank {
  if (kind === "Namespace" && group === "") return "namespace";
  return kind === "CustomResourceDefinition" && group === "apiextensions.k8s.io" ? "definition" : "other";
}

/** Lists the objects of a package in the order of their keys. A list (`kind: List`) is replaced by its items. */
export function listObjects(kubepkg: KubePkg): PackageObject[] {
  return Object.entries(kubepkg.spec.manifests)
    .sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0)
    .flatMap(([key, object]) =>
      unpackList(object, 0).map((object) => ({ identity: identifyObject(object, key), object }))
    );
}

/**
 * Reports whether two manifests may describe the same object. A manifest without a namespace matches every namespace,
 * because the client that applies it chooses one.
 */
export function mayBeSame(a: ObjectIdentity, b: ObjectIdentity): boolean {
  return a.group === b.group && a.kind === b.kind && a.name === b.name &&
    (a.namespace === b.namespace || a.namespace === "" || b.namespace === "");
}

/** Reports whether deleting an object would also delete data, or objects of other packages. */
export function isUnsafeToDelete({ group, kind }: ObjectIdentity): boolean {
  return rankOf({ group, kind }) !== "other" || kind === "PersistentVolumeClaim" && group === "";
}

/**
 * Reports whether the cluster deletes an object together with `host`: a namespace takes its content with it, and a
 * definition takes all objects of its kind.
 */
export function isDeletedWith({ identity }: PackageObject, host: PackageObject): boolean {
  switch (rankOf(host.identity)) {
    case "namespace":
      return identity.namespace === host.identity.name;
    case "definition": {
      const spec = isJsonObject(host.object.spec) ? host.object.spec : {};
      const names = isJsonObject(spec.names) ? spec.names : {};
      return identity.group === spec.group && identity.kind === names.kind;
    }
    case "other":
      return false;
  }
}

function unpackList(object: KubeObject, depth: number): KubeObject[] {
  const { kind, items } = object;
  if (depth === MAX_NESTING || !kind.endsWith("List") || !Array.isArray(items) || !items.every(isKubeObject)) {
    return [object];
  }
  return items.flatMap((item) => unpackList(item, depth + 1));
}

function isKubeObject(value: unknown): value is KubeObject {
  return isJsonObject(value) && typeof value.apiVersion === "string" && typeof value.kind === "string";
}
