import { computeDigest, type Digest } from "../oci/digest.ts";
import { type Descriptor, type Manifest, MEDIA_TYPE, parseManifest, successorsOf } from "../oci/manifest.ts";
import { isSamePlatform, listRunnablePlatforms, type Platform } from "../oci/platform.ts";
import { isFileSystem } from "./docker_manifest.ts";
import type { GraphManifest, ImageGraph } from "./image_graph.ts";

/** An image for some platforms. */
export interface ArchivedImage {
  /** The manifest or index that the image's name refers to. */
  readonly root: Descriptor;
  /** Configs and layers of all its manifests. */
  readonly content: readonly Descriptor[];
  /** Its manifests; children before the index. */
  readonly manifests: readonly GraphManifest[];
  /** The first manifest that docker may load: the archive has its config and all its layers, which are those of an image. */
  readonly image: { readonly config: Descriptor; readonly layers: readonly Descriptor[] } | undefined;
}

interface Leaf extends GraphManifest {
  readonly manifest: Manifest & { readonly kind: "manifest" };
  readonly platform: Platform | undefined;
}

/**
 * Selects the manifests of an image that run on some platforms. An image that is no index is taken as it is, since
 * packing has checked its platform. A platform falls back to another one that the machine runs, as for containerd.
 *
 * @param platforms `all` for those that are there
 * @returns `undefined` when the image is not available for any of the platforms
 */
export function selectPlatforms(
  { manifests, digest }: Pick<ImageGraph, "manifests" | "digest">,
  platforms: readonly Platform[] | "all",
): ArchivedImage | undefined {
  const known = new Map(manifests.map((it) => [it.descriptor.digest, { ...it, manifest: parseManifest(it.bytes) }]));
  const root = known.get(digest);
  if (root === undefined) return undefined;
  const { leaves, missing } = listLeaves(root.manifest, digest, known);
  const hasPlatforms = leaves.some(({ platform }) => platform !== undefined);
  // An artifact has no platform: all of it is taken.
  const selected = !hasPlatforms || platforms === "all"
    ? leaves
    : [...new Set(platforms.map((platform) => findBest(leaves, platform)))].filter((leaf) => leaf !== undefined);
  const [first, ...others] = selected;
  if (first === undefined) return undefined;
  const content = selected.flatMap(({ manifest }) => successorsOf(manifest));
  const carried = selected.map(({ descriptor, bytes }) => ({ descriptor, bytes }));
  const image = selected.map(({ manifest }) => describeImage(manifest)).find((it) => it !== undefined);
  if (missing === 0 && selected.length === leaves.length) {
    return { root: root.descriptor, content, manifests, image };
  }
  if (others.length === 0) return { root: first.descriptor, content, manifests: carried, image };
  const index = formatIndex(selected);
  return { root: index.descriptor, content, manifests: [...carried, index], image };
}

// The manifests of an index, through nested indexes, and how many of them are not there.
function listLeaves(
  manifest: Manifest,
  digest: Digest,
  known: ReadonlyMap<Digest, GraphManifest & { readonly manifest: Manifest }>,
): { leaves: Leaf[]; missing: number } {
  const leaves: Leaf[] = [];
  const seen = new Set<Digest>();
  let missing = 0;
  const visit = (current: Manifest, at: Digest, platform: Platform | undefined) => {
    if (seen.has(at)) return;
    seen.add(at);
    if (current.kind === "index") {
      for (const child of current.manifests) {
        const found = known.get(child.digest);
        if (found === undefined) missing++;
        else visit(found.manifest, child.digest, child.platform);
      }
      return;
    }
    const { descriptor, bytes } = known.get(at)!;
    leaves.push({ descriptor, bytes, manifest: current, platform });
  };
  visit(manifest, digest, undefined);
  return { leaves, missing };
}

function findBest(leaves: readonly Leaf[], wanted: Platform): Leaf | undefined {
  for (const runnable of listRunnablePlatforms(wanted)) {
    const found = leaves.find(({ platform }) => platform !== undefined && isSamePlatform(platform, runnable));
    if (found !== undefined) return found;
  }
  return undefined;
}

function formatIndex(leaves: readonly Leaf[]): GraphManifest {
  const manifests = leaves.map(({ descriptor, platform }) => ({ ...descriptor, platform }));
  const document = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests };
  const bytes = new TextEncoder().encode(JSON.stringify(document));
  return {
    descriptor: { mediaType: MEDIA_TYPE.ociIndex, digest: computeDigest(bytes), size: bytes.length },
    bytes,
  };
}

function describeImage(manifest: Leaf["manifest"]): ArchivedImage["image"] {
  const { config, layers } = manifest;
  // Foreign layers are not in the archive.
  if (config === undefined || successorsOf(manifest).length !== layers.length + 1) return undefined;
  return layers.every(isFileSystem) ? { config, layers } : undefined;
}
