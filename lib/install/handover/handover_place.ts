import type { Digest } from "../../oci/digest.ts";

/** A place that packages are handed over to, as it is recorded. */
export type HandoverPlace = { readonly manifestsDir: string } | { readonly kubectl: true };

/** A file that crpe wrote into a manifest folder. */
export interface OwnedFile {
  /** Absolute. */
  readonly path: string;
  /**
   * The digests that its content may have: one, or several while it is being replaced, the new one last. `undefined`: any,
   * because crpe 0.1.0 did not note it.
   */
  readonly digests?: readonly Digest[];
}
