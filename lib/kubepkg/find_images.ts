import { isJsonObject } from "../oci/json.ts";
import { formatReference, type Reference, withDefaultTag } from "../oci/reference.ts";
import { BUILT_IN_GROUPS } from "./cluster_kinds.ts";
import { type FieldPath, formatField } from "./field_path.ts";
import { CONTAINER_FIELDS, IMAGE_PATHS } from "./image_paths.ts";
import { type ImageEvidence, isImageName, readImageFields, readImageText, readNamedText } from "./image_text.ts";
import { findTextImages } from "./find_text_images.ts";
import { findValuesImages } from "./find_values_images.ts";
import type { KubeObject } from "./kubepkg.ts";
import { formatIdentity, identifyObject } from "./object_identity.ts";

/** An image that an object uses. */
export interface ImageUse {
  /** The full reference: `docker.io/library/nginx:1.27`, with `latest` where the object gives neither tag nor digest. */
  readonly image: string;
  readonly reference: Reference;
  /** `kind/namespace/name` of the object. */
  readonly object: string;
  /** The field of the object: `spec.template.spec.containers[0].image`. */
  readonly field: string;
}

/** Reports an image and the field of the object that names it. */
type ReportImage = (reference: Reference, path: FieldPath) => void;

const MAX_DEPTH = 100;
/** Largest number of images that one object may name. */
const MAX_IMAGES = 10_000;
const POD_CONTAINERS = ["containers", "initContainers", "ephemeralContainers"];
// They hold schemas and texts, not workloads.
const WITHOUT_WORKLOADS = new Set(["CustomResourceDefinition", "Secret", "Event"]);

/**
 * Finds every image that an object uses: in the containers, init containers and volumes of Pods and of every Pod
 * template, wherever it is; in the fields of known custom resources; in arguments and environment variables whose value
 * is clearly an image (`--acme-http01-solver-image=`, `RELATED_IMAGE_*`); in the values of k3s HelmCharts; in objects that
 * a ConfigMap holds as text. Each image is given once for each field.
 *
 * A text counts only if it cannot be anything else: a missing image is a warning, and a wrong warning is worse than none.
 */
export function findImages(object: KubeObject): ImageUse[] {
  const name = formatIdentity(identifyObject(object));
  const found = new Map<string, ImageUse>();
  visitImages(object, (given, path) => {
    const reference = withDefaultTag(given);
    const [image, field] = [formatReference(reference), formatField(path)];
    if (found.size < MAX_IMAGES) found.set(`${field} ${image}`, { image, reference, object: name, field });
  });
  return [...found.values()];
}

/** Reports every image that an object uses; see `findImages`. A field may be reported several times. */
export function visitImages(object: KubeObject, report: ReportImage): void {
  const identity = identifyObject(object);
  const { group, kind } = identity;
  if (WITHOUT_WORKLOADS.has(kind) && BUILT_IN_GROUPS.has(group)) return;
  if (kind === "ConfigMap" && group === "") {
    findNamedTexts(object.data, ["data"], report);
    findTextImages(object.data, ["data"], (inner, path) => {
      if (inner.kind !== "ConfigMap") visitImages(inner, (reference, below) => report(reference, [...path, ...below]));
    });
  } else {
    const containerFields = Object.hasOwn(CONTAINER_FIELDS, group) ? CONTAINER_FIELDS[group]! : [];
    const walker = { report, containerFields, isCustom: !BUILT_IN_GROUPS.has(group) };
    for (const [key, value] of Object.entries(object)) {
      if (key !== "status" && key !== "metadata") walk(value, [key], walker);
    }
    findByTable(object, [group, `${group}/${kind}`], report);
  }
  if (group === "monitoring.coreos.com") findBaseImages(object, report);
  if (group === "upgrade.cattle.io") findPlanImages(object, report);
  if (group === "longhorn.io" && kind === "Setting") findSettingImage(object, report);
  if (group === "helm.cattle.io") findValuesImages(object, report);
}

interface Walker {
  readonly report: ReportImage;
  readonly containerFields: readonly string[];
  readonly isCustom: boolean;
}

function walk(value: unknown, path: FieldPath, walker: Walker): void {
  if (path.length > MAX_DEPTH || typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    value.forEach((item, i) => walk(item, [...path, i], walker));
    return;
  }
  for (const [key, inner] of Object.entries(value)) {
    const innerPath = [...path, key];
    if (POD_CONTAINERS.includes(key) || walker.containerFields.includes(key)) {
      findContainers(inner, innerPath, walker.report);
    } else if (key === "volumes") findVolumeImages(inner, innerPath, walker.report);
    else if (walker.isCustom && isImageName(key)) {
      if (typeof inner === "string") reportText(inner, innerPath, { report: walker.report, evidence: "complete" });
      else if (isJsonObject(inner)) {
        const reference = readImageFields(inner);
        if (reference !== undefined) walker.report(reference, innerPath);
      }
    }
    walk(inner, innerPath, walker);
  }
}

function findContainers(value: unknown, path: FieldPath, report: ReportImage): void {
  if (Array.isArray(value)) value.forEach((item, i) => findContainer(item, [...path, i], report));
  else findContainer(value, path, report);
}

