import { isPageRequest, matchApiRoute } from "../../../lib/page/page_route.ts";
import { RegistryError } from "../../../lib/oci/error.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

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

const DIGEST = `sha256:${"a".repeat(64)}`;
const route = (method: string, path: string) => matchApiRoute(method, new URL(`http://a.test/api/${path}`));
for (
  const [method, path, expected] of [
    ["HEAD", "status", { kind: "status" }],
    ["POST", "nodes/search", { kind: "node-search" }],
    ["POST", "nodes/%73earch", { kind: "node-search" }],
    ["DELETE", "nodes/https%3A%2F%2Fa.test%3A1", { kind: "node-removal", node: "https://a.test:1" }],
    ["POST", "%6Eodes/a/%70lan", { kind: "node-plan", node: "a" }],
    ["POST", "nodes/a/packages/b%2Fc/rollback", { kind: "node-rollback", node: "a", name: "b/c" }],
    ["GET", `outbox/${DIGEST}`, { kind: "bundle", digest: DIGEST }],
    ["GET", `outbox/${DIGEST.replace(":", "%3A")}`, { kind: "bundle", digest: DIGEST }],
    ["DELETE", "outbox/partials", { kind: "partials-removal" }],
    ["DELETE", "packages/%2541", { kind: "remove", name: "%41" }],
  ] as const
) {
  Deno.test(`page: ${method} /api/${path} is ${expected.kind}`, () => {
    assertEquals(route(method, path) as unknown, expected);
  });
}

for (
  const [method, path, code] of [
    ["GET", "nodes%2Fsearch", "NOT_FOUND"],
    ["GET", "outbox/sha256:1", "NOT_FOUND"],
    ["GET", "status/", "NOT_FOUND"],
    ["DELETE", "packages/", "NOT_FOUND"],
    ["GET", "", "NOT_FOUND"],
    ["GET", "nodes/%73earch", "UNSUPPORTED"],
    ["GET", "packages/%ff/status", "NAME_INVALID"],
  ] as const
) {
  Deno.test(`page: ${method} /api/${path} is refused with ${code}`, () => {
    assertEquals(assertThrows(() => route(method, path), RegistryError).code, code);
  });
}
