import { isJsonObject } from "../oci/json.ts";
import { fieldError, type FieldPath } from "./field_path.ts";
import type { KubeObject } from "./kubepkg.ts";

/** An object of a package, and the field of the document that it comes from. */
interface FlatObject {
  readonly object: KubeObject;
  /** `["spec", "manifests", "all", "items", 2]` */
  readonly path: FieldPath;
}

/** An item of a list that is null. */
interface NullItem {
  /** The kind of the list, such as `List`. */
  readonly kind: string;
  /** The field of the list. */
  readonly path: FieldPath;
  readonly index: number;
}

/** Deepest nesting of groups and lists. */
const MAX_NESTING = 8;
/** Largest number of objects in a package. */
const MAX_OBJECTS = 50_000;
const MANIFESTS: FieldPath = ["spec", "manifests"];

/**
 * Gives the objects of `spec.manifests` in the order of the document, lists unpacked: `kind: List` and every typed list
 * (`ConfigMapList`), whose items take the list's `apiVersion` and kind where they have none. Entries and items that are
 * null are skipped; an entry may be a group (a map of name → object, or an array of objects).
 *
 * @param what names the document in errors
 * @throws {CorruptError} for a value that is no object, groups or lists nested too deep, or too many objects
 */
export function flattenObjects(manifests: Readonly<Record<string, unknown>>, what = "the KubePkg"): FlatObject[] {
  return flatten(manifests, what, () => {});
}

/**
 * Lists the items of lists that are null, by their list and the index in it.
 *
 * @param most how many are listed; a document may have millions
 * @throws as `flattenObjects`
 */
export function listNullItems(manifests: Readonly<Record<string, unknown>>, most: number): NullItem[] {
  const found: NullItem[] = [];
  flatten(manifests, "the KubePkg", (item) => {
    if (found.length < most) found.push(item);
  });
  return found;
}

function flatten(
  manifests: Readonly<Record<string, unknown>>,
  what: string,
  onNull: (item: NullItem) => void,
): FlatObject[] {
  const found: FlatObject[] = [];
  const add = (object: KubeObject, path: FieldPath, depth: number) => {
    const items = itemsOf(object);
    if (items === undefined) {
      if (found.length === MAX_OBJECTS) throw fieldError({ what, path }, `more than ${MAX_OBJECTS} objects`);
      found.push({ object, path });
      return;
    }
    checkNesting(what, path, depth);
    items.forEach((item, index) => {
      if (item === null || item === undefined) return onNull({ kind: object.kind, path, index });
      const itemPath = [...path, "items", index];
      add(toKubeObject(what, withTypeOf(object, item), itemPath), itemPath, depth + 1);
    });
  };
  for (const { object, path } of walkGroups(manifests, what)) add(object, path, 0);
  return found;
}

/**
 * Gives `spec.manifests` as a plain map of name → object: groups are replaced by their objects under the names
 * `group.name`, and null entries are left out. Lists stay as they are.
 *
 * @param what names the document in errors
 * @throws {CorruptError} as `flattenObjects`
 */
export function expandGroups(
  manifests: Readonly<Record<string, unknown>>,
  what = "the KubePkg",
): Record<string, KubeObject> {
  const found = new Map<string, KubeObject>();
  // Names that are given count before names that are made.
  const given = new Set(Object.keys(manifests));
  for (const { object, path } of walkGroups(manifests, what)) {
    const names = path.slice(MANIFESTS.length);
    const isGiven = names.length === 1;
    const name = names.join(".");
    found.set(isGiven ? name : uniqueKey(name, (key) => found.has(key) || given.has(key)), object);
  }
  return Object.fromEntries(found);
}

/** `key`, or `key-2`, `key-3`, … where it is taken. */
export function uniqueKey(key: string, isTaken: (key: string) => boolean): string {
  let unique = key;
  for (let i = 2; isTaken(unique); i++) unique = `${key}-${i}`;
  return unique;
}

/** Replaces every object of `spec.manifests`, those in lists too. The lists and keys stay. */
export function mapObjects(
  manifests: Readonly<Record<string, KubeObject>>,
  change: (object: KubeObject) => KubeObject,
): Record<string, KubeObject> {
  const map = (object: KubeObject, depth: number): KubeObject => {
    const items = depth < MAX_NESTING ? itemsOf(object) : undefined;
    if (items === undefined || object.items === undefined) return change(object);
    return {
      ...change(object),
      items: items.map((item) => isJsonObject(item) ? map(withTypeOf(object, item) as KubeObject, depth + 1) : item),
    };
  };
  return Object.fromEntries(Object.entries(manifests).map(([key, object]) => [key, map(object, 0)]));
}

/** Tells whether a value says what it is: it has an `apiVersion` or a `kind` of its own. */
function isTyped(value: Record<string, unknown>): boolean {
  return typeof value.apiVersion === "string" || typeof value.kind === "string";
}

function walkGroups(manifests: Readonly<Record<string, unknown>>, what: string): FlatObject[] {
  const found: FlatObject[] = [];
  const visit = (value: unknown, path: FieldPath, depth: number) => {
    if (value === null || value === undefined) return;
    if (isJsonObject(value) && isTyped(value)) {
      if (found.length === MAX_OBJECTS) throw fieldError({ what, path }, `more than ${MAX_OBJECTS} objects`);
      found.push({ object: toKubeObject(what, value, path), path });
    } else if (Array.isArray(value) || isJsonObject(value)) {
      checkNesting(what, path, depth);
      const isList = Array.isArray(value);
      for (const [key, inner] of Object.entries(value)) {
        visit(inner, [...path, isList ? Number(key) : key], depth + 1);
      }
    } else throw fieldError({ what, path }, "must be an object");
  };
  for (const [key, value] of Object.entries(manifests)) visit(value, [...MANIFESTS, key], 0);
  return found;
}

// A custom resource may have a kind that ends with "List" and a field `items`, but then it also has a name.
function itemsOf(object: KubeObject): readonly unknown[] | undefined {
  const { kind, items, metadata } = object;
  if (!kind.endsWith("List") || isJsonObject(metadata) && metadata.name !== undefined) return undefined;
  if (Array.isArray(items)) return items;
  return items === null || items === undefined && kind === "List" ? [] : undefined;
}

// An item of a typed list need not say what it is: `items` of a ConfigMapList are ConfigMaps.
function withTypeOf(list: KubeObject, item: unknown): unknown {
  if (!isJsonObject(item) || list.kind === "List") return item;
  if (typeof item.apiVersion === "string" && typeof item.kind === "string") return item;
  return { ...item, apiVersion: item.apiVersion ?? list.apiVersion, kind: item.kind ?? list.kind.slice(0, -4) };
}

function toKubeObject(what: string, value: unknown, path: FieldPath): KubeObject {
  if (!isJsonObject(value)) throw fieldError({ what, path }, "must be an object");
  for (const field of ["apiVersion", "kind"]) {
    const it = value[field];
    if (it === undefined || it === null) throw fieldError({ what, path: [...path, field] }, "is missing");
    if (typeof it !== "string") throw fieldError({ what, path: [...path, field] }, "must be text");
    if (it === "") throw fieldError({ what, path: [...path, field] }, "must not be empty");
  }
  return value as KubeObject;
}

function checkNesting(what: string, path: FieldPath, depth: number): void {
  if (depth >= MAX_NESTING) {
    throw fieldError({ what, path }, `groups and lists nested deeper than ${MAX_NESTING} levels`);
  }
}
