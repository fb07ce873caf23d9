import { Turns } from "../bytes/turns.ts";
import type { Digest } from "../oci/digest.ts";
import { PackedNames } from "./packed_names.ts";
import type { ManifestReader } from "./manifest_reader.ts";
import { markReachable } from "./reachable.ts";
import { canonicalName, type RepositoryContents } from "./store_scan.ts";

/** How `markStore` marks the content of repositories, one at a time. */
export interface MarkOptions {
  /** Digests that are needed although no repository may reference them. */
  readonly keep: ReadonlySet<Digest>;
  /** Repositories that may have no folder any more. */
  readonly hidden?: Iterable<string>;
  /** Yields the names of all repositories. */
  readonly names: AsyncIterable<string>;
  /** Reports whether a repository is left out. @param names the names that it is filed under */
  readonly isSkipped?: (repository: string, names: readonly string[]) => boolean;
  /** Reads the links of a repository. @param names the names that it is filed under */
  readonly contentsOf: (repository: string, names: readonly string[]) => RepositoryContents[];
  /** Reports whether a manifest of the repository whose contents were read last is needed without a tag. */
  readonly isRoot: (digest: Digest) => boolean;
  readonly onMarked: (marked: MarkedRepository) => void;
  /** Called with each digest that is needed anywhere, at least once. */
  readonly onNeeded: (digest: Digest) => void;
}

/** What a repository needs. */
interface MarkedRepository {
  /** Its canonical name. */
  readonly repository: string;
  readonly contents: readonly RepositoryContents[];
  readonly isNeeded: (digest: Digest) => boolean;
  /** Whether all its manifests that are needed could be read. */
  readonly isReadable: boolean;
}

/** Marks what is needed. */
export async function markStore(reader: ManifestReader, options: MarkOptions): Promise<void> {
  const { keep, hidden = [], isSkipped = () => false, isRoot, onNeeded } = options;
  const read = (digest: Digest) => reader.read(digest);
  const kept = await markReachable({ roots: keep, read });
  for (const digest of kept) onNeeded(digest);
  const turns = new Turns();
  for await (const { repository, names } of groupNames(options.names, hidden)) {
    await turns.next();
    if (isSkipped(repository, names)) continue;
    const contents = options.contentsOf(repository, names);
    const { marks, isReadable } = await markRepository(contents, read, (digest) => kept.has(digest) || isRoot(digest));
    const isNeeded = (digest: Digest) => kept.has(digest) || marks.has(digest);
    options.onMarked({ repository, contents, isNeeded, isReadable });
    for (const digest of marks) onNeeded(digest);
  }
}

/** Groups the names of each repository, after all were read. Nearly all repositories have their canonical name only. */
async function* groupNames(
  names: AsyncIterable<string>,
  hidden: Iterable<string>,
): AsyncGenerator<{ readonly repository: string; readonly names: readonly string[] }> {
  const others = new Map<string, string[]>([...hidden].map((repository) => [repository, []]));
  const canonical = new PackedNames();
  for await (const name of names) {
    const repository = canonicalName(name);
    const known = others.get(repository);
    if (known !== undefined) known.push(name);
    else if (name === repository) canonical.add(name);
    else others.set(repository, [name]);
  }
  for (const name of canonical) {
    yield { repository: name, names: [name, ...others.get(name) ?? []] };
    others.delete(name);
  }
  for (const [repository, names] of others) yield { repository, names };
}

async function markRepository(
  contents: readonly RepositoryContents[],
  read: ManifestReader["read"],
  isRoot: (digest: Digest) => boolean,
): Promise<{ marks: Set<Digest>; isReadable: boolean }> {
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
    return { marks, isReadable: false };
  }
  return { marks, isReadable: true };
}
