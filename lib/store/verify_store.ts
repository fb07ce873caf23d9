import { ifPresent } from "../files/if_present.ts";
import type { Digest } from "../oci/digest.ts";
import { parseManifest, successorsOf } from "../oci/manifest.ts";
import type { IngestStore, TaggedStore } from "./blob_store.ts";
import type { DiskStore } from "./disk_store.ts";
import { findRot } from "./held_blobs.ts";
import { blobPath } from "./layout.ts";
import { listBlobs } from "./store_scan.ts";
import { type BrokenLink, verifyLinks } from "./verify_links.ts";
import { describeSystemError } from "../oci/system_error.ts";

/** A corrupt or missing blob, and the images that it affects. */
export interface BrokenBlob {
  readonly digest: Digest;
  /** Path of the file, relative to the data folder. */
  readonly path: string;
  readonly reason: string;
  /** References of the images that need it: `docker.io/library/nginx:1.27`. */
  readonly images: readonly string[];
  /** The repositories that it can be fetched for again. */
  readonly uses: readonly BlobUse[];
}

/** How a repository uses a blob. */
interface BlobUse {
  readonly repository: string;
  /** In bytes; `undefined` for a manifest that no index lists. */
  readonly size: number | undefined;
  readonly isManifest: boolean;
}

/** The result of verifying a store. */
export interface StoreReport {
  /** Number of blobs that were checked. */
  readonly blobs: number;
  /** Number of bytes that were read. */
  readonly bytes: number;
  readonly broken: readonly BrokenBlob[];
  readonly links: readonly BrokenLink[];
  /** Files that could not be read, and the reason; their content is not known to be intact or corrupt. */
  readonly unread: readonly { readonly path: string; readonly reason: string }[];
}

/** Options of `verifyStore`. */
export interface VerifyOptions {
  /** Blobs that must exist: the content of the installed packages. */
  readonly required?: Iterable<{ readonly digest: Digest; readonly size: number; readonly image: string }>;
  /** Called after each read with the number of bytes read. */
  readonly onProgress?: (bytes: number) => void;
}

/** Hashes every blob of a store again, and checks its links and that the required blobs exist. */
export async function verifyStore(root: string, store: DiskStore, options?: VerifyOptions): Promise<StoreReport> {
  const stored: StoredBlobs = {
    digests: listBlobs(root),
    findRot: (digest, onChunk) => findRot(`${root}/${blobPath(digest)}`, digest, onChunk),
    has: async (digest, size) => (await ifPresent(Deno.lstat(`${root}/${blobPath(digest)}`)))?.size === size,
  };
  return { ...await verifyBlobs(store, stored, options), links: await verifyLinks(root) };
}

/** How `verifyBlobs` reads the blobs of a store. */
export interface StoredBlobs {
  readonly digests: AsyncIterable<Digest>;
  /** Hashes a blob. @returns what is wrong; `undefined` if nothing is */
  findRot(
    digest: Digest,
    onChunk: (bytes: number) => void,
  ): Promise<{ readonly reason: string } | "missing" | undefined>;
  /** Reports whether a blob exists with a size in bytes. */
  has(digest: Digest, size: number): Promise<boolean>;
}

/** Hashes every blob of a store again, and checks that the required blobs exist. */
export async function verifyBlobs(
  store: UsersStore,
  stored: StoredBlobs,
  { required = [], onProgress = () => {} }: VerifyOptions = {},
): Promise<Omit<StoreReport, "links">> {
  const reasons = new Map<Digest, string>();
  const unread: { path: string; reason: string }[] = [];
  let [blobs, bytes] = [0, 0];
  for await (const digest of stored.digests) {
    try {
      const rot = await stored.findRot(digest, (count) => {
        bytes += count;
        onProgress(count);
      });
      // It was removed since it was listed; or a crash left the empty folder of a blob. Nothing is lost.
      if (rot === "missing") continue;
      if (rot !== undefined) reasons.set(digest, rot.reason);
    } catch (error) {
      unread.push({ path: blobPath(digest), reason: describeSystemError(error) });
    }
    blobs++;
  }
  const requiredBy = new Map<Digest, Set<string>>();
  for (const { digest, size, image } of required) {
    if (await stored.has(digest, size)) continue;
    if (!reasons.has(digest)) reasons.set(digest, "it is missing, or its size is wrong");
    requiredBy.set(digest, (requiredBy.get(digest) ?? new Set()).add(image));
  }
  const broken = await describeBroken(store, { reasons, requiredBy });
  return { blobs, bytes, broken, unread };
}

