import { cosignTagsOf, decideCosignTag, subjectOfCosignTag } from "../../../lib/oci/cosign_tag.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { isTag } from "../../../lib/oci/reference.ts";
import { tagManifest } from "../../../lib/content/tag_manifest.ts";
import { assertEquals } from "../../support/assert.ts";
import { buildImage } from "../../support/images.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { writeImage } from "../../support/put_image.ts";

const DIGEST = computeDigest("an image");
const HEX = DIGEST.slice("sha256:".length);

for (const algorithm of ["sha256", "sha384"] as const) {
  Deno.test(`cosignTagsOf() gives the tags that cosign gives, and subjectOfCosignTag() reads them: ${algorithm}`, () => {
    const digest = computeDigest("an image", algorithm);
    const name = digest.replace(":", "-");
    const tags = cosignTagsOf(digest);
    assertEquals(tags, [`${name}.sig`, `${name}.att`, `${name}.sbom`]);
    assertEquals([tags.map(subjectOfCosignTag), tags.every(isTag)], [[digest, digest, digest], true]);
  });
}

Deno.test("cosignTagsOf() gives no tags for a digest of sha512: they would be too long", () => {
  assertEquals(cosignTagsOf(computeDigest("an image", "sha512")), []);
});

for (
  const tag of [
    "1.0",
    `sha256-${HEX}`,
    `sha256-${HEX}.`,
    `sha256-${HEX}.sig.sig`,
    `sha256-${HEX.slice(1)}.sig`,
    `sha384-${HEX}.sig`,
    `sha512-${HEX}${HEX}.sig`,
    `x.sig`,
  ]
) {
  Deno.test(`subjectOfCosignTag() of "${tag.slice(0, 12)}…${tag.slice(-5)}" is undefined`, () => {
    assertEquals(subjectOfCosignTag(tag), undefined);
  });
}

/** The manifest under the tag: a layer for each signature, as cosign makes it. */
const signed = (by: string) => {
  const image = buildImage({ files: [...by].map((name) => ({ [name]: name })) });
  return { ...image, bytes: image.manifests.at(-1)!.bytes };
};

for (
  const [current, brought, decision] of [
    ["xy", "x", "keep"],
    ["xy", "yx", "keep"],
    ["x", "xy", "write"],
    ["", "x", "write"],
    ["x", "", "write"],
    ["x", "y", "conflict"],
    ["xy", "yz", "conflict"],
  ] as const
) {
  const what = `where the tag leads to the signatures "${current}", and "${brought}" are brought`;
  const [one, other] = [signed(current), signed(brought)];
  Deno.test(`decideCosignTag() ${what}: ${decision}`, () => {
    assertEquals(decideCosignTag(one.bytes, other.bytes), decision);
  });

  Deno.test(`tagManifest() ${what}`, async () => {
    const store = new MemoryStore();
    const [tag] = cosignTagsOf(DIGEST);
    await writeImage(store, `registry.test/app:${tag}`, one);
    await writeImage(store, "registry.test/app:other", other);
    const place = { store, repository: "registry.test/app", tag: tag! };
    assertEquals(await tagManifest(place, other.bytes), decision !== "conflict");
    const { digest } = decision === "write" ? other.root : one.root;
    assertEquals((await store.resolve("registry.test/app", tag!))?.digest, digest);
  });
}
