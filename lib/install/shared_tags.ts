import { rootDigest } from "../bundle/image_graph.ts";
import type { ContentStore } from "../content/source.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { formatPackageId, type PackageId, packageIdOf } from "../kubepkg/package_id.ts";
import type { Digest } from "../oci/digest.ts";
import { unlessCorrupt } from "../oci/error.ts";
import { repositoryOf } from "../oci/reference.ts";
import type { UnwantedImage } from "../store/forget_images.ts";
import type { PackageRecords } from "./package_records.ts";
import { listOtherPackages } from "./read_other_packages.ts";

const SHOWN_DIGITS = "sha256:".length + 12;

/** The records of the installed packages, and the store with their images. */
export interface TagContext {
  readonly records: PackageRecords;
  readonly store: Pick<ContentStore, "resolve" | "readManifest" | "tag">;
}

/** Lists the images of a package by the digests that its record gives, without what is attached to them. */
export function ownImages(kubepkg: KubePkg): UnwantedImage[] {
  return imagesOf(kubepkg).flatMap((image) => {
    const { reference } = image;
    const digest = unlessCorrupt(() => rootDigest(kubepkg, image));
    // The record has no digest for the image, so there is nothing to find in the store.
    if (digest === undefined) return [];
    return [{ repository: repositoryOf(reference), tag: reference.tag, digest }];
  });
}

/** Says which tags of other installed packages an import moves to another image, a sentence each. */
export async function describeMovedTags(kubepkg: KubePkg, { records, store }: TagContext): Promise<string[]> {
  const own = new Map(taggedImages([kubepkg]).map(({ name, digest }) => [name, digest]));
  const found: string[] = [];
  const others = await listOtherPackages(records, packageIdOf(kubepkg));
  for (const { owner, repository, tag, name, digest } of taggedImages(others)) {
    const moved = own.get(name);
    if (moved === undefined || moved === digest) continue;
    if ((await store.resolve(repository, tag))?.digest === moved) continue;
    const [from, to] = [digest, moved].map((it) => it.slice(0, SHOWN_DIGITS));
    found.push(`${name} is ${from} in the package ${owner}, and becomes ${to}`);
  }
  return found;
}

/**
 * Sets tags of images that a package no longer has to the images of other installed packages with these tags: the package had
 * moved them. Of several, the one that was installed last gets the tag. A tag that refers to something else meanwhile stays.
 *
 * @param releases the releases of the package that may have moved the tags
 * @param current the release that is installed now; absent when the package is removed
 * @param dryRun whether nothing is set
 * @returns which tags it sets, a sentence each
 */
export async function giveBackTags(
  id: PackageId,
  { releases, current, dryRun = false }: {
    readonly releases: readonly KubePkg[];
    readonly current?: KubePkg;
    readonly dryRun?: boolean;
  },
  { records, store }: TagContext,
): Promise<string[]> {
  const moved: string[] = [];
  const done = new Set(taggedImages(current === undefined ? [] : [current]).map(({ name }) => name));
  const wanted = taggedImages(await listLatestFirst(id, records));
  for (const { repository, tag, name, digest } of taggedImages(releases)) {
    const others = wanted.filter((other) => other.name === name);
    if (done.has(name) || others.length === 0 || others.some((other) => other.digest === digest)) continue;
    if ((await store.resolve(repository, tag))?.digest !== digest) continue;
    for (const other of others) {
      if (await store.readManifest(repository, other.digest) === undefined) continue;
      if (!dryRun) await store.tag(repository, tag, other.digest);
      // Several releases of the package may have the image.
      done.add(name);
      moved.push(`${name} becomes ${other.digest.slice(0, SHOWN_DIGITS)}, which the package ${other.owner} has`);
      break;
    }
  }
  return moved;
}

/** An image with its tag; `name` is `repository:tag`, and `owner` its package. */
interface TaggedImage {
  readonly owner: string;
  readonly name: string;
  readonly repository: string;
  readonly tag: string;
  readonly digest: Digest;
}

function taggedImages(releases: readonly KubePkg[]): TaggedImage[] {
  return releases.flatMap((kubepkg) => {
    const owner = formatPackageId(packageIdOf(kubepkg));
    return ownImages(kubepkg).flatMap(({ repository, tag, digest }) => {
      return tag === undefined ? [] : [{ owner, name: `${repository}:${tag}`, repository, tag, digest }];
    });
  });
}

async function listLatestFirst(except: PackageId, records: PackageRecords): Promise<KubePkg[]> {
  const dated = await Promise.all((await listOtherPackages(records, except)).map(async (kubepkg) => {
    return { kubepkg, time: (await records.readDate(packageIdOf(kubepkg)))?.getTime() ?? 0 };
  }));
  return dated.sort((a, b) => b.time - a.time).map(({ kubepkg }) => kubepkg);
}
