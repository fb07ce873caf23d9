import { formatK3sImagesUrl, parseK3sVersion } from "../../../../lib/cli/wiring/read_k3s_images.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { UsageError } from "../../../../lib/oci/error.ts";

const VERSIONS: readonly [string, string | undefined][] = [
  ["v1.34.1+k3s1", "v1.34.1+k3s1"],
  ["1.34.1+k3s12", "v1.34.1+k3s12"],
  ["v1.34.1-rc1+k3s1", "v1.34.1-rc1+k3s1"],
  ["v1.34.1", undefined],
  ["v1.34.1-k3s1", undefined],
  ["stable", undefined],
  ["../v1.34.1+k3s1", undefined],
];
for (const [text, expected] of VERSIONS) {
  Deno.test(`parseK3sVersion() ${expected === undefined ? "refuses" : "reads"} ${text}`, () => {
    if (expected === undefined) assertThrows(() => parseK3sVersion(text), UsageError, "like v1.34.1+k3s1");
    else assertEquals(parseK3sVersion(text), expected);
  });
}

Deno.test("formatK3sImagesUrl() escapes the version", () => {
  assertEquals(
    formatK3sImagesUrl("v1.34.1+k3s1"),
    "https://github.com/k3s-io/k3s/releases/download/v1.34.1%2Bk3s1/k3s-images.txt",
  );
});
