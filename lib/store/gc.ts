import { Turns } from "../bytes/turns.ts";
import type { Digest } from "../oci/digest.ts";
import { ChangedRepositories, type WatchOptions } from "./changed_repositories.ts";
import { STALE_MILLISECONDS, sweepIngest, sweepPieces } from "./data_folder.ts";
import { DigestList } from "./digest_list.ts";
import { blobPath, layerLinkPath, revisionLinkPath, tagIndexLinkPath } from "./layout.ts";
import { ManifestReader } from "./manifest_reader.ts";
import { markStore } from "./mark_store.ts";
import { listBlobs, listHistories, readContents, sizeOfFile, walkNames } from "./store_scan.ts";
import { emptyTrash, moveAside, moveBack, restoreTrash, trashPath } from "./trash.ts";
import { announceChange, excludeWriters } from "./write_lease.ts";
import { cannot, CrpeError } from "../oci/error.ts";

/** Options of a garbage collection. */
export interface GcOptions {
  /**
   * Reads the digests that are kept although no repository may reference them: the content of packages. Called while
   * writers are excluded.
   */
  readonly readKeep?: () => Promise<ReadonlySet<Digest>>;
  /** Also removes manifests that are not reachable from a tag, a kept digest, or an index or subject that stays. */
  readonly untagged?: boolean;
  /** Only reports what would be removed. */
  readonly dryRun?: boolean;
  /** Awaited after the candidates were moved aside, before the second mark. */
  readonly onMovedAside?: () => Promise<void>;
  /** Awaited after the second mark, before anything is removed. */
  readonly onRemarked?: () => Promise<void>;
  /** How the second mark finds what has changed. */
  readonly watch?: WatchOptions;
}

/** What was removed, or would be removed by a dry run. */
export interface GcReport {
  readonly blobs: number;
  /** Total size of these blobs in bytes. */
  readonly bytes: number;
  /** Number of manifest links of repositories. */
  readonly manifests: number;
  /** Number of other links. */
  readonly links: number;
}

/** A file that may be garbage. */
interface Candidate {
  readonly kind: "manifest" | "link" | "blob";
  /** Relative to the data folder. */
  readonly path: string;
  readonly digest: Digest;
  /** Canonical name of the repository that the link belongs to. */
  readonly repository?: string;
  readonly bytes: number;
}

/**
 * Removes unreferenced content from a data folder: marks, moves candidates aside, marks again, moves back what is
 * referenced by now, and only then removes the rest. A server can keep caching meanwhile: content that it references is
 * either found by the second mark, or stored again by the server, which checks after it has written the reference. If a
 * collection is interrupted, the next collection or server start moves back what was moved aside.
 *
 * The second mark leaves out the repositories that did not change since the first one (`ChangedRepositories`).
 *
 * @param root the data folder
 * @throws {Error} when content is being written (`takeWriteLease`), or another collection is in progress
 */
export async function collectGarbage(root: string, options: GcOptions = {}): Promise<GcReport> {
  if (!await isFolder(root)) return sum([]);
  const { readKeep = () => Promise.resolve(new Set<Digest>()), untagged = false } = options;
  if (options.dryRun) return sum(await findGarbage(root, { keep: await readKeep(), untagged }));
  using exclusion = await excludeWriters(root);
  if (exclusion === undefined) {
    throw new CrpeError(
      cannot(
        `collect garbage in ${root}`,
        "an import, a pull, a pack or another collection is in progress",
        "try again when it has finished",
      ),
    );
  }
  const keep = await readKeep();
  await restoreTrash(root);
  await sweepIngest(root, { minAge: STALE_MILLISECONDS });
  await sweepPieces(root, (digest) => keep.has(digest));
  const changes = await ChangedRepositories.watch(root, options.watch);
  const moved: Candidate[] = [];
  const turns = new Turns();
  for (const candidate of await findGarbage(root, { keep, untagged, changes })) {
    await turns.next();
    if (await moveAside(root, candidate.path)) moved.push(candidate);
  }
  await options.onMovedAside?.();
  let { needed, garbage } = await remark(root, keep, { moved, untagged, changes });
  if (!await changes.isClockSteady()) ({ needed, garbage } = await remark(root, keep, { moved, untagged }));
  await options.onRemarked?.();
  for (const { path } of needed) await moveBack(root, path);
  await emptyTrash(root);
  if (garbage.length > 0) await announceChange(root);
  return sum(garbage);
}

/** How the first mark finds candidates. */
interface FirstMark {
  readonly keep: ReadonlySet<Digest>;
  readonly untagged: boolean;
  /** Receives what was read, for the second mark. */
  readonly changes?: ChangedRepositories;
}

