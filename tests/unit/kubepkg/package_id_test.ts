import { formatPackageId, parsePackageId } from "../../../lib/kubepkg/package_id.ts";
import { assertEquals } from "../../support/assert.ts";

const PARSED: [text: string, expected: ReturnType<typeof parsePackageId>][] = [
  ["web", { namespace: undefined, name: "web" }],
  ["shop/web", { namespace: "shop", name: "web" }],
  ["default/web", { namespace: "default", name: "web" }],
  ["shop/web.eu", { namespace: "shop", name: "web.eu" }],
  ["", undefined],
  ["/web", undefined],
  ["shop/", undefined],
  ["shop/web/x", undefined],
  ["../web", undefined],
  ["Shop/web", undefined],
  ["shop/We b", undefined],
  [`${"a".repeat(64)}/web`, undefined],
];

for (const [text, expected] of PARSED) {
  Deno.test(`parsePackageId(${JSON.stringify(text)})`, () => assertEquals(parsePackageId(text), expected));
}

Deno.test("formatPackageId() leaves out the namespace default", () => {
  assertEquals(formatPackageId({ namespace: "default", name: "web" }), "web");
  assertEquals(formatPackageId({ namespace: "shop", name: "web" }), "shop/web");
});
