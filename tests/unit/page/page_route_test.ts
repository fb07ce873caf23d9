import { isPageRequest } from "../../../lib/page/page_route.ts";
import { assertEquals } from "../../support/assert.ts";

const BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

for (
  const [path, accept, expected] of [
    ["/", BROWSER, true],
    ["/?x", BROWSER, true],
    ["/", "*/*", false],
    ["/", "", false],
    ["/", "text/html;q=0, */*", false],
    ["/", "application/json", false],
    ["/v2/", BROWSER, false],
    ["/kubepkgs", BROWSER, false],
    ["/healthz", BROWSER, false],
    ["/page/x/main.js", "*/*", true],
    ["/api/status", "*/*", true],
    ["/pages", BROWSER, false],
    ["/apis/x", BROWSER, false],
  ] as const
) {
  Deno.test(`page: ${path} for ${accept || "no type"} is ${expected ? "" : "not "}for the page`, () => {
    assertEquals(isPageRequest(path, new Headers({ accept })), expected);
  });
}
