import { isJsonObject } from "../oci/json.ts";
import type { FieldPath } from "./field_path.ts";
import type { KubeObject } from "./kubepkg.ts";
import { parseYamlDocuments } from "./read_yaml.ts";

const LIMITS = { maxBytes: 1024 * 1024, maxDepth: 64 };

/**
 * Finds the Kubernetes objects that a ConfigMap holds as text, in keys that end with `.yaml`, `.yml` or `.json`: a program
 * of the package makes them, such as the helper Pods of local-path-provisioner (`helperPod.yaml`). A text that cannot be
 * read, such as a template, is skipped.
 *
 * @param report gets each object, and the field with the text
 */
export function findTextImages(
  data: unknown,
  path: FieldPath,
  report: (object: KubeObject, path: FieldPath) => void,
): void {
  if (!isJsonObject(data)) return;
  for (const [key, text] of Object.entries(data)) {
    if (typeof text !== "string" || !/\.(?:ya?ml|json)$/i.test(key) || !/image|containers/i.test(text)) continue;
    for (const object of readObjects(text)) report(object, [...path, key]);
  }
}

function readObjects(text: string): KubeObject[] {
  try {
    return parseYamlDocuments(new TextEncoder().encode(text), "data", LIMITS).filter((it): it is KubeObject => {
      return isJsonObject(it) && typeof it.apiVersion === "string" && typeof it.kind === "string";
    });
  } catch {
    return [];
  }
}