/** Where the users of a blob are found. */
type UsersStore = TaggedStore & Pick<IngestStore, "listManifests">;

/** What is wrong with blobs. */
interface BrokenReasons {
  readonly reasons: ReadonlyMap<Digest, string>;
  /** The images of packages that need a blob. */
  readonly requiredBy: ReadonlyMap<Digest, ReadonlySet<string>>;
}

/** Finds the images that broken blobs affect, and the repositories that they can be fetched for again. */
async function describeBroken(
  store: UsersStore,
  { reasons, requiredBy }: BrokenReasons,
): Promise<BrokenBlob[]> {
  const users = reasons.size === 0 ? new Map<Digest, Users>() : await findUsers(store, reasons);
  return [...reasons].map(([digest, reason]) => ({
    digest,
    path: blobPath(digest),
    reason,
    images: [...users.get(digest)?.images ?? requiredBy.get(digest) ?? []].sort(),
    uses: [...users.get(digest)?.uses.values() ?? []],
  }));
}

interface Users {
  readonly images: Set<string>;
  readonly uses: Map<string, BlobUse>;
}

async function findUsers(store: UsersStore, broken: ReadonlyMap<Digest, string>): Promise<Map<Digest, Users>> {
  const users = new Map<Digest, Users>();
  for (const repo of (await store.listRepositories()).repositories) {
    const findBelow = createBrokenFinder(store, repo, broken);
    const add = async (root: Digest, image: string) => {
      for (const [digest, use] of await findBelow(root)) {
        const known = users.get(digest) ?? { images: new Set(), uses: new Map() };
        known.images.add(image);
        if (known.uses.get(repo)?.size === undefined) known.uses.set(repo, use);
        users.set(digest, known);
      }
    };
    for (const { tag, digest } of await store.listTagLinks(repo)) await add(digest, `${repo}:${tag}`);
    for (const digest of await store.listManifests(repo)) await add(digest, `${repo}@${digest}`);
  }
  return withoutRepeats(users);
}

type BrokenUses = ReadonlyMap<Digest, BlobUse>;

/**
 * Creates a function that finds the broken blobs of an image of a repository. Each manifest is read once, however many
 * tags and indexes lead to it: small indexes that list each other twice have a number of paths that doubles with each.
 */
function createBrokenFinder(
  store: UsersStore,
  repository: string,
  broken: ReadonlyMap<Digest, string>,
): (root: Digest) => Promise<BrokenUses> {
  const found = new Map<Digest, Map<Digest, BlobUse>>();
  return async function find(root) {
    const known = found.get(root);
    if (known !== undefined) return known;
    const uses = new Map<Digest, BlobUse>();
    found.set(root, uses);
    const add = (digest: Digest, use: BlobUse) => {
      if (broken.has(digest) && uses.get(digest)?.size === undefined) uses.set(digest, use);
    };
    add(root, { repository, size: undefined, isManifest: true });
    const bytes = await store.readManifest(repository, root);
    if (bytes === undefined) return uses;
    const manifest = parseManifest(bytes);
    const isManifest = manifest.kind === "index";
    for (const { digest, size } of successorsOf(manifest)) {
      add(digest, { repository, size, isManifest });
      if (isManifest) { for (const [below, use] of await find(digest)) add(below, use); }
    }
    return uses;
  };
}

// An image that is listed by tag is not listed again by digest.
function withoutRepeats(users: Map<Digest, Users>): Map<Digest, Users> {
  for (const [digest, { images, uses }] of users) {
    const tagged = [...images].filter((image) => !image.includes("@"));
    if (tagged.length > 0) users.set(digest, { images: new Set(tagged), uses });
  }
  return users;
}
