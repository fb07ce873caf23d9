import type { Digest } from "../oci/digest.ts";

/**
 * Tells whether an `If-None-Match` header names `digest`, so that the client has the content already (RFC 9110,
 * 13.1.2): as an entity tag, also a weak one, in a list, or `*`. A bare digest counts too; docker sends it so.
 */
export function matchesEtag(header: string | null, digest: Digest): boolean {
  if (header === null) return false;
  if (header === `"${digest}"`) return true;
  return header.split(",").some((part) => {
    const tag = part.trim();
    return tag === "*" || tag.replace(/^W\//, "").replace(/^"(.*)"$/, "$1") === digest;
  });
}

/**
 * Tells whether an `If-Range` header allows a part to be served (RFC 9110, 13.1.5): it is absent, or is the strong
 * entity tag. A date never matches, for no `Last-Modified` is ever sent.
 */
export function allowsRange(ifRange: string | null, digest: Digest): boolean {
  return ifRange === null || ifRange.trim() === `"${digest}"`;
}
