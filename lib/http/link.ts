/**
 * The URL that a `Link` header (RFC 8288) names as the next page; the distribution specification asks for
 * `</v2/<name>/tags/list?n=<n>&last=<tag>>; rel="next"`.
 *
 * @param base what a relative one is relative to
 */
export function parseNextLink(header: string | null, base: URL): URL | undefined {
  for (const [, target = "", parameters = ""] of (header ?? "").matchAll(/<([^<>]*)>([^<]*)/g)) {
    const isNext = /;\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next(?![\w-]))/i.test(parameters);
    if (isNext && URL.canParse(target, base)) return new URL(target, base);
  }
  return undefined;
}
