import type { Digest } from "../oci/digest.ts";
import { cannot, NoSpaceError, RegistryError } from "../oci/error.ts";

/** Creates the error of a blob for which there is not enough space within the size limit. */
export function beyondLimit(repo: string, digest: Digest): NoSpaceError {
  return new NoSpaceError(cannot(`cache ${digest} of ${repo}`, "not enough space within the cache limit"));
}

/** Creates the error of a blob that the upstream has with another size than the manifests state. */
export function wrongSize(
  repo: string,
  digest: Digest,
  { size, expected }: { size: number; expected: number },
): RegistryError {
  return new RegistryError(
    "BAD_GATEWAY",
    cannot(`serve ${digest} of ${repo}`, `the upstream has ${size} bytes in its place, the manifest says ${expected}`),
  );
}
