const REL = /;\s*rel\s*=\s*(?:"([^"]*)"|([\w-]+))/gi;

/**
 * Returns the URL of the next page from a `Link` header (RFC 8288); `undefined` when it names none, and `null` when it
 * names one that cannot be read. The distribution specification defines the form
 * `</v2/<name>/tags/list?n=<n>&last=<tag>>; rel="next"`. Some registries leave the relation out: a link without one is taken
 * for the next page if it is to the same list with another query.
 *
 * @param base the base of a relative URL
 */
export function parseNextLink(header: string | null, base: URL): URL | null | undefined {
  const text = header?.trim() ?? "";
  const links = [...text.matchAll(/<([^<>]*)>([^<]*)/g)].map(([, target = "", parameters = ""]) => {
    return { target, relations: listRelations(parameters) };
  });
  const next = links.find(({ relations }) => relations.includes("next")) ??
    links.find(({ target, relations }) => relations.length === 0 && isOtherPage(URL.parse(target, base), base));
  if (next !== undefined) return URL.parse(next.target, base);
  const relations = listRelations(text);
  const isNext = relations.length === 0 || relations.includes("next");
  return text !== "" && !text.includes("<") && isNext ? null : undefined;
}

// A proxy may have changed what is before the repository.
function isOtherPage(url: URL | null, base: URL): boolean {
  const [ending, own] = [url, base].map((it) => it?.pathname.split("/").slice(-2).join("/"));
  return ending === own && url!.search !== "" && url!.search !== base.search;
}

// A relation may have several types, with spaces between them.
function listRelations(parameters: string): string[] {
  return [...parameters.matchAll(REL)].flatMap(([, quoted, token = quoted!]) =>
    token.toLowerCase().split(/\s+/).filter((type) => type !== "")
  );
}
