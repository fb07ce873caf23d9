import { isJsonObject } from "../oci/json.ts";
import type { Reference } from "../oci/reference.ts";
import type { FieldPath } from "./field_path.ts";
import { isImageName, readImageFields, readImageText } from "./image_text.ts";
import type { KubeObject } from "./kubepkg.ts";
import { parseYaml } from "./read_yaml.ts";

const MAX_DEPTH = 32;
const VALUES_LIMITS = { maxBytes: 1024 * 1024, maxDepth: 64 };

/**
 * Finds the images in the values of a k3s HelmChart or HelmChartConfig: under keys that are called `image`, a complete
 * image name or an object of `{registry, repository, tag, digest}`. Values that say neither tag nor digest are left out:
 * the chart fills in its own version.
 */
export function findValuesImages(
  { spec }: KubeObject,
  report: (reference: Reference, path: FieldPath) => void,
): void {
  if (!isJsonObject(spec)) return;
  const { valuesContent, values, set } = spec;
  if (typeof valuesContent === "string") walk(readValues(valuesContent), ["spec", "valuesContent"], report);
  if (isJsonObject(values)) walk(values, ["spec", "values"], report);
  if (isJsonObject(set)) walk(expandKeys(set), ["spec", "set"], report);
}

function walk(value: unknown, path: FieldPath, report: (reference: Reference, path: FieldPath) => void): void {
  if (path.length > MAX_DEPTH || typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    const innerPath = [...path, Array.isArray(value) ? Number(key) : key];
    const isNamed = innerPath.some((step) => typeof step === "string" && /image/i.test(step));
    if (typeof inner === "string" && isImageName(key)) {
      const reference = readImageText(inner, "complete");
      if (reference !== undefined) report(reference, innerPath);
    } else if (isJsonObject(inner) && isNamed) {
      // Only an object under `image` itself may call its repository `name`.
      const fields = isImageName(key) ? inner : { ...inner, name: undefined, image: undefined };
      const reference = readImageFields(fields);
      if (reference !== undefined) report(reference, innerPath);
    }
    walk(inner, innerPath, report);
  }
}

// The chart's own reader will say what is wrong with values that cannot be read.
function readValues(text: string): unknown {
  try {
    return parseYaml(new TextEncoder().encode(text), "valuesContent", VALUES_LIMITS);
  } catch {
    return undefined;
  }
}

// `helm --set`: image.repository=a is {image: {repository: "a"}}.
function expandKeys(set: Record<string, unknown>): Record<string, unknown> {
  const values: Record<string, unknown> = Object.create(null);
  for (const [key, value] of Object.entries(set)) {
    const steps = key.split(/(?<!\\)\./).map((step) => step.replaceAll("\\.", ".")).slice(0, MAX_DEPTH);
    let inner = values;
    for (const step of steps.slice(0, -1)) {
      const next = inner[step];
      if (isJsonObject(next)) inner = next;
      else inner = inner[step] = Object.create(null) as Record<string, unknown>;
    }
    inner[steps.at(-1)!] = value;
  }
  return values;
}
