// @ts-types="../std/yaml.d.ts"
import { parse } from "@std/yaml";
import { CorruptError } from "../oci/error.ts";
import { type JsonLimits, parseJson } from "../oci/json.ts";
import { checkExactNumbers, checkExactValues } from "./exact_numbers.ts";
import type { KubePkg } from "./kubepkg.ts";
import { parseKubePkg } from "./parse_kubepkg.ts";

/** Largest KubePkg document, in bytes, and how deep it may be nested. */
export const KUBEPKG_LIMITS: JsonLimits = { maxBytes: 16 * 1024 * 1024, maxDepth: 100 };

// An alias costs three bytes and may stand for all that the limits allow.
const MAX_VALUES = 2_000_000;

/**
 * Reads a KubePkg from JSON or YAML; a document that begins with `{` is JSON. YAML is read by its 1.2 core schema (`yes`
 * is text), anchors and aliases included.
 *
 * @param what names the document in errors
 * @throws {CorruptError} when it is neither, too large, nested too deep, no KubePkg, or has a number that would change
 */
export function readKubePkg(bytes: Uint8Array, what = "kubepkg.json"): KubePkg {
  if (startsWithBrace(bytes)) return readKubePkgJson(bytes, what);
  const value = parseYaml(bytes, what);
  checkExactValues(value, what);
  return parseKubePkg(value, what);
}

/** Reads a KubePkg that has to be JSON. @throws {CorruptError} as `readKubePkg` */
export function readKubePkgJson(bytes: Uint8Array, what: string): KubePkg {
  const value = parseJson(bytes, what, KUBEPKG_LIMITS);
  checkExactNumbers(new TextDecoder().decode(bytes), what);
  return parseKubePkg(value, what);
}

/**
 * Reads a YAML document from a stranger: one document, bounded in size also once its aliases are written out, without
 * the key `__proto__`.
 *
 * @throws {CorruptError}
 */
export function parseYaml(bytes: Uint8Array, what: string, limits: JsonLimits = KUBEPKG_LIMITS): unknown {
  if (bytes.length > limits.maxBytes) {
    throw new CorruptError(`Cannot read ${what}: it has ${bytes.length} bytes, ${limits.maxBytes} are allowed`);
  }
  try {
    // "core" and not "default": what Kubernetes takes is JSON, and that has no dates, sets or binary values.
    const value = parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes), { schema: "core" });
    measure(value, { values: MAX_VALUES, characters: limits.maxBytes }, limits.maxDepth);
    return value;
  } catch (cause) {
    // A RangeError is the parser's recursion on a document that is nested too deep.
    const reason = cause instanceof RangeError
      ? `nested deeper than ${limits.maxDepth} levels`
      : cause instanceof Error
      ? cause.message.split("\n", 1)[0]
      : String(cause);
    throw new CorruptError(`Cannot read ${what} as YAML: ${reason}`, { cause });
  }
}

// Aliases make one value appear many times (and, with a cycle, for ever): every appearance counts.
function measure(value: unknown, left: { values: number; characters: number }, depth: number): void {
  if (depth < 0) throw new SyntaxError("nested too deep");
  left.characters -= typeof value === "string" ? value.length : 0;
  if (--left.values < 0 || left.characters < 0) throw new SyntaxError("its aliases stand for too much");
  if (typeof value !== "object" || value === null) return;
  for (const key of Object.keys(value)) {
    if (key === "__proto__") throw new SyntaxError("the key __proto__ is not allowed");
    if (key === "<<") throw new SyntaxError("merge keys (<<) are not supported, use plain fields");
    left.characters -= Array.isArray(value) ? 0 : key.length;
    measure((value as Record<string, unknown>)[key], left, depth - 1);
  }
}

function startsWithBrace(bytes: Uint8Array): boolean {
  const first = bytes.find((byte) => byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d);
  return first === 0x7b;
}
