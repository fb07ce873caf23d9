import { formatField } from "./field_path.ts";
import { scanJson } from "./scan_json.ts";

const MAX_FOUND = 100;

/**
 * Finds keys that an object of a JSON document has twice: `JSON.parse` keeps the last value and drops the others without
 * an error, and kubectl refuses the document.
 *
 * @param text well-formed JSON
 * @returns the fields, as `spec.manifests["a"]`, each once, at most 100
 */
export function findDuplicateKeys(text: string): string[] {
  const found = new Set<string>();
  scanJson(text, {
    duplicateKey: (path) => {
      if (found.size < MAX_FOUND) found.add(formatField(path));
    },
  });
  return [...found];
}
