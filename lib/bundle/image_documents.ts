import { decompressHead, detectCompression } from "../archive/decompress.ts";
import { BLOCK_BYTES, isTarHead } from "../archive/tar_header.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { type Descriptor, MEDIA_TYPE, parseManifest, splitSuccessors } from "../oci/manifest.ts";
import { parseReference, type Reference } from "../oci/reference.ts";

/** An image that the `index.json` of an archive lists. */
interface ListedImage {
  readonly digest: Digest;
  /** Its name; absent if the archive gives none, or only a tag. */
  readonly reference?: Reference;
  readonly tag?: string;
  /** Whether it is attached to another image of the archive. */
  readonly isReferrer?: boolean;
}

/**
 * The name of a referrer in the `index.json` of an archive: `HOST/PATH@DIGEST`, or with cosign's tag. Other tools do not
 * know the annotation, and take an image without a name for none.
 */
export const REFERRER_ANNOTATION = "octohelm.tech/referrer";

/** An image that the `manifest.json` of docker lists. */
export interface DockerImage {
  /** The name of the config's file in the archive. */
  readonly config: string;
  /** The names of the layers' files in the archive. */
  readonly layers: readonly string[];
  readonly references: readonly Reference[];
}

/** Limits of the documents of an image archive. */
export const ARCHIVE_LIMITS = { maxBytes: 16 * 1024 * 1024, maxDepth: 32, maxValues: 1_000_000 };

/** How many bytes tell a layer, also a compressed one, from another file. */
export const HEAD_BYTES = 4096;
/** Limit of an image's config. */
export const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

/**
 * Reports whether a file may be the config or a layer of an image: `manifest.json`, which names them, may be the last file
 * of an archive.
 *
 * @param head its first `HEAD_BYTES`
 */
export function isConfigOrLayer(head: Uint8Array, size: number): boolean {
  const compression = detectCompression(head);
  if (compression === "gzip") {
    const start = decompressHead(head)?.subarray(0, BLOCK_BYTES);
    return start?.length !== BLOCK_BYTES || isTarHead(start);
  }
  if (head.length === 0 || compression !== "none" || isTarHead(head.subarray(0, BLOCK_BYTES))) return true;
  return size <= MAX_CONFIG_BYTES && String.fromCharCode(...head).trimStart().startsWith("{");
}

/** Parses the `index.json` of an archive. @throws {CorruptError} when it is not an index */
export function parseArchiveIndex(bytes: Uint8Array, what: string): ListedImage[] {
  const index = parseManifest(bytes, MEDIA_TYPE.ociIndex);
  if (index.kind !== "index") throw new CorruptError(cannot(`use index.json of ${what}`, "it is not an index"));
  return splitSuccessors(index).manifests.map(readName);
}

// containerd gives the full name in an annotation of its own. `ref.name` is a tag, or with podman the full name.
function readName({ digest, annotations = {} }: Descriptor): ListedImage {
  const [full, short] = [annotations["io.containerd.image.name"], annotations["org.opencontainers.image.ref.name"]];
  const name = full ?? (short !== undefined && /[/:]/.test(short) ? short : undefined);
  if (name !== undefined) return { digest, reference: parseReference(name) };
  const attached = annotations[REFERRER_ANNOTATION];
  if (attached !== undefined) return { digest, reference: parseReference(attached), isReferrer: true };
  return short === undefined ? { digest } : { digest, tag: short };
}

/** Parses the `manifest.json` of a `docker save` archive. @throws {CorruptError} when it is not valid */
export function parseDockerManifest(bytes: Uint8Array, what: string): DockerImage[] {
  const json = parseJson(bytes, `manifest.json of ${what}`, ARCHIVE_LIMITS);
  const refuse = (reason: string) => new CorruptError(cannot(`use manifest.json of ${what}`, reason));
  if (!Array.isArray(json ?? [])) throw refuse("it is not a list");
  return ((json ?? []) as unknown[]).map((entry) => {
    const { Config: config, Layers: layers = null, RepoTags: tags = null } = isJsonObject(entry) ? entry : {};
    if (typeof config !== "string" || !isTextList(layers ?? [])) throw refuse("an image has no config or no layers");
    if (!isTextList(tags ?? [])) throw refuse("the names of an image are not a list");
    const names = (tags ?? []) as readonly string[];
    return { config, layers: (layers ?? []) as readonly string[], references: names.map(parseReference) };
  });
}

/**
 * Returns the digests that a config gives for the layers, uncompressed; `undefined` if it is no config. Go leaves an empty
 * list out, or writes `null`.
 */
export function diffIdsOf(config: unknown): readonly unknown[] | undefined {
  if (!isJsonObject(config)) return undefined;
  const rootfs = config.rootfs ?? {};
  const list = isJsonObject(rootfs) ? rootfs.diff_ids ?? [] : undefined;
  return Array.isArray(list) ? list : undefined;
}

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((it) => typeof it === "string");
}
