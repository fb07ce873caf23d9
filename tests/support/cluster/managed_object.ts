import { isJsonObject } from "../../../lib/oci/json.ts";

/** An object as JSON. */
export type Json = Record<string, unknown>;

/** A field that another manager owns, and that an apply would change. */
export interface FieldConflict {
  readonly manager: string;
  /** `.data.a` */
  readonly field: string;
}

// What identifies an object, or belongs to the server, is owned by no manager.
const UNOWNED =
  /^\.(?:apiVersion|kind|status\b.*|metadata\.(?:name|namespace|uid|resourceVersion|creationTimestamp|managedFields\b.*))$/;

/** An object with the managers of its fields, by the rules of server-side apply; a list counts as one field. */
export class ManagedObject {
  object: Json;
  readonly #owners = new Map<string, Set<string>>();

  constructor(object: Json) {
    this.object = object;
  }

  /** Managers that own a field, sorted. */
  managersOf(field: string): string[] {
    return [...this.#owners.get(field) ?? []].sort();
  }

  /** What keeps `manager` from applying `desired`. */
  findConflicts(desired: Json, manager: string): FieldConflict[] {
    const live = leavesOf(this.object);
    return [...leavesOf(desired)].flatMap(([field, value]) => {
      if (!live.has(field) || JSON.stringify(live.get(field)) === JSON.stringify(value)) return [];
      return this.managersOf(field).filter((other) => other !== manager).map((other) => ({ manager: other, field }));
    });
  }

  /** Applies `desired`: its fields are the manager's, and those that the manager alone had before go. */
  apply(desired: Json, manager: string): void {
    const wanted = leavesOf(desired);
    const live = leavesOf(this.object);
    for (const [field, owners] of this.#owners) {
      if (!owners.has(manager) || wanted.has(field)) continue;
      owners.delete(manager);
      if (owners.size > 0) continue;
      this.#owners.delete(field);
      live.delete(field);
    }
    for (const [field, value] of wanted) {
      const owners = this.#owners.get(field) ?? new Set();
      if (live.has(field) && JSON.stringify(live.get(field)) !== JSON.stringify(value)) owners.clear();
      live.set(field, value);
      this.#owners.set(field, owners.add(manager));
    }
    const { status, metadata: before } = this.object;
    const object = fromLeaves(live);
    const metadata = { ...object.metadata as Json, ...pick(before as Json | undefined, ["uid", "resourceVersion"]) };
    this.object = { ...object, metadata, ...(status === undefined ? {} : { status }) };
  }
}

// Fields by their path. A key may hold any character: paths are joined by a dot for people, kept apart by NUL here.
function leavesOf(value: unknown, path = "", found = new Map<string, unknown>()): Map<string, unknown> {
  if (isJsonObject(value) && (Object.keys(value).length > 0 || path === "")) {
    for (const [key, inner] of Object.entries(value)) leavesOf(inner, `${path}.${key.replaceAll(".", "\0")}`, found);
  } else if (!UNOWNED.test(path) || /^\.(?:apiVersion|kind|metadata\.(?:name|namespace))$/.test(path)) {
    found.set(path, value);
  }
  return found;
}

function fromLeaves(leaves: ReadonlyMap<string, unknown>): Json {
  const object: Json = {};
  for (const [path, value] of leaves) {
    const keys = path.slice(1).split(".").map((key) => key.replaceAll("\0", "."));
    let at = object;
    for (const key of keys.slice(0, -1)) at = (at[key] ??= {}) as Json;
    at[keys.at(-1)!] = value;
  }
  return object;
}

function pick(object: Json | undefined, keys: readonly string[]): Json {
  return Object.fromEntries(keys.filter((key) => object?.[key] !== undefined).map((key) => [key, object![key]]));
}
