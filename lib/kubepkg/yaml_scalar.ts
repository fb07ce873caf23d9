/** A number of a YAML document that JavaScript or JSON does not have exactly. */
export class InexactNumber {
  /** As the document spells it. */
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** So that a mapping key is kept as it is spelled. */
  toString(): string {
    return this.text;
  }
}

const TRUE = new Set(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"]);
const FALSE = new Set(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"]);
const NULL = new Set(["", "~", "null", "Null", "NULL"]);
const NOT_FINITE = /^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;
// Go's strconv.ParseInt with base 0: a prefix, or a leading zero for an octal number.
const INTEGER = /^([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))$/;
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;
// Dates are texts in JSON, and go-yaml leaves them as they are spelled.
const TIMESTAMP =
  /^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]*)?(?:Z|[-+][0-9]{2}:[0-9]{2})?)?$/;
const [MIN_INT64, MAX_INT64, MAX_UINT64] = [-(2n ** 63n), 2n ** 63n - 1n, 2n ** 64n - 1n];

/** Reads a boolean as YAML 1.1 has them: `yes`, `on`, `y`, `true` … `undefined` where the text is none. */
export function readYamlBoolean(text: string): boolean | undefined {
  return TRUE.has(text) ? true : FALSE.has(text) ? false : undefined;
}

/** Tells whether a text is null. */
export function isYamlNull(text: string): boolean {
  return NULL.has(text);
}

/**
 * Reads an integer as go-yaml v2 does (resolve.go): decimal, `0x`, `0b`, `0o`, and octal with a leading zero; `_`
 * anywhere behind the first character; within 64 bits. `undefined` where the text is none, an `InexactNumber` for one
 * that a double does not hold.
 */
export function readYamlInteger(text: string): number | InexactNumber | undefined {
  if (!/^[-+0-9]/.test(text) || TIMESTAMP.test(text)) return undefined;
  const match = INTEGER.exec(text.replaceAll("_", ""));
  if (match === null) return undefined;
  const [, sign, hex, binary, octal, decimal] = match;
  // BigInt takes time that grows with the square of the length.
  if ((binary ?? hex ?? octal ?? decimal)!.length > 80) return undefined;
  const digits = hex !== undefined
    ? `0x${hex}`
    : binary !== undefined
    ? `0b${binary}`
    : octal !== undefined
    ? `0o${octal}`
    : decimal!;
  const exact = sign === "-" ? -BigInt(digits) : BigInt(digits);
  const isInRange = exact >= MIN_INT64 && (exact <= MAX_INT64 || sign === "" && exact <= MAX_UINT64);
  if (!isInRange) return undefined;
  const value = Number(exact);
  return Number.isSafeInteger(value) || String(value) === exact.toString() ? value : new InexactNumber(text);
}

/**
 * Reads a number as go-yaml v2 does: an integer, or a decimal fraction with or without an exponent. A number that is out
 * of the range of a double is text, as in Go. `.inf` and `.nan`, and integers that a double does not hold, are an
 * `InexactNumber`.
 */
export function readYamlNumber(text: string): number | InexactNumber | undefined {
  if (NOT_FINITE.test(text)) return new InexactNumber(text);
  const integer = readYamlInteger(text);
  if (integer !== undefined) return integer;
  if (!/^[-+.0-9]/.test(text) || TIMESTAMP.test(text)) return undefined;
  // Behind a leading dot, `_` is allowed between digits only (Go's strconv.ParseFloat).
  if (text.startsWith(".") && /_(?![0-9])|(?<![0-9])_/.test(text)) return undefined;
  const plain = text.replaceAll("_", "");
  if (!FLOAT.test(plain)) return undefined;
  const value = Number(plain);
  if (!Number.isFinite(value)) return undefined;
  const isInteger = /^[-+]?[0-9]+$/.test(plain);
  const isExact = Number.isSafeInteger(value) || String(value) === plain;
  return !isInteger || isExact ? value : new InexactNumber(text);
}

/** Reads `!!binary`: base64 of a text. `undefined` where it is not base64. */
export function readYamlBinary(text: string): string | undefined {
  try {
    const bytes = Uint8Array.fromBase64(text.replace(/\s/g, ""));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
