import type { Digest } from "../oci/digest.ts";
import { STALE_MILLISECONDS, sweepIngest, sweepPieces } from "./data_folder.ts";
import { blobPath, layerLinkPath, revisionLinkPath, tagIndexLinkPath } from "./layout.ts";
import { markReachable } from "./reachable.ts";
import {
  canonicalName,
  listBlobSizes,
  listRepositoryContents,
  ManifestReader,
  type RepositoryContents,
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

/** The digests that are needed. */
interface Marks {
  has(digest: Digest): boolean;
  /** Reports whether a repository needs the digest. */
  isNeededBy(repository: string, digest: Digest): boolean;
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
  const sizes = await listBlobSizes(root);
  const repositories = await listRepositoryContents(root);
  const marks = await markStore(repositories, new ManifestReader(root), {
    keep,
    isRoot: () => !untagged,
  });
  const found: Candidate[] = [];
  for (const { name, manifests, layers, history } of repositories) {
    const repository = canonicalName(name);
    const add = (kind: Candidate["kind"], path: string, digest: Digest) => {
      if (!marks.isNeededBy(repository, digest)) found.push({ kind, path, digest, repository, bytes: 0 });
    };
    const held = new Set(manifests);
    for (const digest of manifests) add("manifest", revisionLinkPath(name, digest), digest);
    // A link in a tag's history is useless without its manifest, and is removed together with it.
    for (const { tag, digest } of history) {
      if (held.has(digest)) add("link", tagIndexLinkPath(name, tag, digest), digest);
    }
    for (const digest of layers) add("link", layerLinkPath(name, digest), digest);
  }
  for (const [digest, bytes] of sizes) {
    if (!marks.has(digest)) found.push({ kind: "blob", path: blobPath(digest), digest, bytes });
  }
  return found;
}

async function remark(
  root: string,
  keep: ReadonlySet<Digest>,
  moved: readonly Candidate[],
): Promise<{ needed: Candidate[]; garbage: Candidate[] }> {
  const inPlace = await listRepositoryContents(root);
  const hidden = new Map<string, Digest[]>();
  for (const { kind, repository, digest } of moved) {
    if (kind !== "manifest") continue;
    hidden.set(repository!, [...hidden.get(repository!) ?? [], digest]);
  }
  const all = [
    ...inPlace,
    ...[...hidden].map(([name, manifests]) => ({ name, manifests, tags: [], history: [], layers: [] })),
  ];
  const reader = new ManifestReader(root, [blobPath, (digest) => trashPath(blobPath(digest))]);
  // A manifest that is still in place was kept by the first mark, or is new.
  const seen = new Map<string, Set<Digest>>();
  for (const { name, manifests } of inPlace) {
    const repository = canonicalName(name);
    seen.set(repository, new Set([...seen.get(repository) ?? [], ...manifests]));
  }
  const marks = await markStore(all, reader, {
    keep,
    isRoot: (repository, digest) => seen.get(repository)?.has(digest) ?? false,
  });
  const isNeeded = ({ repository, digest }: Candidate) =>
    repository === undefined ? marks.has(digest) : marks.isNeededBy(repository, digest);
  return { needed: moved.filter(isNeeded), garbage: moved.filter((candidate) => !isNeeded(candidate)) };
}

async function markStore(
  repositories: readonly RepositoryContents[],
  reader: ManifestReader,
  { keep, isRoot }: { keep: ReadonlySet<Digest>; isRoot: (repository: string, digest: Digest) => boolean },
): Promise<Marks> {
  const read = (digest: Digest) => reader.read(digest);
  const kept = await markReachable({ roots: keep, read });
  const marked = new Map<string, Set<Digest>>();
  const everywhere = new Set(kept);
  for (const [name, group] of Map.groupBy(repositories, ({ name }) => canonicalName(name))) {
    const manifests = group.flatMap(({ manifests }) => manifests);
    const referrers = new Map<Digest, Digest[]>();
    for (const digest of manifests) {
      const subject = (await read(digest))?.subject;
      if (subject !== undefined) referrers.set(subject, [...referrers.get(subject) ?? [], digest]);
    }
    const roots = [
      ...group.flatMap(({ tags }) => tags.map(({ digest }) => digest)),
      ...manifests.filter((digest) => kept.has(digest) || isRoot(name, digest)),
    ];
    const marks = await markReachable({ roots, read, referrersOf: (subject) => referrers.get(subject) ?? [] });
    // A manifest that cannot be read may need any blob that is linked to its repository.
    const named = new Set([...roots, ...manifests.filter((digest) => marks.has(digest))]);
    for (const digest of named) {
      if (await read(digest) !== undefined) continue;
      for (const { layers } of group) for (const layer of layers) marks.add(layer);
      break;
    }
    marked.set(name, marks);
    for (const digest of marks) everywhere.add(digest);
  }
  return {
    has: (digest) => everywhere.has(digest),
    isNeededBy: (repository, digest) => kept.has(digest) || (marked.get(repository)?.has(digest) ?? false),
  };
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
