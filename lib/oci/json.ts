import { cannot, CorruptError, type Failure } from "./error.ts";
import { measureJson } from "./measure_json.ts";

/** Limits of a JSON document. */
export interface JsonLimits {
  /** Largest size in bytes. */
  readonly maxBytes: number;
  /** Deepest nesting of arrays and objects. */
  readonly maxDepth: number;
  /** Largest number of values, counted in bulk: up to one too many for each array and object. Default: no limit. */
  readonly maxValues?: number;
}

/** A text that is not JSON, or not YAML. */
export class DocumentError extends CorruptError {
  /** Where it is wrong, from 1; `undefined` if that is not known. */
  readonly line: number | undefined;

  constructor(failure: Failure, { line, cause }: { readonly line: number | undefined; readonly cause: unknown }) {
    super(failure, { cause });
    this.line = line;
  }
}

const DEFAULT_LIMITS: JsonLimits = { maxBytes: 4 * 1024 * 1024, maxDepth: 128 };

/**
 * Parses a JSON document from an untrusted source. The document must be valid UTF-8, within the limits of size and
 * depth, and without the key `__proto__`: no supported format uses that key, and it would change the prototype of an
 * object that the value is copied into.
 *
 * @param what names the document in the error message
 * @throws {CorruptError} when the document exceeds a limit; a `DocumentError` when it is not valid JSON
 */
export function parseJson(bytes: Uint8Array, what: string, limits: JsonLimits = DEFAULT_LIMITS): unknown {
  if (bytes.length > limits.maxBytes) {
    throw new CorruptError(cannot(`read ${what}`, `it has ${bytes.length} bytes, ${limits.maxBytes} are allowed`));
  }
  try {
    // The byte order mark is kept so that it is detected: RFC 8259, 8.1 forbids it, and clients refuse such a manifest.
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    if (text.startsWith("\ufeff")) throw new Error("it begins with a byte order mark");
    // Checked before JSON.parse, because the parsed value is walked recursively, and takes memory for each value.
    const shape = measureJson(bytes, limits.maxDepth);
    if (shape.depth > limits.maxDepth) throw new Error(`nested deeper than ${limits.maxDepth} levels`);
    if (shape.values > (limits.maxValues ?? Infinity)) {
      throw new Error(`more than ${limits.maxValues} values`);
    }
    const value: unknown = JSON.parse(text);
    // Reported last, so that a document that is not JSON is reported as such. JSON.parse creates an ordinary property.
    if (shape.hasProtoKey) throw new Error("the key __proto__ is not allowed");
    return value;
  } catch (cause) {
    const { line, reason } = describeProblem(cause);
    throw new DocumentError(cannot(`read ${what} as JSON`, reason), { line, cause });
  }
}

// V8's messages quote the document, and the quoted text may be a password: only the position is taken from them.
function describeProblem(cause: unknown): { readonly line?: number; readonly reason: string } {
  if (cause instanceof TypeError) return { reason: "it is not UTF-8" };
  if (!(cause instanceof SyntaxError)) return { reason: cause instanceof Error ? cause.message : String(cause) };
  const [, line, column] = /\(line (\d+) column (\d+)\)$/.exec(cause.message) ?? [];
  if (line !== undefined) return { line: Number(line), reason: `it is not valid at line ${line}, column ${column}` };
  return { reason: cause.message.includes("end of JSON") ? "it ends too early" : "it is not valid" };
}

/** Reports whether a value is a JSON object: neither `null` nor an array. */
export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Returns a value of a document if it is a text; else `undefined`. */
export function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** Returns the texts of a list in a document; `undefined` if it is no list. */
export function textsOf(value: unknown): string[] | undefined {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : undefined;
}
