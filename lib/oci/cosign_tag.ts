import { type Digest, isDigest, splitDigest } from "./digest.ts";
import { parseManifest } from "./manifest.ts";

// What cosign attaches to a manifest under a tag of its repository: signatures, attestations and SBOMs.
const KINDS = ["sig", "att", "sbom"];
const COSIGN_TAG = /^(sha256|sha384)-([0-9a-f]+)\.(?:sig|att|sbom)$/;

/** Returns the tags of cosign's scheme for a manifest: `sha256-<hex>.sig`. A digest of sha512 makes no valid tag. */
export function cosignTagsOf(digest: Digest): string[] {
  const { algorithm, hex } = splitDigest(digest);
  return algorithm === "sha512" ? [] : KINDS.map((kind) => `${algorithm}-${hex}.${kind}`);
}

/** Returns the manifest that a tag of cosign's scheme is about; `undefined` for any other tag. */
export function subjectOfCosignTag(tag: string): Digest | undefined {
  const [, algorithm, hex] = COSIGN_TAG.exec(tag) ?? [];
  const digest = `${algorithm}:${hex}`;
  return isDigest(digest) ? digest : undefined;
}

/**
 * Decides whether a tag of cosign's scheme is to lead to another manifest. cosign adds signatures to those that are there,
 * so that of two manifests one may have all signatures of the other: the one with more of them is right.
 *
 * @param current the manifest that the tag leads to
 * @param brought the manifest that it is to lead to
 * @returns `conflict`: each has signatures that the other lacks
 */
export function decideCosignTag(current: Uint8Array, brought: Uint8Array): "write" | "keep" | "conflict" {
  const [held, more] = [layersOf(current), layersOf(brought)];
  if (more.size > 0 && more.isSubsetOf(held)) return "keep";
  return more.size === 0 || held.isSubsetOf(more) ? "write" : "conflict";
}

// Some attestations have the same layer several times, with other annotations: they are all part of it.
function layersOf(bytes: Uint8Array): Set<string> {
  const manifest = parseManifest(bytes);
  return new Set(manifest.kind === "index" ? [] : manifest.layers.map((layer) => JSON.stringify(layer)));
}
