import { DEFAULT_HOST, isHostSegment, parseReference, type Reference } from "../oci/reference.ts";

/**
 * How much a text must say before it counts as an image: `name` is any valid reference (`nginx`), `complete` has a path
 * of several segments and a tag or digest (`longhornio/engine:v1`), `hosted` also starts with a host
 * (`quay.io/jetstack/cert-manager:v1`). The first is for fields that hold nothing but images.
 */
export type ImageEvidence = "name" | "complete" | "hosted";

// `$(VERSION)`, `{{ .Values.tag }}` and `${TAG}` are filled in later.
const PLACEHOLDER = /[${}<>\s]/;

/** Reads a text as an image. `undefined` where it is none, or where it does not say enough. */
export function readImageText(text: string, evidence: ImageEvidence): Reference | undefined {
  // The scheme that Podman, Tekton and KubeVirt accept in front of an image.
  const name = text.replace(/^(?:docker|oci):\/\//, "");
  if (name === "" || name.length > 512 || PLACEHOLDER.test(name)) return undefined;
  let reference: Reference;
  try {
    reference = parseReference(name);
  } catch {
    return undefined;
  }
  if (evidence === "name") return reference;
  const slash = name.indexOf("/");
  if (slash < 0 || reference.tag === undefined && reference.digest === undefined) return undefined;
  if (evidence === "hosted" && !isHostSegment(name.slice(0, slash))) return undefined;
  return reference;
}

/** Tells whether a node takes a text for the name of an image. */
export function isImageText(text: string): boolean {
  try {
    parseReference(text);
    return true;
  } catch {
    return false;
  }
}

// `--engine-image`, `queue-sidecar-image`, `image_name`; `jobImage`, `imageName`; `RELATED_IMAGE_PROXY`, `KAFKA_IMAGES`.
const IMAGE_NAMES = [
  /(?:^|[-_.])image(?:[-_]?(?:name|ref))?$/i,
  /[a-z0-9]Image(?:Name|Ref)?$/,
  /(?:^|_)IMAGES?(?:_|$)/,
];

/** Tells whether the name of an argument, an environment variable or a field says that its value is an image. */
export function isImageName(name: string): boolean {
  return IMAGE_NAMES.some((pattern) => pattern.test(name));
}

/** The images that the value of a named text holds: one reference, or lines of `version=reference` (Strimzi). */
export function readNamedText(name: string, value: string): Reference[] {
  const evidence: ImageEvidence = isImageName(name) ? "complete" : "hosted";
  const one = readImageText(value, evidence);
  if (one !== undefined) return [one];
  if (evidence !== "complete" || !value.includes("=") || value.length > 65_536) return [];
  return value.split(/[\n,]/).flatMap((line) => {
    const reference = readImageText(line.slice(line.indexOf("=") + 1).trim(), "complete");
    return reference === undefined ? [] : [reference];
  });
}

/**
 * Puts an image together from the fields of Helm values and custom resources: `{registry, repository, tag, digest}`, with
 * `name` or `image` for `repository`. `undefined` where it has no tag or digest: a chart then fills in its own version.
 */
export function readImageFields(fields: Readonly<Record<string, unknown>>): Reference | undefined {
  const repository = textOf(fields.repository) ?? textOf(fields.name) ?? textOf(fields.image);
  const [registry, tag] = [textOf(fields.registry), textOf(fields.tag)];
  const digest = textOf(fields.digest) ?? withPrefix("sha256:", textOf(fields.sha) ?? textOf(fields.sha256));
  if (repository === undefined || tag === undefined && digest === undefined) return undefined;
  const hasHost = registry === undefined || registry === DEFAULT_HOST && isHostSegment(repository.split("/", 1)[0]!);
  const name = hasHost ? repository : `${registry.replace(/\/+$/, "")}/${repository}`;
  return readImageText(
    `${name}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`,
    "name",
  );
}

// A tag like 1.27 is a number in YAML; a chart prints it in the same way.
function textOf(value: unknown): string | undefined {
  if (typeof value === "number") return String(value);
  return typeof value === "string" && value !== "" ? value : undefined;
}

function withPrefix(prefix: string, text: string | undefined): string | undefined {
  return text === undefined || text.startsWith(prefix) ? text : `${prefix}${text}`;
}
