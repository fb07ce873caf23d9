// @ts-types="../std/js_yaml.d.ts"
import { FAILSAFE_SCHEMA, type Listener, loadAll, Type, YAMLException } from "js-yaml";
import { cannot, CorruptError } from "../oci/error.ts";
import { DocumentError, isJsonObject, type JsonLimits } from "../oci/json.ts";
import { inexactError } from "./exact_numbers.ts";
import {
  InexactNumber,
  isYamlNull,
  readYamlBinary,
  readYamlBoolean,
  readYamlInteger,
  readYamlNumber,
} from "./yaml_scalar.ts";

/** Largest number of values in a document, each alias counted as all that it stands for. */
const MAX_VALUES = 5_000_000;
/** Largest number of documents in a file. */
export const MAX_DOCUMENTS = 50_000;

// A plain `<<` becomes a key of its own, since js-yaml would let the keys before it win and go-yaml does not. The
// character U+FDD0 is none (Unicode 23.7), and each key is another one, since a mapping may have several.
const MERGE = "\ufdd0<<";
let merges = 0;

const BLOCK_SCALAR = /^\s*(?:[&!]\S*\s+)*[|>]/;

const scalar = (tag: string, read: (text: string) => unknown) =>
  new Type(`tag:yaml.org,2002:${tag}`, {
    kind: "scalar",
    resolve: (text) => read(text as string) !== undefined,
    construct: (text) => read(text as string),
  });
// go-yaml ignores a tag that it does not know.
const anyTag = (kind: "mapping" | "scalar" | "sequence") => new Type("", { kind, multi: true });

/** The schema of `parseYamlDocuments`. */
export const SCHEMA = FAILSAFE_SCHEMA.extend({
  implicit: [
    new Type("tag:yaml.org,2002:null", {
      kind: "scalar",
      resolve: (text) => text === null || isYamlNull(text as string),
      construct: () => null,
    }),
    scalar("bool", readYamlBoolean),
    scalar("int", readYamlInteger),
    scalar("float", readYamlNumber),
    scalar("crpe/merge", (text) => text === "<<" ? `${MERGE}${merges++}` : undefined),
  ],
  explicit: [scalar("binary", readYamlBinary), anyTag("scalar"), anyTag("mapping"), anyTag("sequence")],
});

/**
 * Reads YAML documents from a stranger as kubectl does (sigs.k8s.io/yaml on go-yaml v2, that is YAML 1.1): `yes` and `on`
 * are booleans, `0644` and `0o644` are 420, dates are texts, merge keys are applied, unknown tags are ignored. A key that
 * is given twice is an error, as it is to `kubectl apply` with strict validation. Documents without content are left out.
 *
 * The result is bounded in size also with its aliases written out, and has no key `__proto__`.
 *
 * @param what names the file in errors
 * @throws {CorruptError} that names the field of a number which JSON does not have exactly
 */
export function parseYamlDocuments(bytes: Uint8Array, what: string, limits: JsonLimits): unknown[] {
  if (bytes.length > limits.maxBytes) {
    throw new CorruptError(cannot(`read ${what}`, `it has ${bytes.length} bytes, ${limits.maxBytes} are allowed`));
  }
  try {
    // Files that were joined have a byte order mark at the beginning of a line, which go-yaml skips.
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes).replaceAll("\n\ufeff", "\n");
    const documents = loadAll(text, null, { schema: SCHEMA, listener: trimLastScalar(text) }).filter((it) =>
      it !== null && it !== undefined
    );
    if (documents.length > MAX_DOCUMENTS) throw new SyntaxError(`more than ${MAX_DOCUMENTS} documents`);
    const finisher = new Finisher(what, limits);
    return documents.map((document, i) => finisher.finish(document, documents.length > 1 ? [i] : []));
  } catch (cause) {
    if (cause instanceof CorruptError) throw cause;
    // A RangeError is the parser's recursion on a document that is nested too deep.
    const reason = cause instanceof RangeError
      ? `nested deeper than ${limits.maxDepth} levels`
      : cause instanceof Error
      ? cause.message.split("\n", 1)[0]
      : String(cause);
    const line = cause instanceof YAMLException && cause.mark ? cause.mark.line + 1 : undefined;
    throw new DocumentError(cannot(`read ${what} as YAML`, reason), { line, cause });
  }
}

