import { type Digest, isDigest } from "./digest.ts";
import { cannot, CorruptError } from "./error.ts";
import { isJsonObject, parseJson } from "./json.ts";
import type { Platform } from "./platform.ts";

/** Describes content by its type, digest and size in bytes (image specification, "Content Descriptors"). */
export interface Descriptor {
  /** Empty for an entry of an index that states none; see `isManifestEntry`. */
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

// The bounds of what a manifest costs: a document of 4 MiB can hold two million values. Images have at most 127 layers,
// artifacts and build caches some hundreds.
const LIMITS = { maxBytes: MAX_MANIFEST_BYTES, maxDepth: 64, maxValues: 100_000 };
const MAX_DESCRIPTORS = 10_000;
const MAX_ANNOTATIONS = 10_000;

/** An image index or Docker manifest list: the manifests of several platforms. */
interface ImageIndex {
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

/**
 * Reports whether an entry of an index is a manifest. One without a media type is: the type is what its registry says, or
 * the document itself (fault 74).
 */
export function isManifestEntry({ mediaType }: Pick<Descriptor, "mediaType">): boolean {
  return mediaType === "" || isManifestType(mediaType);
}

/** Reports whether a media type is an index. */
export function isIndexType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.ociIndex || mediaType === MEDIA_TYPE.dockerList;
}

// The parsed form of a manifest lives as long as its bytes, which the caches of the store and of the upstreams hold.
// Within, the key is `STATED`, or the media type that was given for a document that states none ("" for none).
const parsed = new WeakMap<Uint8Array, Map<string, Manifest>>();

/**
 * Parses a manifest or index. The result is remembered for the array `bytes`, which must not be changed afterwards: a
 * manifest that is received from an upstream is needed parsed by the upstream, the cache and the store.
 *
 * @param contentType the Content-Type that a registry sent; used only when the document has no `mediaType`, which the
 *   image specification does not require. Default: the one that was given first for these bytes, which is that of the
 *   registry that sent them.
 * @throws {CorruptError} when the document is not a manifest, is Docker schema 1, exceeds a limit, or has both `layers`
 *   and `manifests` and is therefore ambiguous (CVE-2021-41190)
 */
export function parseManifest(bytes: Uint8Array, contentType?: string): Manifest {
  const given = stripParameters(contentType);
  const key = given !== undefined && isManifestType(given) ? given : "";
  const forBytes = parsed.get(bytes) ?? new Map<string, Manifest>();
  const [first] = forBytes.values();
  const known = given === undefined ? first : forBytes.get(STATED) ?? forBytes.get(key);
  if (known !== undefined) return known;
  const json = parseJson(bytes, "the manifest", LIMITS);
  if (!isJsonObject(json)) throw new CorruptError(cannot("read the manifest", "it is not a JSON object"));
  const manifest = readManifest(json, given);
  forBytes.set(isText(json.mediaType) ? STATED : key, manifest);
  parsed.set(bytes, forBytes);
  return manifest;
}

const STATED = "stated";

/** Reports whether a manifest states its media type itself, so that no other source of it is needed. */
export function statesMediaType(bytes: Uint8Array): boolean {
  parseManifest(bytes);
  return parsed.get(bytes)?.has(STATED) ?? false;
}

function readManifest(json: Record<string, unknown>, contentType: string | undefined): Manifest {
  if (json.schemaVersion === 1 || "fsLayers" in json) {
    throw new CorruptError(
      cannot(
        "use the manifest",
        "it is Docker schema 1, which has no verifiable digests",
        "push the image again with a current tool",
      ),
    );
  }
  const { config = null, layers = null, blobs = null, manifests = null, subject = null } = json;
  // Some writers have `null` for an empty list (Go's nil slice).
  if (manifests !== null && (layers !== null || config !== null)) {
    throw new CorruptError(cannot("use the manifest", "it has both layers and manifests"));
  }
  const isIndex = Array.isArray(manifests) || "manifests" in json && manifests === null && config === null;
  const mediaType = isText(json.mediaType) ? json.mediaType : guessMediaType(json, isIndex, contentType);
  if (isManifestType(mediaType) && isIndexType(mediaType) !== isIndex) {
    throw new CorruptError(
      cannot("use the manifest", `its mediaType is ${mediaType}, but its fields do not match that type`),
    );
  }
  const common = {
    mediaType,
    ...(subject === null ? {} : { subject: parseDescriptor(subject, "subject") }),
    ...(typeof json.artifactType === "string" ? { artifactType: json.artifactType } : {}),
    ...(isJsonObject(json.annotations) ? { annotations: readAnnotations(json.annotations) } : {}),
  };
  if (isIndex) return { kind: "index", ...common, manifests: readDescriptors(manifests ?? [], "manifests", "") };
  if (mediaType === MEDIA_TYPE.ociArtifact) {
    return { kind: "manifest", ...common, layers: readDescriptors(blobs ?? [], "blobs") };
  }
  if (!isJsonObject(config)) throw new CorruptError(cannot("read the manifest", "it has no config"));
  return {
    kind: "manifest",
    ...common,
    config: parseDescriptor(config, "config"),
    layers: readDescriptors(layers ?? [], "layers"),
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

/** Splits the successors of a manifest: those of an index that are manifests, and all other ones. */
export function splitSuccessors(manifest: Manifest): { manifests: Descriptor[]; blobs: Descriptor[] } {
  const successors = successorsOf(manifest);
  if (manifest.kind !== "index") return { manifests: [], blobs: successors };
  const { manifests = [], blobs = [] } = Object.groupBy(successors, (entry) => {
    return isManifestEntry(entry) ? "manifests" : "blobs";
  });
  return { manifests, blobs };
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

function guessMediaType(json: Record<string, unknown>, isIndex: boolean, contentType: string | undefined): string {
  if (contentType !== undefined && isManifestType(contentType) && isIndexType(contentType) === isIndex) {
    return contentType;
  }
  // Those of docker must state their type, and clients refuse them without it. An image of OCI may have content of docker.
  if (isIndex) return MEDIA_TYPE.ociIndex;
  return Array.isArray(json.blobs) && !isJsonObject(json.config) ? MEDIA_TYPE.ociArtifact : MEDIA_TYPE.ociManifest;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function readDescriptors(value: unknown, field: string, unstated?: string): Descriptor[] {
  if (!Array.isArray(value)) throw new CorruptError(cannot("read the manifest", `${field} is not a list`));
  if (value.length > MAX_DESCRIPTORS) {
    throw new CorruptError(
      cannot("use the manifest", `${field} has ${value.length} entries, ${MAX_DESCRIPTORS} are allowed`),
    );
  }
  return value.map((entry, i) => parseDescriptor(entry, `${field}[${i}]`, unstated));
}

/**
 * Reads a descriptor of a JSON document.
 *
 * @param field its name, for errors
 * @param unstated its media type, if it states none
 * @throws {CorruptError} when it is not a descriptor, or its digest is of an algorithm that is not supported
 */
export function parseDescriptor(value: unknown, field: string, unstated = "application/octet-stream"): Descriptor {
  if (!isJsonObject(value)) throw new CorruptError(cannot("read the manifest", `${field} is not a descriptor`));
  const { mediaType, digest, size, platform, annotations, artifactType, urls, data } = value;
  if (!isDigest(digest)) throw new CorruptError(cannot("read the manifest", `${field}.digest is not a digest`));
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw new CorruptError(cannot("read the manifest", `${field}.size is not a size`));
  }
  return {
    mediaType: typeof mediaType === "string" ? mediaType : unstated,
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
  const entries = Object.entries(value);
  if (entries.length > MAX_ANNOTATIONS) {
    throw new CorruptError(
      cannot("use the manifest", `it has ${entries.length} annotations in one place, ${MAX_ANNOTATIONS} are allowed`),
    );
  }
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}
