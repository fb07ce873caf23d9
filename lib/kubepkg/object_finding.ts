import type { FieldPath } from "./field_path.ts";

/**
 * What is wrong: `kind` (not one of its API group, or no longer served), `null-item` (of a list), `name` (missing,
 * generated or not valid), `missing-namespace` (neither in the package nor in every cluster), `duplicate-object`,
 * `field-value` (a value that is not text, base64, a label, an image name or a valid key where it has to be),
 * `control-character`, `object-size`.
 */
export type ObjectFindingCode =
  | "kind"
  | "null-item"
  | "name"
  | "missing-namespace"
  | "duplicate-object"
  | "field-value"
  | "control-character"
  | "object-size";

/** Something about an object that a cluster does not take, or takes otherwise than it is written. */
export interface ObjectFinding {
  readonly code: ObjectFindingCode;
  /** `kind/namespace/name` of the object; the field it comes from where it has no name. */
  readonly object: string;
  /** The field of the object; "" for the object as a whole. */
  readonly field: string;
  readonly problem: string;
  /** What to do about it. */
  readonly advice: string;
}

/** What is wrong at a field of one object. */
export type FieldProblem = Omit<ObjectFinding, "code" | "object" | "field"> & { readonly path: FieldPath };

/** One sentence about a finding. */
export function formatObjectFinding({ object, field, problem, advice }: Omit<ObjectFinding, "code">): string {
  return `${object}: ${field === "" ? "" : `${field} `}${problem}; ${advice}`;
}
