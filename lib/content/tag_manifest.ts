import { decideCosignTag, subjectOfCosignTag } from "../oci/cosign_tag.ts";
import { computeDigest } from "../oci/digest.ts";
import type { ContentStore } from "./source.ts";

/** Where the tag of a manifest is set. */
interface TagPlace {
  readonly store: Pick<ContentStore, "resolve" | "readManifest" | "tag">;
  readonly repository: string;
  readonly tag: string;
}

/**
 * Points a tag at a stored manifest. A tag of cosign's scheme stays where it is if signatures would be lost.
 *
 * @returns `false` if the tag leads to a manifest with other signatures, and none of them has all
 */
export async function tagManifest({ store, repository, tag }: TagPlace, bytes: Uint8Array): Promise<boolean> {
  const digest = computeDigest(bytes);
  const current = subjectOfCosignTag(tag) === undefined ? undefined : await store.resolve(repository, tag);
  if (current !== undefined && current.digest !== digest) {
    const held = await store.readManifest(repository, current.digest);
    const decision = held === undefined ? "write" : decideCosignTag(held, bytes);
    if (decision !== "write") return decision === "keep";
  }
  await store.tag(repository, tag, digest);
  return true;
}
