import { computeDigest } from "../../../lib/oci/digest.ts";
import { inlineDataOf } from "../../../lib/oci/inline_data.ts";
import type { Descriptor } from "../../../lib/oci/manifest.ts";
import { assertEquals } from "../../support/assert.ts";

const mediaType = "application/octet-stream";
const describe = (text: string, fields: Partial<Descriptor> = {}): Descriptor => {
  return { mediaType, digest: computeDigest(text), size: text.length, data: btoa(text), ...fields };
};

const rows: [string, Descriptor, string | undefined][] = [
  ["embedded content", describe("some text"), "some text"],
  ["empty embedded content", describe(""), ""],
  ["content with a sha512 digest", describe("x", { digest: computeDigest("x", "sha512") }), "x"],
  ["the empty JSON document", describe("{}", { data: undefined }), "{}"],
  [
    "the empty JSON document, by sha512",
    describe("{}", { data: undefined, digest: computeDigest("{}", "sha512") }),
    "{}",
  ],
  ["no bytes", describe("", { data: undefined }), ""],
  ["no bytes, by sha512", describe("", { data: undefined, digest: computeDigest("", "sha512") }), ""],
  ["a wrong size of no bytes", describe("", { size: 3, data: undefined }), undefined],
  ["no data", describe("some text", { data: undefined }), undefined],
  ["other data", describe("some text", { data: btoa("some test") }), undefined],
  ["a wrong size", describe("some text", { size: 8 }), undefined],
  ["a wrong size of the empty JSON document", describe("{}", { size: 3, data: undefined }), undefined],
  ["data that is not base64", describe("abc", { data: "ab*=" }), undefined],
  ["data in the alphabet of URLs", describe("??>", { data: "Pz8-" }), undefined],
  ["data without padding", describe("ab", { data: "YWI" }), undefined],
  ["data that is too long", describe("abc", { data: btoa("abcabcabc") }), undefined],
];
for (const [what, descriptor, expected] of rows) {
  Deno.test(`[68] inlineDataOf() of ${what}: ${expected === undefined ? "none" : JSON.stringify(expected)}`, () => {
    const bytes = inlineDataOf(descriptor);
    assertEquals(bytes && new TextDecoder().decode(bytes), expected);
  });
}
