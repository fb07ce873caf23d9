import { isJsonObject } from "../oci/json.ts";
import { findFieldProblems } from "./check_fields.ts";
import { findUnsafeText, formatSafeField } from "./check_text.ts";
import { listNullItems } from "./flatten_objects.ts";
import type { KubePkg } from "./kubepkg.ts";
import { formatIdentity, identityKey, metadataOf } from "./object_identity.ts";
import type { FieldProblem, ObjectFinding, ObjectFindingCode } from "./object_finding.ts";
import { findMeantKind } from "./known_kinds.ts";
import { findNameProblem, findNamespaceProblem } from "./object_name.ts";
import { namespacesOf, type PackageObject, SYSTEM_NAMESPACES } from "./package_objects.ts";
import { findRemovedKind } from "./removed_kinds.ts";
import { formatCanonicalJson } from "./version.ts";

// The API server's limit for the data of a ConfigMap or Secret, and a safe one for objects: etcd takes 1.5 MiB.
const MAX_OBJECT = 1024 * 1024;
// apimachinery, validation.TotalAnnotationSizeLimitB.
const MAX_ANNOTATIONS = 256 * 1024;
const MAX_FINDINGS = 1000;

/**
 * Finds what no cluster takes, before it is carried to one: kinds of another group, names that are missing or wrong,
 * namespaces that nothing makes, labels and data that are not text, objects that are too large, one object twice, characters that YAML cannot carry. The caller decides whether a
 * finding is a warning or an error.
 *
 * @param objects as `packageObjects` gives them, namespaces filled in
 */
export function checkObjects(objects: readonly PackageObject[]): ObjectFinding[] {
  const findings: ObjectFinding[] = [];
  const seen = new Map<string, PackageObject>();
  // Each missing namespace is reported once.
  const namespaces = new Set([...SYSTEM_NAMESPACES, ...namespacesOf(objects)]);
  for (const it of objects) {
    if (findings.length >= MAX_FINDINGS) break;
    const { identity } = it;
    const object = identity.name === "" ? `${identity.kind} (${formatSafeField(it.path)})` : formatIdentity(identity);
    const other = seen.get(identityKey(identity));
    const problems: Readonly<Record<Exclude<ObjectFindingCode, "null-item">, readonly FieldProblem[]>> = {
      kind: findWrongKind(it),
      name: findNamingProblems(it),
      "missing-namespace": findMissingNamespace(it, namespaces),
      "duplicate-object": other === undefined ? [] : [describeDuplicate(it, other)],
      "field-value": findFieldProblems(it.object),
      "control-character": findUnsafeText(it.object).map((found) => ({
        ...found,
        advice: "remove the character, or keep the text as base64 in binaryData",
      })),
      "object-size": findSizeProblems(it),
    };
    for (const [code, found] of Object.entries(problems) as [ObjectFindingCode, readonly FieldProblem[]][]) {
      findings.push(...found.map(({ path, ...rest }) => ({ code, object, field: formatSafeField(path), ...rest })));
    }
    if (identity.name !== "") seen.set(identityKey(identity), other ?? it);
  }
  return findings.slice(0, MAX_FINDINGS);
}

/** Finds items of lists that are null: crpe passes over them, and kubectl refuses the whole list. */
export function checkLists(manifests: KubePkg["spec"]["manifests"]): ObjectFinding[] {
  return listNullItems(manifests, MAX_FINDINGS).map(({ kind, path, index }) => ({
    code: "null-item",
    object: `${kind} (${formatSafeField(path)})`,
    field: formatSafeField(["items", index]),
    problem: "is null: it is no object",
    advice: "remove it, or write the object that is meant",
  }));
}

function findWrongKind({ identity, object: { apiVersion, kind } }: PackageObject): FieldProblem[] {
  // apimachinery, schema.ParseGroupVersion.
  if (!/^[^/]*(?:\/[^/]+)?$/.test(apiVersion)) {
    const problem = `is ${apiVersion}, which is not GROUP/VERSION: no cluster takes the object`;
    return [{ path: ["apiVersion"], problem, advice: "write such as apps/v1" }];
  }
  const removed = findRemovedKind(apiVersion, kind);
  if (removed !== undefined) {
    const problem =
      `is ${apiVersion}, which has no ${kind} since Kubernetes ${removed.since}: such a cluster refuses it`;
    const advice = removed.instead === undefined ? "remove it" : `write apiVersion: ${removed.instead}`;
    return [{ path: ["apiVersion"], problem, advice }];
  }
  const meant = findMeantKind(identity);
  if (meant === undefined) return [];
  const problem = `is ${kind}, which ${apiVersion} does not have: no cluster takes the object`;
  return [{ path: ["kind"], problem, advice: `write apiVersion: ${meant.apiVersion}, kind: ${meant.kind}` }];
}