/** Reads one YAML document; null where there is none. @throws {CorruptError} as `parseYamlDocuments`, and for several */
export function parseYaml(bytes: Uint8Array, what: string, limits: JsonLimits): unknown {
  const documents = parseYamlDocuments(bytes, what, limits);
  if (documents.length > 1) {
    throw new CorruptError(cannot(`read ${what} as YAML`, `it has ${documents.length} documents, one is expected`));
  }
  return documents[0] ?? null;
}

/**
 * js-yaml adds a newline to a text that has none at its end, and a block scalar there would get it too. This takes it
 * away again.
 */
function trimLastScalar(text: string): Listener | undefined {
  if (text.endsWith("\n")) return undefined;
  const starts: number[] = [];
  return (event, state) => {
    if (event === "open") {
      starts.push(state.position);
      return;
    }
    const start = starts.pop() ?? 0;
    if (state.kind !== "scalar" || state.position < text.length || typeof state.result !== "string") return;
    if (state.result.endsWith("\n") && BLOCK_SCALAR.test(text.slice(start, start + 1000))) {
      state.result = state.result.slice(0, -1);
    }
  };
}

/** Applies merge keys to what js-yaml read, and checks sizes and numbers. */
class Finisher {
  readonly #what: string;
  readonly #limits: JsonLimits;
  readonly #path: (string | number)[] = [];
  // Aliases share their value. It is finished once, but it counts each time, since JSON has it each time.
  readonly #finished = new Map<object, { value: unknown; values: number; characters: number; depth: number }>();
  #values = 0;
  #characters = 0;
  #deepest = 0;

  constructor(what: string, limits: JsonLimits) {
    this.#what = what;
    this.#limits = limits;
  }

  finish(value: unknown, path: readonly number[]): unknown {
    this.#path.push(...path);
    const finished = this.#visit(value, 0);
    this.#path.length = 0;
    return finished;
  }

  #visit(value: unknown, depth: number): unknown {
    this.#count(1, typeof value === "string" ? value.length : 0, depth);
    if (typeof value === "string") return value.startsWith(MERGE) ? "<<" : value;
    if (value instanceof InexactNumber) throw inexactError(this.#what, this.#path, value.text);
    if (typeof value !== "object" || value === null) return value;
    const known = this.#finished.get(value);
    if (known !== undefined) {
      this.#count(known.values, known.characters, depth + known.depth);
      return known.value;
    }
    const before = { values: this.#values, characters: this.#characters, deepest: this.#deepest };
    this.#deepest = depth;
    const finished = Array.isArray(value)
      ? value.map((item, i) => this.#visitField(i, item, depth))
      : this.#visitMapping(value as Record<string, unknown>, depth);
    this.#finished.set(value, {
      value: finished,
      values: this.#values - before.values,
      characters: this.#characters - before.characters,
      depth: this.#deepest - depth,
    });
    this.#deepest = Math.max(this.#deepest, before.deepest);
    return finished;
  }

  #visitMapping(mapping: Record<string, unknown>, depth: number): Record<string, unknown> {
    const finished: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(mapping)) {
      if (key === "[object Object]") throw new SyntaxError("a mapping cannot be a key");
      if (key === "__proto__") throw new SyntaxError("the key __proto__ is not allowed");
      if (key.startsWith(MERGE)) Object.assign(finished, ...this.#visitMerge(value, depth));
      else {
        this.#count(0, key.length, depth);
        finished[key] = this.#visitField(key, value, depth);
      }
    }
    return finished;
  }

  // The first of several mappings wins, and all of them over the keys above the merge key (go-yaml v2, decode.go).
  #visitMerge(value: unknown, depth: number): Record<string, unknown>[] {
    const finished = this.#visit(value, depth);
    const mappings = Array.isArray(finished) ? finished.toReversed() : [finished];
    if (!mappings.every(isJsonObject)) throw new SyntaxError("a merge key (<<) takes a mapping, or a list of mappings");
    return mappings;
  }

  #visitField(key: string | number, value: unknown, depth: number): unknown {
    this.#path.push(key);
    const finished = this.#visit(value, depth + 1);
    this.#path.pop();
    return finished;
  }

  #count(values: number, characters: number, depth: number): void {
    this.#values += values;
    this.#characters += characters;
    this.#deepest = Math.max(this.#deepest, depth);
    if (depth > this.#limits.maxDepth) throw new SyntaxError(`nested deeper than ${this.#limits.maxDepth} levels`);
    if (this.#values > MAX_VALUES) throw new SyntaxError(`more than ${MAX_VALUES} values, aliases written out`);
    if (this.#characters > this.#limits.maxBytes) throw new SyntaxError("too large with its aliases written out");
  }
}
