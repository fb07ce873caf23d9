import type { ContentStore } from "../../lib/content/source.ts";
import { computeDigest } from "../../lib/oci/digest.ts";
import { buildArtifact, buildImage, buildIndex, type BuiltImage } from "../../tests/support/images.ts";
import { writeImage } from "../../tests/support/put_image.ts";

/** The repository with the content. */
export const REPOSITORY = { host: "conformance.test", path: "repo1" };

const image = buildImage();
const arm = buildImage({ platform: "linux/arm64", format: "docker" });
const index = buildIndex([image, arm], { attestation: true });
const nested = buildIndex([index, buildImage({ platform: "linux/s390x" })]);
const sha512 = buildImage({ files: { "sha512.txt": "sha512\n" }, algorithm: "sha512" });
// The earlier suite expects five referrers, two of them of this type.
const BAGEL = "application/vnd.nhl.peanut.butter.bagel";
const CROISSANT = "application/vnd.nba.strawberry.jam.croissant";
const STAND = "application/vnd.food.stand";
const referrers = [BAGEL, BAGEL, CROISSANT, CROISSANT, STAND].map((type, i) =>
  buildArtifact(image.root, type, `referrer ${i}`)
);

const TAGGED: Readonly<Record<string, BuiltImage>> = {
  "1.0": image,
  docker: arm,
  index,
  nested,
  sha512,
  ...Object.fromEntries(referrers.map((referrer, i) => [`referrer${i}`, referrer])),
};

/** The names that the suites request. */
export const CONTENT = {
  tags: Object.keys(TAGGED).sort(),
  manifests: [...new Set(Object.values(TAGGED).flatMap(({ manifests }) => manifests))].map(({ descriptor }) =>
    descriptor.digest
  ),
  blobs: [...new Set(Object.values(TAGGED).flatMap(({ blobs }) => [...blobs.keys()]))],
  /** A subject with referrers, and one without. */
  subjects: [image.root.digest, computeDigest("nothing refers to it")],
  /** The image that the earlier suite requests. */
  one: { tag: "1.0", manifest: image.root.digest, blob: [...image.blobs.keys()][0]! },
};

/** The type of `CONTENT`. */
export type Content = typeof CONTENT;

/** Writes all content to a store. */
export async function fillStore(store: ContentStore): Promise<void> {
  const repo = `${REPOSITORY.host}/${REPOSITORY.path}`;
  for (const [tag, built] of Object.entries(TAGGED)) await writeImage(store, `${repo}:${tag}`, built);
}
