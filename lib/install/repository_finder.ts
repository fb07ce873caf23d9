import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { repositoryOf } from "../oci/reference.ts";

/**
 * Returns a function that finds a repository of packages which has a digest; where none declares it, their first one. It
 * throws a `CorruptError` when the packages have no images.
 *
 * @param what names the bundle in errors
 */
export function repositoryFinder(packages: readonly KubePkg[], what: string): (digest: Digest) => string {
  const images = packages.map((kubepkg) => imagesOf(kubepkg).map(({ reference }) => repositoryOf(reference)));
  const repositories = new Map(packages.flatMap(({ status }, i) => {
    const own = new Set(images[i]);
    return (status?.digests ?? []).filter(({ name }) => own.has(name)).map(({ digest, name }) =>
      [digest, name] as const
    );
  }));
  const [first] = images.flat();
  return (digest) => {
    const repository = repositories.get(digest) ?? first;
    if (repository !== undefined) return repository;
    throw new CorruptError(cannot(`use ${what}`, `it contains ${digest}, but names no images`));
  };
}
