import { formatCanonicalJson } from "../../kubepkg/version.ts";
import type { PackageObject } from "../../kubepkg/package_objects.ts";
import { formatIdentity, identityKey, type ObjectIdentity } from "../../kubepkg/object_identity.ts";
import { isJsonObject } from "../../oci/json.ts";

/**
 * Why an object that a package no longer has stays in the cluster: data goes with it; another package has it too;
 * objects of another package, of this one, or of others in the cluster live in it; nothing tells whether others need it.
 */
export type KeepReason = "data" | "shared" | "in use" | "unknown";

/** An object that left a package and stays in the cluster. */
interface KeptObject {
  /** A shared object as the other package has it. */
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
interface PlanObjectsOptions {
  /** The objects that the package brought into the cluster so far, also those that an earlier change kept. */
  readonly before: readonly PackageObject[];
  /** The objects that the package is to have; none for a removal. */
  readonly after: readonly PackageObject[];
  /** The objects of all other packages. */
  readonly others: readonly PackageObject[];
  /** False if there may be more objects of other packages: then nothing is deleted. */
  readonly areOthersKnown?: boolean;
  /** Deletes data too: PersistentVolumeClaims, PersistentVolumes, StorageClasses, definitions, Namespaces. */
  readonly pruneData: boolean;
  /**
   * Reports whether objects of others are in a Namespace; `undefined`: nothing tells. Only called for Namespaces that
   * `pruneData` would delete.
   */
  readonly isOccupied?: (namespace: string) => boolean | undefined;
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
  const { before, after, others } = options;
  const [old, now, foreign] = [indexObjects(before), indexObjects(after), indexObjects(others)];
  const needed = new Needs([...others, ...after]);
  const kept: KeptObject[] = [];
  const deleted: PackageObject[] = [];
  for (const [key, object] of old) {
    if (now.has(key)) continue;
    const shared = foreign.get(key);
    const reason = shared === undefined ? keepReason(object, needed, options) : "shared";
    if (reason === undefined) deleted.push(object);
    else kept.push({ object: shared ?? object, reason });
  }
  return {
    added: [...now].filter(([key]) => !old.has(key)).map(([, it]) => it),
    changed: [...now].filter(([key, it]) => old.has(key) && !isSameContent(old.get(key)!, it)).map(([, it]) => it),
    deleted: deleted.reverse(),
    kept,
  };
}

/** `Kind/namespace/name` of objects, sorted. */
export function labelsOf(objects: Iterable<PackageObject>): string[] {
  return Array.from(objects, ({ identity }) => formatIdentity(identity)).sort();
}

function keepReason(object: PackageObject, needs: Needs, options: PlanObjectsOptions): KeepReason | undefined {
  const { pruneData, areOthersKnown = true, isOccupied = () => false } = options;
  if (needs.has(object)) return "in use";
  if (holdsData(object.identity) && !pruneData) return "data";
  if (!areOthersKnown) return "unknown";
  if (!isNamespace(object)) return undefined;
  const isUsed = isOccupied(object.identity.name);
  return isUsed === undefined ? "unknown" : isUsed ? "in use" : undefined;
}

/** What objects would be deleted with: the objects in a Namespace with the Namespace, those of a kind with its definition. */
class Needs {
  readonly #namespaces: ReadonlySet<string>;
  readonly #kinds: ReadonlySet<string>;

  constructor(objects: readonly PackageObject[]) {
    this.#namespaces = new Set(objects.map(({ identity }) => identity.namespace));
    this.#kinds = new Set(objects.map(({ identity: { group, kind } }) => `${group}/${kind}`));
  }

  /** Reports whether one of the objects would be deleted with a Namespace or a definition. */
  has(host: PackageObject): boolean {
    if (isNamespace(host)) return this.#namespaces.has(host.identity.name);
    const { group, kind } = host.identity;
    if (group !== "apiextensions.k8s.io" || kind !== "CustomResourceDefinition") return false;
    const spec = isJsonObject(host.object.spec) ? host.object.spec : {};
    const names = isJsonObject(spec.names) ? spec.names : {};
    return this.#kinds.has(`${spec.group}/${names.kind}`);
  }
}

function isNamespace({ identity: { group, kind } }: PackageObject): boolean {
  return group === "" && kind === "Namespace";
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
