import { Turns } from "../files/folder_scan.ts";
import type { Digest } from "../oci/digest.ts";
import { STALE_MILLISECONDS, sweepIngest, sweepPieces } from "./data_folder.ts";
import { DigestSet } from "./digest_set.ts";
import { blobPath, layerLinkPath, revisionLinkPath, tagIndexLinkPath } from "./layout.ts";
import { ManifestReader } from "./manifest_reader.ts";
import { markReachable } from "./reachable.ts";
import {
  canonicalName,
  listBlobs,
  listHistories,
  readContents,
  type RepositoryContents,
  sizeOfFile,
  walkNames,
} from "./store_scan.ts";
import { emptyTrash, moveAside, moveBack, restoreTrash, trashPath } from "./trash.ts";
import { announceChange, excludeWriters } from "./write_lease.ts";

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
 * @param root the data folder
 * @throws {Error} when content is being written (`takeWriteLease`), or another collection is in progress
 */
export async function collectGarbage(root: string, options: GcOptions = {}): Promise<GcReport> {
  if (!await isFolder(root)) return sum([]);
  const { readKeep = () => Promise.resolve(new Set<Digest>()), untagged = false } = options;
  if (options.dryRun) return sum(await findGarbage(root, await readKeep(), untagged));
  using exclusion = await excludeWriters(root);
  if (exclusion === undefined) {
    throw new Error(
      `Cannot collect garbage in ${root}: an import, a pull, a pack or another collection is in progress; ` +
        "try again when it has finished",
    );
  }
  const keep = await readKeep();
  await restoreTrash(root);
  await sweepIngest(root, { minAge: STALE_MILLISECONDS });
  await sweepPieces(root, (digest) => keep.has(digest));
  const moved: Candidate[] = [];
  for (const candidate of await findGarbage(root, keep, untagged)) {
    if (await moveAside(root, candidate.path)) moved.push(candidate);
  }
  await options.onMovedAside?.();
  const { needed, garbage } = await remark(root, keep, moved);
  for (const { path } of needed) await moveBack(root, path);
  await emptyTrash(root);
  if (garbage.length > 0) await announceChange(root);
  return sum(garbage);
}

async function findGarbage(root: string, keep: ReadonlySet<Digest>, untagged: boolean): Promise<Candidate[]> {
  // Blobs are listed first, so that a blob stored after this is not a candidate.
  const listed = new DigestSet();
  for await (const digest of listBlobs(root)) listed.add(digest);
  const found: Candidate[] = [];
  const marks = await markStore(root, new ManifestReader(root), {
    keep,
    contentsOf: (_, names) => names.map((name) => readContents(root, name)),
    isRoot: () => !untagged,
    onMarked(repository, contents, isNeeded) {
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
  for await (const digest of listBlobs(root)) {
    if (marks.has(digest) || !listed.has(digest)) continue;
    const bytes = sizeOfFile(`${root}/${blobPath(digest)}`);
    if (bytes !== undefined) found.push({ kind: "blob", path: blobPath(digest), digest, bytes });
  }
  return found;
}

async function remark(
  root: string,
  keep: ReadonlySet<Digest>,
  moved: readonly Candidate[],
): Promise<{ needed: Candidate[]; garbage: Candidate[] }> {
  if (moved.length === 0) return { needed: [], garbage: [] };
  const links = Map.groupBy(moved.filter((it) => it.repository !== undefined), ({ repository }) => repository!);
  const needed: Candidate[] = [];
  const garbage: Candidate[] = [];
  const decide = (candidate: Candidate, isNeeded: boolean) => (isNeeded ? needed : garbage).push(candidate);
  // A manifest that is still in place was kept by the first mark, or is new.
  let inPlace = new Set<Digest>();
  const reader = new ManifestReader(root, [blobPath, (digest) => trashPath(blobPath(digest))]);
  const marks = await markStore(root, reader, {
    keep,
    hidden: links.keys(),
    contentsOf(repository, names) {
      const contents = names.map((name) => readContents(root, name));
      inPlace = new Set(contents.flatMap(({ manifests }) => manifests));
      const manifests = (links.get(repository) ?? []).filter(({ kind }) => kind === "manifest");
      return [...contents, {
        name: repository,
        manifests: manifests.map(({ digest }) => digest),
        tags: [],
        layers: [],
      }];
    },
    isRoot: (digest) => inPlace.has(digest),
    onMarked(repository, _, isNeeded) {
      for (const candidate of links.get(repository) ?? []) decide(candidate, isNeeded(candidate.digest));
    },
  });
  for (const candidate of moved) if (candidate.repository === undefined) decide(candidate, marks.has(candidate.digest));
  return { needed, garbage };
}

/** How `markStore` marks the content of repositories, one at a time. */
interface MarkOptions {
  /** Digests that are needed although no repository may reference them. */
  readonly keep: ReadonlySet<Digest>;
  /** Repositories that may have no folder any more. */
  readonly hidden?: Iterable<string>;
  /** Reads the links of a repository. @param names the names that it is filed under */
  readonly contentsOf: (repository: string, names: readonly string[]) => RepositoryContents[];
  /** Reports whether a manifest of the repository whose contents were read last is needed without a tag. */
  readonly isRoot: (digest: Digest) => boolean;
  /** Called when a repository is marked. @param isNeeded reports whether it needs a digest */
  readonly onMarked: (
    repository: string,
    contents: readonly RepositoryContents[],
    isNeeded: (digest: Digest) => boolean,
  ) => void;
}

/** Marks what is needed. @returns the digests that are needed anywhere */
async function markStore(root: string, reader: ManifestReader, options: MarkOptions): Promise<DigestSet> {
  const { keep, hidden = [], contentsOf, isRoot, onMarked } = options;
  const read = (digest: Digest) => reader.read(digest);
  const kept = await markReachable({ roots: keep, read });
  const everywhere = new DigestSet();
  for (const digest of kept) everywhere.add(digest);
  const repositories = new Map<string, string[]>([...hidden].map((repository) => [repository, []]));
  for await (const name of walkNames(root)) {
    const repository = canonicalName(name);
    repositories.set(repository, [...repositories.get(repository) ?? [], name]);
  }
  const turns = new Turns();
  for (const [repository, names] of repositories) {
    await turns.next();
    const contents = contentsOf(repository, names);
    const marks = await markRepository(contents, read, (digest) => kept.has(digest) || isRoot(digest));
    onMarked(repository, contents, (digest) => kept.has(digest) || marks.has(digest));
    for (const digest of marks) everywhere.add(digest);
  }
  return everywhere;
}

async function markRepository(
  contents: readonly RepositoryContents[],
  read: ManifestReader["read"],
  isRoot: (digest: Digest) => boolean,
): Promise<Set<Digest>> {
  const manifests = contents.flatMap(({ manifests }) => manifests);
  const referrers = new Map<Digest, Digest[]>();
  for (const digest of manifests) {
    const subject = (await read(digest))?.subject;
    if (subject !== undefined) referrers.set(subject, [...referrers.get(subject) ?? [], digest]);
  }
  const roots = [...contents.flatMap(({ tags }) => tags.map(({ digest }) => digest)), ...manifests.filter(isRoot)];
  const marks = await markReachable({ roots, read, referrersOf: (subject) => referrers.get(subject) ?? [] });
  // A manifest that cannot be read may need any blob that is linked to its repository.
  const named = new Set([...roots, ...manifests.filter((digest) => marks.has(digest))]);
  for (const digest of named) {
    if (await read(digest) !== undefined) continue;
    for (const { layers } of contents) for (const layer of layers) marks.add(layer);
    break;
  }
  return marks;
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
