/**
 * Returns the URL of the next page from a `Link` header (RFC 8288); `undefined` when it names none. The distribution
 * specification defines the form `</v2/<name>/tags/list?n=<n>&last=<tag>>; rel="next"`.
 *
 * @param base the base of a relative URL
 */
export function parseNextLink(header: string | null, base: URL): URL | undefined {
  for (const [, target = "", parameters = ""] of (header ?? "").matchAll(/<([^<>]*)>([^<]*)/g)) {
    const isNext = /;\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next(?![\w-]))/i.test(parameters);
    if (isNext && URL.canParse(target, base)) return new URL(target, base);
  }
  return undefined;
}
