import { cannot, CorruptError } from "../oci/error.ts";
import { isJsonObject, type JsonLimits, parseJson } from "../oci/json.ts";
import { toUtf8 } from "../oci/to_utf8.ts";
import { checkWellFormed } from "./check_text.ts";
import { checkExactNumbers } from "./exact_numbers.ts";
import { findDuplicateKeys } from "./find_duplicate_keys.ts";
import type { KubePkg } from "./kubepkg.ts";
import { parseKubePkgs } from "./parse_kubepkg.ts";
import { MAX_DOCUMENTS, parseYamlDocuments } from "./read_yaml.ts";
import { splitJsonObjects } from "./scan_json.ts";

/** Largest KubePkg document, in bytes as it is given, and how deep it may be nested. */
export const KUBEPKG_LIMITS: JsonLimits = { maxBytes: 64 * 1024 * 1024, maxDepth: 100 };

/**
 * Limits of the `kubepkg.json` of a bundle: a document within `KUBEPKG_LIMITS` fits in with what packing adds, written as
 * JSON without indentation.
 */
export const PACKED_LIMITS: JsonLimits = { maxBytes: 80 * 1024 * 1024, maxDepth: 110 };

/** What a JSON text has that spells half of a surrogate pair. */
const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/;

/**
 * Reads the KubePkgs of the documents of a file: a KubePkg, a KubePkgList, or several documents of either, in their order.
 *
 * @param what names the file in errors
 * @throws {CorruptError} when there is no document, or one is no KubePkg
 */
export function parseDocuments(documents: readonly unknown[], what: string): KubePkg[] {
  if (documents.length === 0) throw new CorruptError(cannot(`use ${what}`, "it is empty"));
  if (documents.length === 1) return parseKubePkgs(documents[0], what);
  return documents.flatMap((document, i) => parseKubePkgs(document, `${what}, document ${i + 1}`));
}

/**
 * Reads the `kubepkg.json` of a bundle that may hold a KubePkgList.
 *
 * @throws {CorruptError} when it is no JSON, too large, nested too deep, no KubePkg, or has a number that would change
 */
export function readKubePkgsJson(bytes: Uint8Array, what: string): KubePkg[] {
  const value = parseJson(bytes, what, PACKED_LIMITS);
  checkJsonSource(new TextDecoder().decode(bytes), value, what);
  return parseKubePkgs(value, what);
}

/**
 * Reads the documents of a JSON or YAML file, whatever they are. YAML is read as kubectl reads it. A byte order mark is
 * ignored; a key that is given twice is an error in both. A file that begins with `{` is JSON, or else YAML that is
 * spelled so (`{a: b}`), or several documents of either. UTF-16 is read where a byte order mark says so: Windows
 * PowerShell writes it, and kubectl reads it.
 *
 * @throws {CorruptError} when it is neither, too large, nested too deep, or has a number that would change
 */
export function readDocuments(bytes: Uint8Array, what: string): unknown[] {
  const text = toUtf8(bytes, what);
  if (!startsWithBrace(text)) return readYamlDocuments(text, what);
  let document: unknown;
  try {
    document = parseJson(text, what, KUBEPKG_LIMITS);
  } catch (error) {
    return readOtherDocuments(text, what) ?? fail(error);
  }
  checkJsonDocument(new TextDecoder().decode(text), document, what);
  return [document];
}

// What begins with a brace and is not one JSON document. `undefined`: neither YAML nor several objects in a row.
function readOtherDocuments(text: Uint8Array, what: string): unknown[] | undefined {
  try {
    return readYamlDocuments(text, what);
  } catch {
    // The error of the JSON says more.
  }
  const objects = splitJsonObjects(new TextDecoder().decode(text), MAX_DOCUMENTS);
  if (objects.length < 2 || !objects.every((it) => it.trimStart().startsWith("{"))) return undefined;
  if (objects.length > MAX_DOCUMENTS) {
    throw new CorruptError(cannot(`read ${what}`, `it has more than ${MAX_DOCUMENTS} documents`));
  }
  return objects.map((source, i) => {
    const one = `${what}, document ${i + 1}`;
    const document = parseJson(new TextEncoder().encode(source), one, KUBEPKG_LIMITS);
    checkJsonDocument(source, document, one);
    return document;
  });
}

function fail(error: unknown): never {
  throw error;
}

function checkJsonDocument(source: string, document: unknown, what: string): void {
  checkJsonSource(source, document, what);
  const [duplicate] = findDuplicateKeys(source);
  if (duplicate === undefined) return;
  throw new CorruptError(cannot(`use ${what}`, `${duplicate} is given twice; only the last one would count`));
}

/** Tells whether a document says that it is a KubePkg or a list of them. */
export function isKubePkgDocument(document: unknown): boolean {
  return isJsonObject(document) && (document.kind === "KubePkg" || document.kind === "KubePkgList");
}

function checkJsonSource(source: string, value: unknown, what: string): void {
  checkExactNumbers(source, what);
  if (SURROGATE_ESCAPE.test(source)) checkWellFormed(value, what);
}

function readYamlDocuments(text: Uint8Array, what: string): unknown[] {
  const documents = parseYamlDocuments(text, what, KUBEPKG_LIMITS);
  documents.forEach((document) => checkWellFormed(document, what));
  return documents;
}

function startsWithBrace(bytes: Uint8Array): boolean {
  const first = bytes.find((byte) => byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d);
  return first === 0x7b;
}
