import { fieldError, type FieldPath, formatField } from "./field_path.ts";

/** A character that a cluster does not take, or not as it is. */
interface TextProblem {
  /** The field that has it. */
  readonly path: FieldPath;
  readonly problem: string;
}

const MAX_DEPTH = 200;
const MAX_FOUND = 20;
// What go-yaml refuses where it is not escaped (yaml.v2, readerc.go), and JSON as Go writes it leaves it unescaped.
// U+0085 is a line break to go-yaml, and comes out as a space.
const UNSAFE = /[\u007f-\u009f\ufffe\uffff]/;

/**
 * Finds texts and keys that do not reach a cluster unchanged: half of a surrogate pair (go-yaml refuses the whole file),
 * and the characters U+007F to U+009F, U+FFFE and U+FFFF ("control characters are not allowed").
 */
export function findUnsafeText(value: unknown): TextProblem[] {
  const found: TextProblem[] = [];
  const check = (text: string, path: FieldPath, isKey: boolean) => {
    const problem = describe(text);
    if (problem !== undefined) found.push({ path, problem: isKey ? `the key has ${problem}` : `has ${problem}` });
  };
  const visit = (inner: unknown, path: FieldPath) => {
    if (found.length >= MAX_FOUND || path.length > MAX_DEPTH) return;
    if (typeof inner === "string") return check(inner, path, false);
    if (typeof inner !== "object" || inner === null) return;
    const isList = Array.isArray(inner);
    for (const [key, it] of Object.entries(inner)) {
      const innerPath = [...path, isList ? Number(key) : key];
      if (!isList) check(key, innerPath, true);
      visit(it, innerPath);
    }
  };
  visit(value, []);
  return found;
}

/**
 * Checks that all texts and keys of a document are Unicode. JSON and YAML can spell half of a surrogate pair (`\\ud83d`),
 * but UTF-8 does not have it: Go replaces it in JSON, and go-yaml refuses the whole hand-over file for it.
 *
 * @param what names the document in the error
 * @throws {CorruptError} that names the field
 */
export function checkWellFormed(value: unknown, what: string): void {
  const path: (string | number)[] = [];
  const check = (text: string, subject: string) => {
    if (text.isWellFormed()) return;
    const shown = path.map((key) => typeof key === "string" ? key.toWellFormed() : key);
    throw fieldError(
      { what, path: shown },
      `${subject} half of a surrogate pair, a character that was cut in two; mend the text`,
    );
  };
  const visit = (inner: unknown) => {
    if (typeof inner === "string") check(inner, "has");
    if (typeof inner !== "object" || inner === null) return;
    const isList = Array.isArray(inner);
    for (const [key, it] of Object.entries(inner)) {
      path.push(isList ? Number(key) : key);
      if (!isList) check(key, "its key has");
      visit(it);
      path.pop();
    }
  };
  visit(value);
}

function describe(text: string): string | undefined {
  if (!text.isWellFormed()) return "half of a surrogate pair, a character that was cut in two";
  const unsafe = UNSAFE.exec(text)?.[0];
  if (unsafe === undefined) return undefined;
  return `the control character U+${unsafe.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

/** A field as text that has nothing but characters which every terminal shows. */
export function formatSafeField(path: FieldPath): string {
  return formatField(path).toWellFormed().replace(new RegExp(UNSAFE, "g"), "\ufffd");
}
