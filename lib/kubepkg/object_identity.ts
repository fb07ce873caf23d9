import { isJsonObject } from "../oci/json.ts";
import type { KubeObject } from "./kubepkg.ts";

/** The fields that distinguish one object of a cluster from another. */
export interface ObjectIdentity {
  /** API group without its version: a new version of a group keeps the object. "" is the core group. */
  readonly group: string;
  readonly kind: string;
  /** "" where the manifest names none. */
  readonly namespace: string;
  /** "" where the manifest names none. */
  readonly name: string;
}

/** Reads group, kind, namespace and name of an object. */
export function identifyObject(object: KubeObject): ObjectIdentity {
  const metadata = metadataOf(object);
  return {
    group: groupOf(object.apiVersion),
    kind: object.kind,
    namespace: typeof metadata.namespace === "string" ? metadata.namespace : "",
    name: typeof metadata.name === "string" ? metadata.name : "",
  };
}

/** The group of an `apiVersion`: `apps/v1` → `apps`, `v1` → "". */
export function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf("/");
  return slash < 0 ? "" : apiVersion.slice(0, slash);
}

/** `metadata` of an object; empty where the object has none. */
export function metadataOf(object: KubeObject): Readonly<Record<string, unknown>> {
  return isJsonObject(object.metadata) ? object.metadata : {};
}

/** `kind/namespace/name`, for messages, without a namespace that is empty; an object without a name says so. */
export function formatIdentity({ kind, namespace, name }: ObjectIdentity): string {
  if (name === "") return `${kind} without a name${namespace === "" ? "" : ` in ${namespace}`}`;
  return [kind, namespace, name].filter((part) => part !== "").join("/");
}

/** A key that is equal for two identities exactly if they name the same object. */
export function identityKey({ group, kind, namespace, name }: ObjectIdentity): string {
  return JSON.stringify([group, kind, namespace, name]);
}