function findContainer(container: unknown, path: FieldPath, report: ReportImage): void {
  if (!isJsonObject(container)) return;
  const { image, command, args, env } = container;
  if (typeof image === "string") reportText(image, [...path, "image"], { report, evidence: "name" });
  // A flag and its value may be in two items, and the first of them in the command.
  const words = [...toItems(command, [...path, "command"]), ...toItems(args, [...path, "args"])];
  words.forEach(({ value, path }, i) => findArgumentImages(value, words[i - 1]?.value, (it) => report(it, path)));
  for (const { value, path: itemPath } of toItems(env, [...path, "env"])) {
    if (!isJsonObject(value) || typeof value.name !== "string" || typeof value.value !== "string") continue;
    for (const reference of readNamedText(value.name, value.value)) report(reference, [...itemPath, "value"]);
  }
}

function findArgumentImages(word: unknown, before: unknown, report: (reference: Reference) => void): void {
  if (typeof word !== "string") return;
  const flag = /^(-{1,2}[A-Za-z0-9][\w.-]*)=(.*)$/s.exec(word);
  if (flag !== null) return readNamedText(flag[1]!, unquote(flag[2]!)).forEach(report);
  if (typeof before !== "string" || !/^-{1,2}[A-Za-z0-9][\w.-]*$/.test(before)) return;
  readNamedText(before, word).forEach(report);
}

function findVolumeImages(volumes: unknown, path: FieldPath, report: ReportImage): void {
  for (const { value, path: itemPath } of toItems(volumes, path)) {
    if (!isJsonObject(value)) continue;
    const oci = isJsonObject(value.image) ? value.image.reference : undefined;
    if (typeof oci === "string") {
      reportText(oci, [...itemPath, "image", "reference"], { report, evidence: "name" });
    }
    // KubeVirt's containerDisk.
    const disk = isJsonObject(value.containerDisk) ? value.containerDisk.image : undefined;
    if (typeof disk === "string") {
      reportText(disk, [...itemPath, "containerDisk", "image"], { report, evidence: "name" });
    }
  }
}

function findNamedTexts(data: unknown, path: FieldPath, report: ReportImage): void {
  if (!isJsonObject(data)) return;
  for (const [key, value] of Object.entries(data)) {
    if (typeof value !== "string" || !isImageName(key)) continue;
    for (const reference of readNamedText(key, value.trim())) report(reference, [...path, key]);
  }
}

function findByTable(object: KubeObject, keys: readonly string[], report: ReportImage): void {
  for (const key of keys) {
    for (const pattern of Object.hasOwn(IMAGE_PATHS, key) ? IMAGE_PATHS[key]! : []) {
      for (const { value, path } of selectFields(object, pattern)) {
        if (typeof value === "string") reportText(value, path, { report, evidence: "name" });
      }
    }
  }
}

interface Field {
  readonly value: unknown;
  readonly path: FieldPath;
}

function selectFields(object: KubeObject, pattern: string): Field[] {
  let fields: Field[] = [{ value: object, path: [] }];
  for (const step of pattern.replaceAll("[]", ".[]").split(".")) {
    fields = fields.flatMap(({ value, path }): Field[] => {
      if (step === "[]") return toItems(value, path);
      if (!isJsonObject(value)) return [];
      if (step === "*") return Object.entries(value).map(([key, value]) => ({ value, path: [...path, key] }));
      return Object.hasOwn(value, step) ? [{ value: value[step], path: [...path, step] }] : [];
    });
  }
  return fields;
}

// Prometheus operator: `baseImage` with `tag` or `sha`, deprecated but still honoured.
function findBaseImages(object: KubeObject, report: ReportImage): void {
  for (const pattern of ["spec", "spec.thanos"]) {
    for (const { value, path } of selectFields(object, pattern)) {
      if (!isJsonObject(value) || typeof value.image === "string") continue;
      const { baseImage: repository, tag, sha } = value;
      const reference = readImageFields({ repository, tag, sha });
      if (reference !== undefined) report(reference, [...path, "baseImage"]);
    }
  }
}

// k3s's system-upgrade-controller gives an image without a tag that of the version, in which a tag has no "+". A version
// that a channel decides is not known here.
function findPlanImages(object: KubeObject, report: ReportImage): void {
  const version = isJsonObject(object.spec) ? object.spec.version : undefined;
  for (const pattern of ["spec.upgrade.image", "spec.prepare.image"]) {
    for (const { value, path } of selectFields(object, pattern)) {
      const isTagged = typeof value === "string" && /[:@]/.test(value.slice(value.lastIndexOf("/")));
      const tag = typeof version === "string" ? version.replaceAll("+", "-") : undefined;
      if (typeof value !== "string" || !isTagged && tag === undefined) continue;
      reportText(isTagged ? value : `${value}:${tag}`, path, { report, evidence: "name" });
    }
  }
}

// A Longhorn Setting named default-engine-image has the image in its top-level field `value`.
function findSettingImage(object: KubeObject, report: ReportImage): void {
  if (!isImageName(identifyObject(object).name) || typeof object.value !== "string") return;
  reportText(object.value, ["value"], { report, evidence: "complete" });
}

function reportText(
  text: string,
  path: FieldPath,
  { report, evidence }: { report: ReportImage; evidence: ImageEvidence },
): void {
  const reference = readImageText(text, evidence);
  if (reference !== undefined) report(reference, path);
}

function toItems(value: unknown, path: FieldPath): Field[] {
  return Array.isArray(value) ? value.map((item, i) => ({ value: item, path: [...path, i] })) : [];
}

function unquote(text: string): string {
  return /^(["']).*\1$/s.test(text) ? text.slice(1, -1) : text;
}
