import { findPackageUser } from "../../install/image_pins.ts";
import { collectPackageDigests } from "../../install/package_digests.ts";
import type { PackageRecords } from "../../install/package_records.ts";
import type { ObjectStore } from "../../object_store/object_store.ts";
import { cannot, RefusedError, RegistryError } from "../../oci/error.ts";
import { formatReference, type Reference, repositoryOf } from "../../oci/reference.ts";
import { findImage } from "./remove_image.ts";

/**
 * Removes the tag of an image from a bucket. Its manifests stay until a garbage collection with `--untagged`, because
 * another machine may be using them.
 *
 * @returns the full reference of the image
 * @throws {RegistryError} `NOT_FOUND` when the bucket does not have it; `BAD_REQUEST` when it is named by its digest alone;
 *   `LOCKED` when another machine has set or removed the tag meanwhile
 * @throws {RefusedError} when a package needs it
 */
export async function untagImage(
  wanted: Reference,
  { store, records }: { readonly store: ObjectStore; readonly records: PackageRecords },
  { dryRun = false }: { readonly dryRun?: boolean } = {},
): Promise<string> {
  const { reference, digest } = await findImage(wanted, store);
  const full = formatReference(reference);
  const { tag } = reference;
  if (tag === undefined) {
    throw new RegistryError(
      "BAD_REQUEST",
      cannot(`remove ${full}`, "in a bucket, crpe gc --untagged removes what has no tag", "name it by its tag"),
    );
  }
  // What is installed meanwhile would else lose its images.
  await using _lock = dryRun ? undefined : await records.lock();
  await records.refresh();
  const user = await findPackageUser(records, reference, digest);
  if (user !== undefined) throw new RefusedError(cannot(`remove ${full}`, user.what, user.advice));
  if (dryRun) return full;
  const keep = await collectPackageDigests(records);
  const removed = await store.forgetImages([{ repository: repositoryOf(reference), tag, digest }], { keep });
  if (removed.length === 0) {
    throw new RegistryError(
      "LOCKED",
      cannot(`remove ${full}`, "another machine has changed it meanwhile", "try again"),
    );
  }
  return full;
}
