import type { Digest } from "./digest.ts";
import type { Descriptor, Manifest } from "./manifest.ts";

/**
 * Returns the descriptor that lists a manifest as a referrer of `subject`. `artifactType` and `annotations` are set as
 * the OCI distribution specification requires ("Listing Referrers"). `undefined` if the manifest has another `subject`.
 */
export function describeReferrer(
  { descriptor, manifest }: { readonly descriptor: Descriptor; readonly manifest: Manifest },
  subject: Digest,
): Descriptor | undefined {
  if (manifest.subject?.digest !== subject) return undefined;
  const artifactType = manifest.artifactType ??
    (manifest.kind === "manifest" ? manifest.config?.mediaType : undefined);
  return {
    ...descriptor,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(manifest.annotations === undefined ? {} : { annotations: manifest.annotations }),
  };
}
