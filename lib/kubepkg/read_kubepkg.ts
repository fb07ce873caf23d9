import { CorruptError } from "../oci/error.ts";
import { isJsonObject, type JsonLimits, parseJson } from "../oci/json.ts";
import { checkExactNumbers } from "./exact_numbers.ts";
import { findDuplicateKeys } from "./find_duplicate_keys.ts";
import type { KubePkg } from "./kubepkg.ts";
import { parseKubePkg, parseKubePkgs } from "./parse_kubepkg.ts";
import { parseYaml, parseYamlDocuments } from "./read_yaml.ts";

/** Largest KubePkg document, in bytes as it is given, and how deep it may be nested. */
export const KUBEPKG_LIMITS: JsonLimits = { maxBytes: 64 * 1024 * 1024, maxDepth: 100 };

/**
 * Reads a KubePkg from JSON or YAML; a document that begins with `{` is JSON. YAML is read as kubectl reads it. A byte
 * order mark is ignored. A key that is given twice is an error in both.
 *
 * @param what names the document in errors
 * @throws {CorruptError} when it is neither, too large, nested too deep, no KubePkg, several of them, or has a number that
 *   would change
 */
export function readKubePkg(bytes: Uint8Array, what = "kubepkg.json"): KubePkg {
  const text = withoutMark(bytes);
  return parseKubePkg(
    startsWithBrace(text) ? parseHandwrittenJson(text, what) : parseYaml(text, what, KUBEPKG_LIMITS),
    what,
  );
}

/**
 * Reads one or more KubePkgs: a KubePkg, a KubePkgList, or several YAML documents of either, in their order.
 *
 * @throws {CorruptError} as `readKubePkg`
 */
export function readKubePkgs(bytes: Uint8Array, what = "kubepkg.json"): KubePkg[] {
  const text = withoutMark(bytes);
  if (startsWithBrace(text)) return parseKubePkgs(parseHandwrittenJson(text, what), what);
  const documents = parseYamlDocuments(text, what, KUBEPKG_LIMITS);
  if (documents.length === 1) return parseKubePkgs(documents[0], what);
  if (documents.length === 0) throw new CorruptError(`Cannot read ${what}: it is empty`);
  return documents.flatMap((document, i) => parseKubePkgs(document, `${what}, document ${i + 1}`));
}

/** Reads a KubePkg that has to be JSON. @throws {CorruptError} as `readKubePkg` */
export function readKubePkgJson(bytes: Uint8Array, what: string): KubePkg {
  return parseKubePkg(parseExactJson(bytes, what), what);
}

/** Reads one KubePkg or a KubePkgList that has to be JSON. @throws {CorruptError} as `readKubePkg` */
export function readKubePkgsJson(bytes: Uint8Array, what: string): KubePkg[] {
  return parseKubePkgs(parseExactJson(bytes, what), what);
}

/**
 * Reads the documents of a file that a person wrote, JSON or YAML, without a look at what they are.
 *
 * @throws {CorruptError} when it is neither, too large, nested too deep, or has a number that would change
 */
export function readDocuments(bytes: Uint8Array, what: string): unknown[] {
  const text = withoutMark(bytes);
  // Several JSON objects, one after the other, are a YAML stream only with `---` between them.
  if (startsWithBrace(text)) {
    try {
      return [parseHandwrittenJson(text, what)];
    } catch (error) {
      if (!isStream(text)) throw error;
    }
  }
  return parseYamlDocuments(text, what, KUBEPKG_LIMITS);
}

/** Tells whether a document says that it is a KubePkg or a list of them. */
export function isKubePkgDocument(document: unknown): boolean {
  return isJsonObject(document) && (document.kind === "KubePkg" || document.kind === "KubePkgList");
}

function parseHandwrittenJson(bytes: Uint8Array, what: string): unknown {
  const value = parseExactJson(bytes, what);
  const [duplicate] = findDuplicateKeys(new TextDecoder().decode(bytes));
  if (duplicate === undefined) return value;
  throw new CorruptError(`Cannot use ${what}: ${duplicate} is given twice; only the last one would count`);
}

function parseExactJson(bytes: Uint8Array, what: string): unknown {
  const value = parseJson(bytes, what, KUBEPKG_LIMITS);
  checkExactNumbers(new TextDecoder().decode(bytes), what);
  return value;
}

function withoutMark(bytes: Uint8Array): Uint8Array {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

function isStream(bytes: Uint8Array): boolean {
  return /^---(?:\s|$)/m.test(new TextDecoder().decode(bytes));
}

function startsWithBrace(bytes: Uint8Array): boolean {
  const first = bytes.find((byte) => byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d);
  return first === 0x7b;
}
