const REL = /;\s*rel\s*=\s*(?:"([^"]*)"|([\w-]+))/gi;

/**
 * Returns the URL of the next page from a `Link` header (RFC 8288); `undefined` when it names none, and `null` when it
 * names one that cannot be read. The distribution specification defines the form
 * `</v2/<name>/tags/list?n=<n>&last=<tag>>; rel="next"`. Some registries leave the relation out, and a link without one is
 * taken for the next page where no other link is.
 *
 * @param base the base of a relative URL
 */
export function parseNextLink(header: string | null, base: URL): URL | null | undefined {
  const text = header?.trim() ?? "";
  const links = [...text.matchAll(/<([^<>]*)>([^<]*)/g)].map(([, target = "", parameters = ""]) => {
    return { target, relations: listRelations(parameters) };
  });
  const next = links.find(({ relations }) => relations.includes("next")) ??
    links.find(({ relations }) => relations.length === 0);
  if (next !== undefined) return URL.parse(next.target, base);
  const relations = listRelations(text);
  const isNext = relations.length === 0 || relations.includes("next");
  return text !== "" && !text.includes("<") && isNext ? null : undefined;
}

// A relation may have several types, with spaces between them.
function listRelations(parameters: string): string[] {
  return [...parameters.matchAll(REL)].flatMap(([, quoted, token = quoted!]) =>
    token.toLowerCase().split(/\s+/).filter((type) => type !== "")
  );
}
