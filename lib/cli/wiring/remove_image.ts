import { collectKeptDigests, findImageUser } from "../../install/image_pins.ts";
import { PackageRecords } from "../../install/package_records.ts";
import type { ContentCatalog } from "../../content/source.ts";
import type { Digest } from "../../oci/digest.ts";
import { cannot, RefusedError, RegistryError } from "../../oci/error.ts";
import { formatReference, type Reference, repositoryOf, withTagOrDigest } from "../../oci/reference.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { forgetImages } from "../../store/forget_images.ts";
import { takeWriteLease } from "../../store/write_lease.ts";

/**
 * Removes an image from the store, without freeing the space of its content.
 *
 * @returns the full reference of the image
 * @throws {RegistryError} `NOT_FOUND` when the store does not have it
 * @throws {RefusedError} when it is pinned, or a package needs it
 */
export async function removeImage(
  wanted: Reference,
  data: string,
  { dryRun = false }: { readonly dryRun?: boolean } = {},
): Promise<string> {
  const { reference, digest } = await findImage(wanted, new DiskStore(data, { isReadOnly: true }));
  const [full, repository] = [formatReference(reference), repositoryOf(reference)];
  using _lease = dryRun ? undefined : await takeWriteLease(data);
  // What is installed or pinned meanwhile would else lose its images.
  await using _lock = dryRun ? undefined : await new PackageRecords(data).lock();
  const user = await findImageUser(data, reference, digest);
  if (user !== undefined) throw new RefusedError(cannot(`remove ${full}`, user.what, user.advice));
  if (dryRun) return full;
  await forgetImages(data, [{ repository, tag: reference.tag, digest }], await collectKeptDigests(data));
  return full;
}

/**
 * Finds an image in a store. An image that is named by tag and digest is that of the tag.
 *
 * @throws {RegistryError} `NOT_FOUND` when the store does not have it, with tags that it has
 */
export async function findImage(
  wanted: Reference,
  store: Pick<ContentCatalog, "resolve" | "listTags">,
): Promise<{ readonly reference: Reference; readonly digest: Digest }> {
  const reference = withTagOrDigest(wanted);
  const [full, repository] = [formatReference(reference), repositoryOf(reference)];
  const found = await store.resolve(repository, reference.tag ?? wanted.digest!);
  if (found !== undefined && found.digest === (wanted.digest ?? found.digest)) {
    return { reference, digest: found.digest };
  }
  const tags = (await store.listTags(repository, { limit: 10 }))?.tags ?? [];
  const others = tags.length === 0
    ? ""
    : `; it has the ${tags.length === 1 ? "tag" : "tags"} ${tags.join(", ")} of ${repository}`;
  throw new RegistryError("NOT_FOUND", cannot(`remove ${full}`, `the store does not have it${others}`));
}
