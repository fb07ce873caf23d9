import { FieldError, type FieldPath, formatField } from "./field_path.ts";
import { scanJson } from "./scan_json.ts";
import { cannot } from "../oci/error.ts";

const MAX_SHOWN = 40;

/**
 * Checks that every number of a JSON document survives being read and written. JavaScript reads numbers as doubles, which
 * have 53 bits for an integer; a Kubernetes field may have 64 (RFC 8259, 6: readers disagree beyond that).
 *
 * @param text well-formed JSON
 * @param what names the document in the error
 * @throws {CorruptError} that names the field
 */
export function checkExactNumbers(text: string, what: string): void {
  scanJson(text, {
    number: (token, path) => {
      if (!isExact(token)) throw inexactError(what, path, token);
    },
  });
}

/** The error of a document that has a number which cannot be kept. `number` is as the document spells it. */
export function inexactError(what: string, path: FieldPath, number: string): FieldError {
  const shown = number.length > MAX_SHOWN ? `${number.slice(0, MAX_SHOWN)}…` : number;
  const problem = `the number ${shown} cannot be kept exactly, ` +
    `integers are exact up to ${Number.MAX_SAFE_INTEGER}; write it as text where the field allows it`;
  const field = formatField(path);
  return new FieldError(cannot(`use ${what}`, `${field === "" ? "" : `${field}: `}${problem}`), { path, problem });
}

function isExact(token: string): boolean {
  const value = Number(token);
  if (/[.eE]/.test(token)) return Number.isFinite(value);
  return Number.isSafeInteger(value) || String(value) === token;
}
