// @ts-types="../std/js_yaml.d.ts"
import { FAILSAFE_SCHEMA, type Listener, loadAll } from "js-yaml";
import { CrpeError } from "../oci/error.ts";
import { isJsonObject } from "../oci/json.ts";

/** A mapping of `registries.yaml`. */
export type Yaml = Readonly<Record<string, unknown>>;

// What go-yaml v2 refuses, which k3s uses, and js-yaml reads: other directives, and line ends of YAML 1.1 within a line.
const REFUSED = /^%(?!YAML[ \t]+1\.1[ \t]*$|TAG[ \t])|[\u0085\u2028\u2029]/m;
// A tab in front of a token. It is none within brackets and texts of several lines, where it is refused all the same.
const INDENTING_TAB = /^ *(?:[-?] +)*[-?]?\t/;
const SLASH_ESCAPE = /^"(?:[^"\\]|\\[^/])*\\\//;

/**
 * Parses `registries.yaml`; every scalar is kept as text, since only the mirrors need to be interpreted.
 *
 * @throws {CrpeError} when k3s could not read it
 */
export function parseRegistries(text: string): Yaml {
  let documents: unknown[];
  try {
    documents = loadAll(text, null, { schema: FAILSAFE_SCHEMA, listener: refuseEscapes(text) });
  } catch {
    // The parser's message is dropped: it quotes the document, and the quoted part may be a password.
    throw new CrpeError("it is not YAML");
  }
  if (documents.length > 1 || REFUSED.test(text)) throw new CrpeError("it is not YAML");
  const document = documents[0] ?? {};
  if (!isJsonObject(document) || "[object Object]" in document) throw new CrpeError("it is not a YAML mapping");
  return document;
}

/** Refuses a text that k3s may not read because of a tab, which YAML does not allow as indentation. */
export function refuseTabs(text: string): void {
  const line = text.split("\n").findIndex((line) => INDENTING_TAB.test(line));
  if (line >= 0) throw new CrpeError({ reason: `line ${line + 1} is indented with a tab`, advice: "write spaces" });
}

// `\/` in a double-quoted text is an escape of JSON and YAML 1.2 alone.
function refuseEscapes(text: string): Listener {
  const starts: number[] = [];
  return (event, state) => {
    if (event === "open") {
      starts.push(state.position);
      return;
    }
    const source = text.slice(starts.pop() ?? 0, state.position);
    if (state.kind === "scalar" && SLASH_ESCAPE.test(source.trimStart())) throw new SyntaxError("an unknown escape");
  };
}
