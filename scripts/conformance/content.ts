import type { ContentStore } from "../../lib/content/source.ts";
import { computeDigest } from "../../lib/oci/digest.ts";
import { buildArtifact, buildImage, buildIndex, type BuiltImage } from "../../tests/support/images.ts";
import { writeImage } from "../../tests/support/put_image.ts";

/** Where the content lies. */
export const REPOSITORY = { host: "conformance.test", path: "repo1" };

const image = buildImage();
const arm = buildImage({ platform: "linux/arm64", format: "docker" });
const index = buildIndex([image, arm], { attestation: true });
const nested = buildIndex([index, buildImage({ platform: "linux/s390x" })]);
const sha512 = buildImage({ files: { "sha512.txt": "sha512\n" }, algorithm: "sha512" });
// The earlier suite looks for five referrers, two of them of this type.
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

/** What the suites are told to ask for. */
export const CONTENT = {
  tags: Object.keys(TAGGED).sort(),
  manifests: [...new Set(Object.values(TAGGED).flatMap(({ manifests }) => manifests))].map(({ descriptor }) =>
    descriptor.digest
  ),
  blobs: [...new Set(Object.values(TAGGED).flatMap(({ blobs }) => [...blobs.keys()]))],
  /** What the referrers refer to, and what nothing refers to. */
  subjects: [image.root.digest, computeDigest("nothing refers to it")],
  /** The one image that the earlier suite looks at. */
  one: { tag: "1.0", manifest: image.root.digest, blob: [...image.blobs.keys()][0]! },
};

/** What the suites are told to ask for. */
export type Content = typeof CONTENT;

/** Files all of it. */
export async function fillStore(store: ContentStore): Promise<void> {
  const repo = `${REPOSITORY.host}/${REPOSITORY.path}`;
  for (const [tag, built] of Object.entries(TAGGED)) await writeImage(store, repo, tag, built);
}