function findMissingNamespace({ identity: { namespace } }: PackageObject, namespaces: Set<string>): FieldProblem[] {
  if (namespace === "" || namespaces.has(namespace) || findNamespaceProblem(namespace) !== undefined) return [];
  namespaces.add(namespace);
  const problem =
    `is ${namespace}, a namespace that the package does not bring: a cluster without it refuses the object`;
  return [{ path: ["metadata", "namespace"], problem, advice: `add the Namespace ${namespace} to the package` }];
}

function findNamingProblems({ identity, object }: PackageObject): FieldProblem[] {
  const metadata = metadataOf(object);
  if (metadata.name !== undefined && metadata.name !== null && typeof metadata.name !== "string") {
    return [{ path: ["metadata", "name"], problem: "is not text", advice: "put the name in quotes" }];
  }
  if (identity.name === "") {
    const isGenerated = typeof metadata.generateName === "string";
    const problem = isGenerated
      ? "is used instead of a name: objects without a fixed name cannot be applied, only created"
      : "is missing: no cluster takes an object without a name";
    const path = ["metadata", isGenerated ? "generateName" : "name"];
    return [{ path, problem, advice: "give the object a name" }];
  }
  if ((metadata.namespace ?? "") !== "" && typeof metadata.namespace !== "string") {
    return [{ path: ["metadata", "namespace"], problem: "is not text", advice: "put the name in quotes" }];
  }
  const name = findNameProblem(identity);
  const namespace = findNamespaceProblem(identity.namespace);
  const advice = "rename it";
  return [
    ...(name === undefined ? [] : [{ path: ["metadata", "name"], problem: name, advice }]),
    ...(namespace === undefined ? [] : [{ path: ["metadata", "namespace"], problem: namespace, advice }]),
  ];
}

function describeDuplicate(it: PackageObject, other: PackageObject): FieldProblem {
  const isSame = formatCanonicalJson(it.object) === formatCanonicalJson(other.object);
  const [first, second] = [formatSafeField(other.path), formatSafeField(it.path)];
  return {
    path: [],
    problem: `is in the package twice${isSame ? " with the same content" : ""}: ${first} and ${second}`,
    advice: isSame ? "remove one of them" : "only one of them can be in the cluster: remove the other",
  };
}

function findSizeProblems({ identity: { group, kind }, object }: PackageObject): FieldProblem[] {
  const annotations = dataSize(metadataOf(object).annotations, "text");
  if (annotations > MAX_ANNOTATIONS) {
    const problem = `has ${annotations} bytes, ${MAX_ANNOTATIONS} are allowed`;
    return [{ path: ["metadata", "annotations"], problem, advice: "keep the text in a ConfigMap" }];
  }
  if (group === "" && (kind === "ConfigMap" || kind === "Secret")) {
    // The cluster counts, and stores, the bytes that base64 encodes.
    const size = dataSize(object.data, kind === "Secret" ? "base64" : "text") + dataSize(object.binaryData, "base64") +
      dataSize(object.stringData, "text");
    if (size <= MAX_OBJECT) return [];
    const problem = `holds ${size} bytes, a ${kind} may hold ${MAX_OBJECT}`;
    return [{ path: ["data"], problem, advice: "split it, or put the data into an image" }];
  }
  const size = new TextEncoder().encode(JSON.stringify(object)).length;
  if (size <= MAX_OBJECT) return [];
  const problem = `has ${size} bytes: etcd takes 1.5 MiB at most, with what the cluster adds`;
  return [{ path: [], problem, advice: "make the object smaller, or split it" }];
}

function dataSize(data: unknown, encoding: "text" | "base64"): number {
  if (!isJsonObject(data)) return 0;
  return Object.entries(data).reduce((sum, [key, value]) => {
    if (typeof value !== "string") return sum + key.length;
    const size = encoding === "text" ? byteLength(value) : Math.floor(value.replace(/[\r\n]|=+$/g, "").length * 3 / 4);
    return sum + key.length + size;
  }, 0);
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}
