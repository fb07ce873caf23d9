import { CorruptError } from "../oci/error.ts";
import { DocumentError, isJsonObject } from "../oci/json.ts";
import { readFieldLines } from "./field_lines.ts";
import { FieldError, type FieldPath, formatField } from "./field_path.ts";
import { API_VERSION, type KubePkg } from "./kubepkg.ts";
import { findKubePkgErrors, LIST_KIND, parseKubePkgs } from "./parse_kubepkg.ts";
import { parseDocuments, readDocuments } from "./read_kubepkg.ts";

/** Something in a text that is no KubePkg, or no valid one. */
export interface Problem {
  /** `spec.images["nginx:1"]`; empty for the whole text or document. */
  readonly field: string;
  readonly message: string;
  /** The line of the field, or of the nearest one around it, from 1; absent if it is not known. */
  readonly line?: number;
}

/** The problems of a text. */
export interface Problems {
  readonly problems: readonly Problem[];
  /** How many there are besides them. */
  readonly more: number;
}

interface Found {
  readonly document: number;
  readonly path: FieldPath;
  readonly message: string;
}

const MAX_PROBLEMS = 100;
const WHAT = "the release";

/** What a text holds: KubePkgs, or what is wrong with it. */
type CheckedKubePkgs =
  | { readonly kubepkgs: readonly KubePkg[] }
  | Problems & { /** The first error, as `parseDocuments` throws it. */ readonly error: CorruptError };

/**
 * Reads the KubePkgs of a text as those of a file are read, or finds what is wrong with them, each problem at its field. Of a text
 * that is neither JSON nor YAML only the first problem is known. The text is read once: it may have thousands of objects.
 */
export function checkKubePkgs(bytes: Uint8Array): CheckedKubePkgs {
  let documents: unknown[];
  try {
    documents = readDocuments(bytes, WHAT);
  } catch (error) {
    return { ...asCorrupt(error), problems: [describeSyntax(asCorrupt(error).error, bytes)], more: 0 };
  }
  try {
    return { kubepkgs: parseDocuments(documents, WHAT) };
  } catch (error) {
    return { ...asCorrupt(error), ...listProblems(documents, bytes) };
  }
}

function asCorrupt(error: unknown): { error: CorruptError } {
  if (error instanceof CorruptError) return { error };
  throw error;
}

function listProblems(documents: readonly unknown[], bytes: Uint8Array): Problems {
  const found = (documents.length === 0 ? [null] : documents).flatMap(findInDocument);
  const lineOf = readFieldLines(new TextDecoder().decode(bytes));
  return {
    problems: found.slice(0, MAX_PROBLEMS).map(({ document, path, message }) => ({
      field: formatField(path),
      message,
      line: lineOf?.(document, path),
    })),
    more: Math.max(0, found.length - MAX_PROBLEMS),
  };
}

function findInDocument(value: unknown, document: number): Found[] {
  const describe = (error: CorruptError, prefix: FieldPath): Found =>
    error instanceof FieldError
      ? { document, path: [...prefix, ...error.path], message: error.problem }
      : { document, path: prefix, message: error.message };
  if (!isJsonObject(value) || value.kind !== LIST_KIND) {
    return findKubePkgErrors(value, WHAT).map((error) => describe(error, []));
  }
  const items = Array.isArray(value.items) ? value.items : [];
  const inItems = items.flatMap((item, i) => {
    const typed = isJsonObject(item) ? { apiVersion: API_VERSION, kind: "KubePkg", ...item } : item;
    return findKubePkgErrors(typed, WHAT).map((error) => describe(error, ["items", i]));
  });
  if (inItems.length > 0) return inItems;
  try {
    parseKubePkgs(value, WHAT);
    return [];
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    return [describe(error, [])];
  }
}

function describeSyntax(error: CorruptError, bytes: Uint8Array): Problem {
  if (error instanceof FieldError) {
    // Of several documents the path begins with the number of one.
    const [first, ...rest] = error.path;
    const [document, path] = typeof first === "number" ? [first, rest] : [0, error.path];
    const line = readFieldLines(new TextDecoder().decode(bytes))?.(document, path);
    return { field: formatField(path), message: error.problem, line };
  }
  return { field: "", message: error.message, line: error instanceof DocumentError ? error.line : undefined };
}
