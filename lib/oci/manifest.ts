import { type Digest, isDigest } from "./digest.ts";
import { CorruptError } from "./error.ts";
import { isJsonObject, parseJson } from "./json.ts";
import type { Platform } from "./platform.ts";

/** Describes content by its type, digest and size in bytes (image specification, "Content Descriptors"). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly platform?: Platform;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly artifactType?: string;
  readonly urls?: readonly string[];
  /** The content itself, in base64; see `inlineDataOf`, which verifies it. */
  readonly data?: string;
}

/** The supported media types of manifests and indexes. */
export const MEDIA_TYPE = {
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociArtifact: "application/vnd.oci.artifact.manifest.v1+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
} as const;

/** The media types that an `Accept` header must list, so that a registry returns a manifest unconverted. */
export const MANIFEST_MEDIA_TYPES: readonly string[] = Object.values(MEDIA_TYPE);

/** Largest manifest or index, in bytes; the distribution specification requires registries to accept at least this. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

/** An image index or Docker manifest list: the manifests of several platforms. */
export interface ImageIndex {
  readonly kind: "index";
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An image manifest (OCI or Docker schema 2) or an artifact manifest. */
export interface ImageManifest {
  readonly kind: "manifest";
  readonly mediaType: string;
  readonly config?: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A parsed manifest or index. */
export type Manifest = ImageIndex | ImageManifest;

/** Reports whether a media type is an index or a manifest, whose content has successors. */
export function isManifestType(mediaType: string): boolean {
  return MANIFEST_MEDIA_TYPES.includes(mediaType);
}

/** Reports whether a media type is an index. */
export function isIndexType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.ociIndex || mediaType === MEDIA_TYPE.dockerList;
}

/**
 * Parses a manifest or index.
 *
 * @param contentType the Content-Type that a registry sent; used only when the document has no `mediaType`, which the
 *   image specification does not require
 * @throws {CorruptError} when the document is not a manifest, is Docker schema 1, or has both `layers` and `manifests`
 *   and is therefore ambiguous (CVE-2021-41190)
 */
export function parseManifest(bytes: Uint8Array, contentType?: string): Manifest {
  const json = parseJson(bytes, "the manifest", { maxBytes: MAX_MANIFEST_BYTES, maxDepth: 64 });
  if (!isJsonObject(json)) throw new CorruptError("Cannot read the manifest: it is not a JSON object");
  if (json.schemaVersion === 1 || "fsLayers" in json) {
    throw new CorruptError(
      "Cannot use the manifest: it is Docker schema 1, which has no verifiable digests; push the image again with a current tool",
    );
  }
  const isIndex = Array.isArray(json.manifests);
  if ("manifests" in json && ("layers" in json || "config" in json)) {
    throw new CorruptError("Cannot use the manifest: it has both layers and manifests");
  }
  const mediaType = typeof json.mediaType === "string" && json.mediaType !== ""
    ? json.mediaType
    : guessMediaType(isIndex, stripParameters(contentType));
  if (isManifestType(mediaType) && isIndexType(mediaType) !== isIndex) {
    throw new CorruptError(
      `Cannot use the manifest: its mediaType is ${mediaType}, but its fields do not match that type`,
    );
  }
  const common = {
    mediaType,
    ...(json.subject === undefined || json.subject === null
      ? {}
      : { subject: readDescriptor(json.subject, "subject") }),
    ...(typeof json.artifactType === "string" ? { artifactType: json.artifactType } : {}),
    ...(isJsonObject(json.annotations) ? { annotations: readAnnotations(json.annotations) } : {}),
  };
  if (isIndex) {
    return { kind: "index", ...common, manifests: readDescriptors(json.manifests, "manifests") };
  }
  if (mediaType === MEDIA_TYPE.ociArtifact) {
    return { kind: "manifest", ...common, layers: readDescriptors(json.blobs ?? [], "blobs") };
  }
  if (!isJsonObject(json.config)) throw new CorruptError("Cannot read the manifest: it has no config");
  return {
    kind: "manifest",
    ...common,
    config: readDescriptor(json.config, "config"),
    layers: readDescriptors(json.layers ?? [], "layers"),
  };
}

/**
 * Returns the content that a manifest refers to, in order: the manifests of an index, or the config and the layers of
 * an image. Foreign layers are left out: they have `urls` and a media type that registries must not distribute.
 * `subject` is not a successor, because the manifest that it names may be missing.
 */
export function successorsOf(manifest: Manifest): Descriptor[] {
  if (manifest.kind === "index") return [...manifest.manifests];
  const layers = manifest.layers.filter((layer) => !isForeignLayer(layer));
  return manifest.config === undefined ? layers : [manifest.config, ...layers];
}

/** Returns the layers that `successorsOf` leaves out: a client has to get them from the URLs that the manifest gives. */
export function foreignLayersOf(manifest: Manifest): Descriptor[] {
  return manifest.kind === "index" ? [] : manifest.layers.filter(isForeignLayer);
}

/** Removes the parameters of a Content-Type: `application/json; charset=utf-8` → `application/json`. */
export function stripParameters(contentType: string | null | undefined): string | undefined {
  const type = contentType?.split(";", 1)[0]?.trim().toLowerCase();
  return type === "" ? undefined : type;
}

function isForeignLayer(layer: Descriptor): boolean {
  return (layer.urls?.length ?? 0) > 0 && /(?:\.foreign\.|\.nondistributable\.)/.test(layer.mediaType);
}

function guessMediaType(isIndex: boolean, contentType: string | undefined): string {
  if (contentType !== undefined && isManifestType(contentType) && isIndexType(contentType) === isIndex) {
    return contentType;
  }
  return isIndex ? MEDIA_TYPE.ociIndex : MEDIA_TYPE.ociManifest;
}

function readDescriptors(value: unknown, field: string): Descriptor[] {
  if (!Array.isArray(value)) throw new CorruptError(`Cannot read the manifest: ${field} is not a list`);
  return value.map((entry, i) => readDescriptor(entry, `${field}[${i}]`));
}

function readDescriptor(value: unknown, field: string): Descriptor {
  if (!isJsonObject(value)) throw new CorruptError(`Cannot read the manifest: ${field} is not a descriptor`);
  const { mediaType, digest, size, platform, annotations, artifactType, urls, data } = value;
  if (!isDigest(digest)) throw new CorruptError(`Cannot read the manifest: ${field}.digest is not a digest`);
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw new CorruptError(`Cannot read the manifest: ${field}.size is not a size`);
  }
  return {
    mediaType: typeof mediaType === "string" ? mediaType : "application/octet-stream",
    digest,
    size,
    ...(isJsonObject(platform) ? { platform: readPlatform(platform) } : {}),
    ...(isJsonObject(annotations) ? { annotations: readAnnotations(annotations) } : {}),
    ...(typeof artifactType === "string" ? { artifactType } : {}),
    ...(Array.isArray(urls) ? { urls: urls.filter((url) => typeof url === "string") } : {}),
    ...(typeof data === "string" ? { data } : {}),
  };
}

function readPlatform(value: Record<string, unknown>): Platform {
  const text = (field: string) => typeof value[field] === "string" ? value[field] as string : "";
  return {
    os: text("os") || "unknown",
    architecture: text("architecture") || "unknown",
    ...(text("variant") === "" ? {} : { variant: text("variant") }),
    ...(text("os.version") === "" ? {} : { "os.version": text("os.version") }),
  };
}

function readAnnotations(value: Record<string, unknown>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}
