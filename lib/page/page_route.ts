/** The folder of the page's files. */
export const ASSETS = "/page/";
/** The root of the page's API. */
export const API = "/api/";

/**
 * Reports whether a request is for the page, its files or its API. `/` is the page only for a browser: other clients get
 * from the registry what they always got.
 *
 * @param path the path, with or without a query
 */
export function isPageRequest(path: string, headers: Headers): boolean {
  if (path.startsWith(ASSETS) || path.startsWith(API)) return true;
  return (path === "/" || path.startsWith("/?")) && acceptsHtml(headers.get("accept") ?? "");
}

// RFC 9110, 12.5.1. Every browser names the type itself when it opens a page.
function acceptsHtml(accept: string): boolean {
  return accept.split(",").some((range) => {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    return type === "text/html" && !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter));
  });
}
