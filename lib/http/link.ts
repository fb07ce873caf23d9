const REL = /;\s*rel\s*=\s*(?:"([^"]*)"|([\w-]+))/gi;

/**
 * Returns the URL of the next page from a `Link` header (RFC 8288); `undefined` when it names none, and `null` when it
 * names one that cannot be read. The distribution specification defines the form
 * `</v2/<name>/tags/list?n=<n>&last=<tag>>; rel="next"`.
 *
 * @param base the base of a relative URL
 */
export function parseNextLink(header: string | null, base: URL): URL | null | undefined {
  const text = header ?? "";
  for (const [, target = "", parameters = ""] of text.matchAll(/<([^<>]*)>([^<]*)/g)) {
    if (isNext(parameters)) return URL.parse(target, base);
  }
  return !text.includes("<") && isNext(text) ? null : undefined;
}

// A relation may have several types, with spaces between them.
function isNext(parameters: string): boolean {
  return [...parameters.matchAll(REL)].some(([, quoted, token = quoted!]) =>
    token.toLowerCase().split(/\s+/).includes("next")
  );
}
