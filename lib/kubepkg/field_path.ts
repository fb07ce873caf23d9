import { cannot, CorruptError, type Failure } from "../oci/error.ts";

/** The keys and indices that lead to a field. */
export type FieldPath = readonly (string | number)[];

/** Formats a path for messages: `spec.images["nginx:1"]`. "" is the whole document. */
export function formatField(path: FieldPath): string {
  return path.map((key, i) => {
    if (typeof key === "number") return `[${key}]`;
    if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) return i === 0 ? key : `.${key}`;
    return `[${JSON.stringify(key.length > 200 ? `${key.slice(0, 200)}…` : key)}]`;
  }).join("");
}

/** The error of a document with a wrong field. */
export class FieldError extends CorruptError {
  readonly path: FieldPath;
  /** What is wrong, without the field: `must be text`. */
  readonly problem: string;

  constructor(
    failure: Failure | string,
    { path, problem, cause }: { path: FieldPath; problem: string; cause?: unknown },
  ) {
    super(failure, { cause });
    this.path = path;
    this.problem = problem;
  }
}

/**
 * Creates the error of a document with a wrong field.
 *
 * @param field `what` is the name of the document
 */
export function fieldError(
  { what, path }: { readonly what: string; readonly path: FieldPath },
  problem: string,
  cause?: unknown,
): FieldError {
  const field = formatField(path);
  const reason = `${field === "" ? "it" : `${field}:`} ${problem}`;
  return new FieldError(cannot(`use ${what}`, reason), { path, problem, cause });
}
