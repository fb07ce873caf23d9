import { CorruptError } from "../oci/error.ts";
import { type FieldPath, formatField } from "./field_path.ts";

// From here on a number is printed with an exponent: no integer type of Kubernetes reaches that far.
const EXPONENT_FROM = 1e21;
const BACKSLASH = 0x5c;
const QUOTE = 0x22;

/**
 * Sees to it that no number of a JSON document is another one when it is written again. Numbers are read as doubles,
 * which have 53 bits for an integer; a Kubernetes field may have 64 (RFC 8259, 6: beyond that readers do not agree).
 *
 * @param text well-formed JSON
 * @param what names the document in the error
 * @throws {CorruptError} that names the field
 */
export function checkExactNumbers(text: string, what: string): void {
  // The keys and positions that lead to where we are; `undefined` in an object before its first key.
  const path: (string | number | undefined)[] = [];
  for (let at = 0; at < text.length;) {
    const start = at++;
    const character = text.charAt(start);
    if (character === '"') {
      while (text.charCodeAt(at) !== QUOTE) at += text.charCodeAt(at) === BACKSLASH ? 2 : 1;
      at++;
      if (isKey(text, at)) path[path.length - 1] = JSON.parse(text.slice(start, at));
    } else if (/[-0-9]/.test(character)) {
      while (/[-+.0-9eE]/.test(text.charAt(at))) at++;
      const token = text.slice(start, at);
      if (!isExact(token)) throw inexactError(what, path.filter((key) => key !== undefined), token);
    } else if (character === "[") path.push(0);
    else if (character === "{") path.push(undefined);
    else if (character === "]" || character === "}") path.pop();
    else if (character === ",") {
      const last = path.length - 1;
      const key = path[last];
      if (typeof key === "number") path[last] = key + 1;
    }
  }
}

/**
 * Sees to it, for a value that was read from YAML, that none of its numbers is one which may have been another in the
 * document, or which JSON does not have.
 *
 * @throws {CorruptError} that names the field
 */
export function checkExactValues(value: unknown, what: string): void {
  const path: (string | number)[] = [];
  const visit = (inner: unknown) => {
    if (typeof inner === "number" && !isTrusted(inner)) throw inexactError(what, path, String(inner));
    if (typeof inner !== "object" || inner === null) return;
    for (const [key, it] of Object.entries(inner)) {
      path.push(Array.isArray(inner) ? Number(key) : key);
      visit(it);
      path.pop();
    }
  };
  visit(value);
}

function isTrusted(value: number): boolean {
  if (!Number.isInteger(value)) return Number.isFinite(value);
  return Number.isSafeInteger(value) || Math.abs(value) >= EXPONENT_FROM;
}

function isExact(token: string): boolean {
  const value = Number(token);
  if (/[.eE]/.test(token)) return Number.isFinite(value);
  return Number.isSafeInteger(value) || String(value) === token;
}

function isKey(text: string, at: number): boolean {
  while (text.charCodeAt(at) <= 0x20) at++;
  return text.charAt(at) === ":";
}

function inexactError(what: string, path: FieldPath, number: string): CorruptError {
  const field = formatField(path);
  const shown = number.length > 40 ? `${number.slice(0, 40)}…` : number;
  return new CorruptError(
    `Cannot use ${what}: ${field === "" ? "" : `${field}: `}the number ${shown} cannot be kept as it is, ` +
      `integers are exact up to ${Number.MAX_SAFE_INTEGER}; write it as text where that is allowed`,
  );
}
