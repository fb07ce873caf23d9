import { isJsonObject } from "../oci/json.ts";
import { BUILT_IN_GROUPS } from "./cluster_kinds.ts";
import type { FieldPath } from "./field_path.ts";
import type { KubeObject } from "./kubepkg.ts";
import type { FieldProblem } from "./object_finding.ts";
import { isImageText } from "./image_text.ts";
import { groupOf } from "./object_identity.ts";

const MAX_DEPTH = 60;
const MAX_FOUND = 50;
const QUOTES = "put the value in quotes";
// RFC 4648 with padding, as Go's base64.StdEncoding reads it: line breaks are allowed.
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
// apimachinery, validation.IsValidLabelValue.
const LABEL_VALUE = /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const CONTAINERS = new Set(["containers", "ephemeralContainers", "initContainers"]);
const MAX_SHOWN = 100;
const DATA_KEY = /^[-._a-zA-Z0-9]{1,253}$/;

/**
 * Finds values of the wrong type in fields that hold text only: labels, annotations, selectors and environment variables
 * that YAML reads as numbers or booleans, data of ConfigMaps and Secrets, Secret data that is not base64, and images of
 * containers that are no image names (`app:${VERSION}`), or missing.
 */
export function findFieldProblems(object: KubeObject): FieldProblem[] {
  const found: FieldProblem[] = [];
  const group = groupOf(object.apiVersion);
  if (group === "" && object.kind === "ConfigMap") {
    found.push(...findDataProblems(object, "data", "text"), ...findDataProblems(object, "binaryData", "base64"));
    found.push(...findRepeatedKeys(object));
  } else if (group === "" && object.kind === "Secret") {
    found.push(...findDataProblems(object, "data", "base64"), ...findDataProblems(object, "stringData", "text"));
  }
  // The schema of a definition has fields of the same names.
  const isDefinition = object.kind === "CustomResourceDefinition";
  const roots = isDefinition ? { metadata: object.metadata } : object;
  walk(roots, [], { found, isBuiltIn: BUILT_IN_GROUPS.has(group) });
  if (group === "" && isJsonObject(object.spec) && ["ReplicationController", "Service"].includes(object.kind)) {
    found.push(...findNonText(object.spec.selector, ["spec", "selector"]));
  }
  return found.slice(0, MAX_FOUND);
}

// Kubernetes, validation.ValidateConfigMap.
function findRepeatedKeys({ data, binaryData }: KubeObject): FieldProblem[] {
  if (!isJsonObject(data) || !isJsonObject(binaryData)) return [];
  const repeated = Object.keys(binaryData).filter((key) => Object.hasOwn(data, key));
  const problem = "is a key of data too: no cluster takes the object";
  return repeated.map((key) => ({ path: ["binaryData", key], problem, advice: "remove one of them" }));
}

interface Walk {
  readonly found: FieldProblem[];
  readonly isBuiltIn: boolean;
}

function walk(value: unknown, path: FieldPath, context: Walk): void {
  if (path.length > MAX_DEPTH || context.found.length >= MAX_FOUND) return;
  if (Array.isArray(value)) return value.forEach((item, i) => walk(item, [...path, i], context));
  if (!isJsonObject(value)) return;
  for (const [key, inner] of Object.entries(value)) {
    const innerPath = [...path, key];
    if (isTextMap(innerPath, context.isBuiltIn)) {
      context.found.push(...findNonText(inner, innerPath));
      if (key !== "annotations") context.found.push(...findWrongLabels(inner, innerPath));
    }
    if (context.isBuiltIn && key === "env" && Array.isArray(inner)) {
      inner.forEach((item, i) => {
        if (!isJsonObject(item) || !isNonText(item.value)) return;
        context.found.push({ path: [...innerPath, i, "value"], problem: describe(item.value), advice: QUOTES });
      });
    }
    if (context.isBuiltIn && CONTAINERS.has(key) && Array.isArray(inner)) {
      context.found.push(...findWrongImages(inner, innerPath));
    }
    walk(inner, innerPath, context);
  }
}

// OpenShift fills in an image of spaces itself.
function findWrongImages(containers: readonly unknown[], path: FieldPath): FieldProblem[] {
  return containers.flatMap((container, i): FieldProblem[] => {
    const image = isJsonObject(container) ? container.image : undefined;
    const imagePath = [...path, i, "image"];
    if (isJsonObject(container) && (image === undefined || image === null || image === "")) {
      const problem = `is ${
        image === undefined ? "missing" : "empty"
      }: a cluster that does not have the object yet refuses it`;
      return [{ path: imagePath, problem, advice: "write it like registry.lan/team/app:1.0" }];
    }
    if (isNonText(image)) return [{ path: imagePath, problem: describe(image), advice: QUOTES }];
    if (typeof image !== "string" || image.trim() === "" || isImageText(image)) return [];
    const shown = JSON.stringify(image.length > MAX_SHOWN ? `${image.slice(0, MAX_SHOWN)}…` : image);
    const problem = `is ${shown}, which is no image name: its Pods never start`;
    return [{ path: imagePath, problem, advice: "write it like registry.lan/team/app:1.0" }];
  });
}

// Custom resources may have fields of these names with a meaning of their own, but `metadata` is Kubernetes' in all.
function isTextMap(path: FieldPath, isBuiltIn: boolean): boolean {
  const [before, key] = path.slice(-2);
  if (before === "metadata" && (key === "labels" || key === "annotations")) return isBuiltIn || path.length === 2;
  return isBuiltIn && path.length > 1 && (key === "matchLabels" || path.at(-1) === "nodeSelector");
}

function findNonText(map: unknown, path: FieldPath): FieldProblem[] {
  if (!isJsonObject(map)) return [];
  return Object.entries(map).filter(([, value]) => isNonText(value)).map(([key, value]) => ({
    path: [...path, key],
    problem: describe(value),
    advice: QUOTES,
  }));
}

function findWrongLabels(map: unknown, path: FieldPath): FieldProblem[] {
  if (!isJsonObject(map)) return [];
  return Object.entries(map).filter(([, value]) => typeof value === "string" && !LABEL_VALUE.test(value)).map(
    ([key]) => ({
      path: [...path, key],
      problem: 'is no label: letters, digits, "-", "_" and "." only, at most 63, a letter or digit at both ends',
      advice: "shorten it, or make it an annotation",
    }),
  );
}

function findDataProblems(object: KubeObject, field: string, encoding: "text" | "base64"): FieldProblem[] {
  const data = object[field];
  if (!isJsonObject(data)) return [];
  return Object.entries(data).flatMap(([key, value]): FieldProblem[] => {
    const path = [field, key];
    if (!DATA_KEY.test(key) || key === "." || key === "..") {
      const problem = 'is not a valid key: letters, digits, "-", "_" and "." only, at most 253';
      return [{ path, problem, advice: "rename the key" }];
    }
    if (isNonText(value)) return [{ path, problem: describe(value), advice: QUOTES }];
    if (encoding !== "base64" || typeof value !== "string" || BASE64.test(value.replace(/[\r\n]/g, ""))) return [];
    const advice = object.kind === "Secret" ? "encode it, or use stringData" : "encode it, or use data";
    return [{ path, problem: "is not base64", advice }];
  });
}

// null is read as an empty text.
function isNonText(value: unknown): boolean {
  return value !== null && value !== undefined && typeof value !== "string";
}

function describe(value: unknown): string {
  if (typeof value === "object") return "is not text";
  return `is the ${typeof value} ${JSON.stringify(value)}, and only text is allowed`;
}
