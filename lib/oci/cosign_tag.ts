import { type Digest, splitDigest } from "./digest.ts";

// What cosign attaches to a manifest under a tag of its repository: signatures, attestations and SBOMs.
const KINDS = ["sig", "att", "sbom"];
const COSIGN_TAG = /^sha256-([0-9a-f]{64})\.(?:sig|att|sbom)$/;

/** Returns the tags of cosign's scheme for a manifest: `sha256-<hex>.sig`. A longer digest makes no valid tag. */
export function cosignTagsOf(digest: Digest): string[] {
  const { algorithm, hex } = splitDigest(digest);
  return algorithm === "sha256" ? KINDS.map((kind) => `sha256-${hex}.${kind}`) : [];
}

/** Returns the manifest that a tag of cosign's scheme is about; `undefined` for any other tag. */
export function subjectOfCosignTag(tag: string): Digest | undefined {
  const hex = COSIGN_TAG.exec(tag)?.[1];
  return hex === undefined ? undefined : `sha256:${hex}`;
}
