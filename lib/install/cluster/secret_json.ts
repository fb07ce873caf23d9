import { isJsonObject } from "../../oci/json.ts";
import { ClusterUnreachableError, type Secret, type SecretMetadata } from "./cluster_api.ts";

/** The object of a Secret, for the API of Kubernetes. */
export function formatSecret({ metadata, type, data }: Secret, namespace: string): Record<string, unknown> {
  return { apiVersion: "v1", kind: "Secret", metadata: { ...metadata, namespace }, type, data };
}

/** Reads the object of a Secret. @throws {ClusterUnreachableError} when it is none */
export function parseSecret(json: unknown): Secret {
  const { metadata, type, data } = isJsonObject(json) ? json : {};
  return { metadata: parseMetadata(metadata), type: typeof type === "string" ? type : "", data: textsOf(data) };
}

/** Reads the metadata of an object. @throws {ClusterUnreachableError} when it has none */
export function parseSecretMetadata(json: unknown): SecretMetadata {
  return parseMetadata(isJsonObject(json) ? json.metadata : undefined);
}

function parseMetadata(json: unknown): SecretMetadata {
  const { name, resourceVersion, labels, annotations } = isJsonObject(json) ? json : {};
  if (typeof name !== "string") throw new ClusterUnreachableError("its API server does not answer with a Secret");
  return {
    name,
    ...(typeof resourceVersion === "string" ? { resourceVersion } : {}),
    labels: textsOf(labels),
    annotations: textsOf(annotations),
  };
}

function textsOf(value: unknown): Record<string, string> {
  const entries = Object.entries(isJsonObject(value) ? value : {});
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}
