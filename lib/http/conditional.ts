import type { Digest } from "../oci/digest.ts";

/**
 * Reports whether an `If-None-Match` header matches `digest`, so that the client already has the content (RFC 9110,
 * 13.1.2). The digest may be a strong or weak entity tag, alone or in a list; `*` matches too. A digest without quotes
 * also matches, because docker sends it in that form.
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
 * Reports whether an `If-Range` header allows a range to be served (RFC 9110, 13.1.5): it is absent, or equals the
 * strong entity tag. A date never matches, because crpe never sends `Last-Modified`.
 */
export function allowsRange(ifRange: string | null, digest: Digest): boolean {
  return ifRange === null || ifRange.trim() === `"${digest}"`;
}
