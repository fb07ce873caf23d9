import { unlessCorrupt } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { type Descriptor, MEDIA_TYPE } from "../oci/manifest.ts";
import { formatReference, type Reference } from "../oci/reference.ts";
import type { CarriedManifest } from "./bundle_plan.ts";
import { blobEntryName } from "./entry_names.ts";
import { ARCHIVE_LIMITS, diffIdsOf } from "./image_documents.ts";

/** The content that docker needs of an image. */
export interface DockerContent {
  readonly config?: Descriptor | undefined;
  readonly layers: readonly Descriptor[];
}

/** Finds what docker can load of an image: the manifest of its first platform, if the bundle has all its layers. */
export function findDockerImage(
  { descriptor, platform, blobs, foreignLayers, children }: CarriedManifest,
): { readonly config: Descriptor; readonly layers: readonly Descriptor[] } | undefined {
  const isImage = descriptor.mediaType === MEDIA_TYPE.ociManifest || descriptor.mediaType === MEDIA_TYPE.dockerManifest;
  if (!isImage) return children.map(findDockerImage).find((it) => it !== undefined);
  const [config, ...layers] = blobs;
  if (platform === undefined || foreignLayers !== undefined || config === undefined) return undefined;
  return layers.every(isFileSystem) ? { config, layers } : undefined;
}

/** Reports whether a layer is one of an image, by its media type: artifacts such as WebAssembly have others. */
export function isFileSystem({ mediaType }: Descriptor): boolean {
  return /^application\/vnd\.(?:oci\.image\.layer|docker\.image\.rootfs)\./.test(mediaType);
}

/** Reports whether a config is that of an image with so many layers. That of an artifact is often `{}`. */
export function isImageConfig(bytes: Uint8Array, layers: number): boolean {
  const config = unlessCorrupt(() => parseJson(bytes, "the config", ARCHIVE_LIMITS));
  return isJsonObject(config) && isJsonObject(config.rootfs) && diffIdsOf(config)?.length === layers;
}

/**
 * Formats the entry of an image in docker's `manifest.json`: none for an artifact, or for an image without a tag, which
 * has no name for docker.
 */
export function formatDockerEntry(reference: Reference, image: DockerContent | undefined): unknown[] {
  if (reference.tag === undefined || image?.config === undefined) return [];
  const { host, path, tag } = reference;
  return [{
    Config: blobEntryName(image.config.digest),
    RepoTags: [formatReference({ host, path, tag })],
    Layers: image.layers.map(({ digest }) => blobEntryName(digest)),
  }];
}
