import { formatCanonicalJson } from "../../kubepkg/version.ts";
import type { PackageObject } from "../../kubepkg/package_objects.ts";
import { formatIdentity, identityKey, type ObjectIdentity } from "../../kubepkg/object_identity.ts";
import { isJsonObject } from "../../oci/json.ts";

/**
 * Why an object that a package no longer has stays in the cluster: data goes with it; another package has it too;
 * objects of another package, of this one, or of others in the cluster live in it.
 */
export type KeepReason = "data" | "shared" | "in use";

/** An object that left a package and stays in the cluster. */
export interface KeptObject {
  readonly object: PackageObject;
  readonly reason: KeepReason;
}

/** What a hand-over or a removal does to the objects of a package. */
export interface ObjectChanges {
  readonly added: readonly PackageObject[];
  readonly changed: readonly PackageObject[];
  /** In the order of removal: objects before the namespace or the definition that they depend on. */
  readonly deleted: readonly PackageObject[];
  /** In the order of installation. */
  readonly kept: readonly KeptObject[];
}

/** What the changes are decided by; every list in the order of installation. */
export interface PlanObjectsOptions {
  /** The objects that the package brought into the cluster so far, also those that an earlier change kept. */
  readonly before: readonly PackageObject[];
  /** The objects that the package is to have; none for a removal. */
  readonly after: readonly PackageObject[];
  /** The objects of all other packages. */
  readonly others: readonly PackageObject[];
  /** Deletes data too: PersistentVolumeClaims, PersistentVolumes, StorageClasses, definitions, Namespaces. */
  readonly pruneData: boolean;
  /**
   * Namespaces that must stay because objects of others are in them, or because nothing tells which are. Only asked for
   * Namespaces that `pruneData` would delete.
   */
  readonly isOccupied?: (namespace: string) => boolean;
}

const DATA: ReadonlySet<string> = new Set([
  "/Namespace",
  "/PersistentVolume",
  "/PersistentVolumeClaim",
  "storage.k8s.io/StorageClass",
  "apiextensions.k8s.io/CustomResourceDefinition",
]);

/** Tells whether data, or objects of others, are lost when an object of this kind is deleted. */
export function holdsData({ group, kind }: Pick<ObjectIdentity, "group" | "kind">): boolean {
  return DATA.has(`${group}/${kind}`);
}

/** Decides what is added, changed, deleted and kept when a package goes from `before` to `after`. */
export function planObjects(options: PlanObjectsOptions): ObjectChanges {
  const { before, after } = options;
  const [old, now] = [indexObjects(before), indexObjects(after)];
  const kept: KeptObject[] = [];
  const deleted: PackageObject[] = [];
  for (const [key, object] of old) {
    if (now.has(key)) continue;
    const reason = keepReason(object, options);
    if (reason === undefined) deleted.unshift(object);
    else kept.push({ object, reason });
  }
  return {
    added: [...now].filter(([key]) => !old.has(key)).map(([, it]) => it),
    changed: [...now].filter(([key, it]) => old.has(key) && !isSameContent(old.get(key)!, it)).map(([, it]) => it),
    deleted,
    kept,
  };
}

/** `Kind/namespace/name` of objects, sorted. */
export function labelsOf(objects: Iterable<PackageObject>): string[] {
  return Array.from(objects, ({ identity }) => formatIdentity(identity)).sort();
}

/**
 * Tells whether an object is deleted with another: what is in a Namespace with the Namespace, the objects of a kind with
 * the definition of the kind.
 */
export function isDeletedWith({ identity }: PackageObject, host: PackageObject): boolean {
  const { group, kind, name } = host.identity;
  if (group === "" && kind === "Namespace") return identity.namespace === name;
  if (group !== "apiextensions.k8s.io" || kind !== "CustomResourceDefinition") return false;
  const spec = isJsonObject(host.object.spec) ? host.object.spec : {};
  const names = isJsonObject(spec.names) ? spec.names : {};
  return identity.group === spec.group && identity.kind === names.kind;
}

function keepReason(object: PackageObject, options: PlanObjectsOptions): KeepReason | undefined {
  const { after, others, pruneData, isOccupied = () => false } = options;
  const key = identityKey(object.identity);
  if (others.some(({ identity }) => identityKey(identity) === key)) return "shared";
  if ([...others, ...after].some((other) => isDeletedWith(other, object))) return "in use";
  if (!holdsData(object.identity)) return undefined;
  if (!pruneData) return "data";
  const { kind, name } = object.identity;
  return kind === "Namespace" && isOccupied(name) ? "in use" : undefined;
}

// The first of two objects with one identity counts.
function indexObjects(objects: readonly PackageObject[]): Map<string, PackageObject> {
  const found = new Map<string, PackageObject>();
  for (const object of objects) {
    const key = identityKey(object.identity);
    if (!found.has(key)) found.set(key, object);
  }
  return found;
}

function isSameContent(a: PackageObject, b: PackageObject): boolean {
  return a === b || formatCanonicalJson(a.object) === formatCanonicalJson(b.object);
}
