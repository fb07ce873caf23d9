import type { Digest } from "../oci/digest.ts";
import { type Descriptor, parseManifest } from "../oci/manifest.ts";
import type { CachedManifest } from "./manifest_cache.ts";

/**
 * The descriptor by which a manifest is listed as a referrer of `subject`, with `artifactType` and `annotations` as the
 * distribution specification asks ("Listing Referrers"); `undefined` where its `subject` is another.
 */
export function describeReferrer({ descriptor, bytes }: CachedManifest, subject: Digest): Descriptor | undefined {
  const manifest = parseManifest(bytes);
  if (manifest.subject?.digest !== subject) return undefined;
  const artifactType = manifest.artifactType ??
    (manifest.kind === "manifest" ? manifest.config?.mediaType : undefined);
  return {
    ...descriptor,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(manifest.annotations === undefined ? {} : { annotations: manifest.annotations }),
  };
}