async function findGarbage(root: string, { keep, untagged, changes }: FirstMark): Promise<Candidate[]> {
  // Blobs are listed first, so that a blob stored after this is not a candidate.
  const listed = new DigestList();
  for await (const digest of listBlobs(root)) listed.add(digest);
  const found: Candidate[] = [];
  await markStore(new ManifestReader(root), {
    keep,
    onNeeded: (digest) => listed.mark(digest),
    names: walkNames(root, changes && ((name) => changes.listFolders(name))),
    contentsOf: (_, names) => names.map((name) => readContents(root, name, { omitsTags: !untagged })),
    isRoot: () => !untagged,
    onMarked({ repository, contents, isNeeded, isReadable }) {
      if (isReadable) { for (const each of contents) changes?.remember(each); }
      for (const { name, manifests, layers } of contents) {
        const add = (kind: Candidate["kind"], path: string, digest: Digest) => {
          if (!isNeeded(digest)) found.push({ kind, path, digest, repository, bytes: 0 });
        };
        for (const digest of manifests) add("manifest", revisionLinkPath(name, digest), digest);
        // A link in a tag's history is useless without its manifest, and is removed together with it.
        const going = new Set(manifests.filter((digest) => !isNeeded(digest)));
        for (const { tag, digest } of going.size === 0 ? [] : listHistories(root, name)) {
          if (going.has(digest)) add("link", tagIndexLinkPath(name, tag, digest), digest);
        }
        for (const digest of layers) add("link", layerLinkPath(name, digest), digest);
      }
    },
  });
  for (const digest of listed.unmarked()) {
    const bytes = sizeOfFile(`${root}/${blobPath(digest)}`);
    if (bytes !== undefined) found.push({ kind: "blob", path: blobPath(digest), digest, bytes });
  }
  return found;
}

/** What the second mark decides. */
interface SecondMark {
  readonly moved: readonly Candidate[];
  readonly untagged: boolean;
  /** Limits the mark to repositories that changed since the first one; the others need no candidate. */
  readonly changes?: ChangedRepositories;
}

async function remark(
  root: string,
  keep: ReadonlySet<Digest>,
  { moved, untagged, changes }: SecondMark,
): Promise<{ needed: Candidate[]; garbage: Candidate[] }> {
  if (moved.length === 0) return { needed: [], garbage: [] };
  const links = Map.groupBy(moved.filter((it) => it.repository !== undefined), ({ repository }) => repository!);
  const needed: Candidate[] = [];
  const garbage: Candidate[] = [];
  const decide = (candidate: Candidate, isNeeded: boolean) => (isNeeded ? needed : garbage).push(candidate);
  // A manifest that is still in place was kept by the first mark, or is new.
  let inPlace = new Set<Digest>();
  const reader = new ManifestReader(root, [blobPath, (digest) => trashPath(blobPath(digest))]);
  const unneeded = new Set(moved.filter(({ kind }) => kind === "blob").map(({ digest }) => digest));
  await markStore(reader, {
    keep,
    onNeeded: (digest) => unneeded.delete(digest),
    hidden: links.keys(),
    names: walkNames(root, changes && ((name) => changes.listFolders(name))),
    // Of the repository of a link that was moved aside, the other links are needed to decide about it.
    isSkipped: (repository, names) =>
      changes !== undefined && !links.has(repository) && !names.some((name) => changes.isChanged(name)),
    contentsOf(repository, names) {
      const contents = names.map((name) => readContents(root, name, { omitsTags: !untagged }));
      inPlace = new Set(contents.flatMap(({ manifests }) => manifests));
      const manifests = (links.get(repository) ?? []).filter(({ kind }) => kind === "manifest");
      return [...contents, {
        name: repository,
        manifests: manifests.map(({ digest }) => digest),
        tags: [],
        layers: [],
        tagNames: [],
        isRegular: false,
      }];
    },
    isRoot: (digest) => inPlace.has(digest),
    onMarked({ repository, isNeeded }) {
      for (const candidate of links.get(repository) ?? []) decide(candidate, isNeeded(candidate.digest));
    },
  });
  for (const candidate of moved) {
    if (candidate.repository === undefined) decide(candidate, !unneeded.has(candidate.digest));
  }
  return { needed, garbage };
}

function sum(garbage: readonly Candidate[]): GcReport {
  const count = (kind: Candidate["kind"]) => garbage.filter((candidate) => candidate.kind === kind).length;
  return {
    blobs: count("blob"),
    bytes: garbage.reduce((sum, { bytes }) => sum + bytes, 0),
    manifests: count("manifest"),
    links: count("link"),
  };
}

async function isFolder(root: string): Promise<boolean> {
  try {
    return (await Deno.stat(root)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
