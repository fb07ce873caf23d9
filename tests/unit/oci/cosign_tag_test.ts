import { cosignTagsOf, subjectOfCosignTag } from "../../../lib/oci/cosign_tag.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { isTag } from "../../../lib/oci/reference.ts";
import { assertEquals } from "../../support/assert.ts";

const DIGEST = computeDigest("an image");
const HEX = DIGEST.slice("sha256:".length);

Deno.test("cosignTagsOf() gives the tags that cosign gives, and subjectOfCosignTag() reads them", () => {
  const tags = cosignTagsOf(DIGEST);
  assertEquals(tags, [`sha256-${HEX}.sig`, `sha256-${HEX}.att`, `sha256-${HEX}.sbom`]);
  assertEquals([tags.map(subjectOfCosignTag), tags.every(isTag)], [[DIGEST, DIGEST, DIGEST], true]);
  assertEquals(cosignTagsOf(computeDigest("an image", "sha512")), []);
});

for (
  const tag of [
    "1.0",
    `sha256-${HEX}`,
    `sha256-${HEX}.`,
    `sha256-${HEX}.sig.sig`,
    `sha256-${HEX.slice(1)}.sig`,
    `x.sig`,
  ]
) {
  Deno.test(`subjectOfCosignTag() of "${tag.slice(0, 12)}…${tag.slice(-5)}" is undefined`, () => {
    assertEquals(subjectOfCosignTag(tag), undefined);
  });
}
