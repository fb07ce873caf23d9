import type { Digest } from "../oci/digest.ts";
import type { KubePkg, StatusDigest } from "./kubepkg.ts";

/** A line of `status.digests` that declares a referrer. */
export type ReferrerLine = StatusDigest & { readonly subject: Digest };

/** Lists the referrers that a package declares. One with several tags has several lines. */
export function referrersOf({ status }: KubePkg): ReferrerLine[] {
  return (status?.digests ?? []).filter((line): line is ReferrerLine => line.subject !== undefined);
}
