import { CHUNK_BYTES } from "../bytes/file_stream.ts";
import { Verifier } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import { parseManifest, successorsOf } from "../oci/manifest.ts";
import type { DiskStore } from "./disk_store.ts";
import { blobPath } from "./layout.ts";
import { listBlobs } from "./store_scan.ts";

/** A corrupt or missing blob, and the images that it affects. */
export interface BrokenBlob {
  readonly digest: Digest;
  /** Path of the file, relative to the data folder. */
  readonly path: string;
  readonly reason: string;
  /** References of the images that need it: `docker.io/library/nginx:1.27`. */
  readonly images: readonly string[];
}

/** The result of verifying a store. */
export interface StoreReport {
  /** Number of blobs that were checked. */
  readonly blobs: number;
  /** Number of bytes that were read. */
  readonly bytes: number;
  readonly broken: readonly BrokenBlob[];
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

/** Hashes every blob of a store again, and checks that the required blobs exist. */
export async function verifyStore(root: string, store: DiskStore, options: VerifyOptions = {}): Promise<StoreReport> {
  const { onProgress = () => {}, required = [] } = options;
  const reasons = new Map<Digest, string>();
  const unread: { path: string; reason: string }[] = [];
  let blobs = 0;
  let bytes = 0;
  for await (const digest of listBlobs(root)) {
    // A crash between creating a blob's folder and committing the blob leaves an empty folder. Nothing is lost.
    if (!await exists(`${root}/${blobPath(digest)}`)) continue;
    blobs++;
    const verifier = new Verifier(digest, undefined);
    try {
      const reason = await checkBlob(`${root}/${blobPath(digest)}`, verifier, onProgress);
      if (reason !== undefined) reasons.set(digest, reason);
    } catch (error) {
      unread.push({ path: blobPath(digest), reason: (error as Error).message });
    }
    bytes += verifier.seen;
  }
  const images = new Map<Digest, Set<string>>();
  for (const { digest, size, image } of required) {
    if (await exists(`${root}/${blobPath(digest)}`, size)) continue;
    if (!reasons.has(digest)) reasons.set(digest, "it is missing, or its size is wrong");
    images.set(digest, (images.get(digest) ?? new Set()).add(image));
  }
  const users = reasons.size === 0 ? new Map<Digest, Set<string>>() : await findUsers(store, reasons);
  const broken = [...reasons].map(([digest, reason]) => ({
    digest,
    path: blobPath(digest),
    reason,
    images: [...users.get(digest) ?? images.get(digest) ?? []].sort(),
  }));
  return { blobs, bytes, broken, unread };
}

async function checkBlob(
  path: string,
  verifier: Verifier,
  onProgress: (bytes: number) => void,
): Promise<string | undefined> {
  try {
    if (!(await Deno.lstat(path)).isFile) return "it is not a regular file";
    using file = await Deno.open(path);
    const buffer = new Uint8Array(CHUNK_BYTES);
    for (let got = await file.read(buffer); got !== null; got = await file.read(buffer)) {
      verifier.update(buffer.subarray(0, got));
      onProgress(got);
    }
    verifier.finish();
    return undefined;
  } catch (error) {
    if (error instanceof RegistryError) return "its content does not match its digest";
    throw error;
  }
}

async function exists(path: string, size?: number): Promise<boolean> {
  try {
    const found = await Deno.lstat(path);
    return size === undefined || found.size === size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

async function findUsers(store: DiskStore, broken: ReadonlyMap<Digest, string>): Promise<Map<Digest, Set<string>>> {
  const users = new Map<Digest, Set<string>>();
  const visit = async (repo: string, digest: Digest, image: string): Promise<void> => {
    if (broken.has(digest)) users.set(digest, (users.get(digest) ?? new Set()).add(image));
    const bytes = await store.readManifest(repo, digest);
    if (bytes === undefined) return;
    const manifest = parseManifest(bytes);
    for (const child of successorsOf(manifest)) {
      if (manifest.kind === "index") await visit(repo, child.digest, image);
      else if (broken.has(child.digest)) users.set(child.digest, (users.get(child.digest) ?? new Set()).add(image));
    }
  };
  for (const repo of (await store.listRepositories()).repositories) {
    for (const { tag, digest } of await store.listTagLinks(repo)) await visit(repo, digest, `${repo}:${tag}`);
    for (const digest of await store.listManifests(repo)) await visit(repo, digest, `${repo}@${digest}`);
  }
  return withoutRepeats(users);
}

// An image that is listed by tag is not listed again by digest.
function withoutRepeats(users: Map<Digest, Set<string>>): Map<Digest, Set<string>> {
  for (const [digest, images] of users) {
    const tagged = [...images].filter((image) => !image.includes("@"));
    if (tagged.length > 0) users.set(digest, new Set(tagged));
  }
  return users;
}
