import type { KubeObject, KubePkg } from "../../kubepkg/kubepkg.ts";
import { isJsonObject } from "../../oci/json.ts";

/** What a cluster tells one object from another by. */
export interface ObjectIdentity {
  /** Without its version: a new version of a group keeps the object. */
  readonly group: string;
  readonly kind: string;
  /** "" where the manifest names none: the object has none, or gets the one that its client uses. */
  readonly namespace: string;
  readonly name: string;
}

/** One object of a package. */
export interface PackageObject {
  readonly identity: ObjectIdentity;
  readonly object: KubeObject;
}

/** What has to be there before the objects of the other kinds can be. */
export type ObjectRank = "namespace" | "definition" | "other";

const MAX_NESTING = 8;

/** Reads what an object is told by; the key of the manifest stands in for a name that is missing. */
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

/** `kind/namespace/name`, for people. */
export function formatIdentity({ kind, namespace, name }: ObjectIdentity): string {
  return [kind, namespace, name].filter((part) => part !== "").join("/");
}

/** Tells what kind of start an object needs. */
export function rankOf({ group, kind }: Pick<ObjectIdentity, "group" | "kind">): ObjectRank {
  if (kind === "Namespace" && group === "") return "namespace";
  return kind === "CustomResourceDefinition" && group === "apiextensions.k8s.io" ? "definition" : "other";
}

/** The objects of a package in the order of their keys; of a list (`kind: List`) those that are in it. */
export function listObjects(kubepkg: KubePkg): PackageObject[] {
  return Object.entries(kubepkg.spec.manifests)
    .sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0)
    .flatMap(([key, object]) =>
      unpackList(object, 0).map((object) => ({ identity: identifyObject(object, key), object }))
    );
}

/**
 * Tells whether two manifests may stand for one object. One that names no namespace may be in any: which one is for
 * whoever applies it to say.
 */
export function mayBeSame(a: ObjectIdentity, b: ObjectIdentity): boolean {
  return a.group === b.group && a.kind === b.kind && a.name === b.name &&
    (a.namespace === b.namespace || a.namespace === "" || b.namespace === "");
}

/** Tells whether to delete an object is to delete data, or what other packages live in. */
export function isUnsafeToDelete({ group, kind }: ObjectIdentity): boolean {
  return rankOf({ group, kind }) !== "other" || kind === "PersistentVolumeClaim" && group === "";
}

/**
 * Tells whether an object would go with another: what is in a namespace goes with it, and what is of a kind with the
 * kind's definition.
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
