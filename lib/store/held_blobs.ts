import { type ByteRange, resolveRange } from "../bytes/byte_range.ts";
import { CHUNK_BYTES } from "../bytes/file_stream.ts";
import { type SharedFiles, streamReader } from "../bytes/shared_files.ts";
import { SingleFlight } from "../content/single_flight.ts";
import type { OpenedBlob } from "../content/source.ts";
import { Verifier } from "../content/verifier.ts";
import { removeIfPresent } from "../files/durable.ts";
import { ifPresentSync, isAbsent } from "../files/if_present.ts";
import { ALGORITHMS, computeDigest, type Digest } from "../oci/digest.ts";
import { cannot, CrpeError, RegistryError } from "../oci/error.ts";
import { type Manifest, successorsOf } from "../oci/manifest.ts";
import { blobPath } from "./layout.ts";
import { moveToQuarantine } from "./quarantine.ts";
import { describeSystemError } from "../oci/system_error.ts";

/** Options of `HeldBlobs`. */
interface HeldBlobsOptions {
  /** The data folder. */
  readonly root: string;
  readonly files: SharedFiles;
  /** Called with a message for each corrupt blob. */
  readonly warn: (message: string) => void;
  /** Whether a blob counts as held only after its content was hashed once by this process. */
  readonly isHashing?: boolean | undefined;
  /** Whether corrupt blobs stay in place. They count as missing all the same. */
  readonly isReadOnly?: boolean | undefined;
  /** Bound of the memory for sizes that manifests state, in bytes. What is dropped is learned again from the manifests. */
  readonly cacheBytes: number;
}

type OnChunk = (bytes: number) => void | Promise<void>;

/** The state of a blob's file. A corrupt one is moved aside when it is found. */
export type BlobState = "intact" | "corrupt" | "missing";

const EMPTY_DIGESTS = new Set(ALGORITHMS.map((algorithm) => computeDigest("", algorithm)));
const BYTES_PER_SIZE = 160;
// Bound of the memory.
const MAX_INTACT = 100_000;
const SMALL_BYTES = 64 * 1024;

/** The files of a store's blobs. A file whose size or content is wrong is moved to the quarantine. */
export class HeldBlobs {
  readonly #options: HeldBlobsOptions;
  /** Sizes that manifests state. */
  readonly #sizes = new Map<Digest, number>();
  /** Blobs that were hashed by this process, with the size that they had. */
  readonly #intact = new Map<Digest, number>();
  readonly #checks = new SingleFlight<BlobState>();

  constructor(options: HeldBlobsOptions) {
    this.#options = options;
  }

  /** Records the sizes that a manifest states. */
  learn(manifest: Manifest): void {
    const maxSizes = this.#options.cacheBytes / BYTES_PER_SIZE;
    for (const { digest, size } of successorsOf(manifest)) {
      if (this.#sizes.size >= maxSizes) this.#sizes.clear();
      this.#sizes.set(digest, size);
    }
  }

  /** Reports whether a manifest that this process has read states the size of a blob. */
  knowsSize(digest: Digest): boolean {
    return this.#sizes.has(digest);
  }

  /** Returns the size of a blob's file in bytes; `undefined` if there is none. Its content may be corrupt. */
  statFile(digest: Digest): number | undefined {
    // Synchronous, like reading a link: serving an image without an upstream checks every one of its blobs.
    const file = ifPresentSync(() => Deno.lstatSync(this.#path(digest)));
    if (file === undefined) return undefined;
    if (!file.isFile) {
      throw new CrpeError(cannot(`serve ${digest}`, `its path is a ${file.isSymlink ? "symbolic link" : "folder"}`));
    }
    // A crash can leave a file truncated to 0 bytes, which is not a blob.
    return file.size > 0 || EMPTY_DIGESTS.has(digest) ? file.size : undefined;
  }

  /**
   * Returns the size of a blob in bytes; `undefined` if it is missing, or its size is not the one that a manifest
   * states. A manifest may be wrong, so such a blob is hashed before it is moved to the quarantine.
   */
  async stat(digest: Digest): Promise<number | undefined> {
    const size = this.statFile(digest);
    if (size === undefined || this.#intact.get(digest) === size) return size;
    const expected = this.#sizes.get(digest) ?? size;
    if (expected === size && !this.#options.isHashing) return size;
    return await this.check(digest) === "intact" ? this.statFile(digest) : undefined;
  }

  /** Opens a blob, or a byte range of it; see `ContentSource.openBlob`. */
  async open(digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined> {
    const size = await this.stat(digest);
    if (size === undefined) return undefined;
    const { start, length } = resolveRange(size, range);
    try {
      if (size <= SMALL_BYTES) {
        // Synchronous, like reading a link: opening, reading and closing a config in another thread costs ten times as much.
        const bytes = Deno.readFileSync(this.#path(digest));
        if (bytes.length === size) {
          // A copy, so that a range does not keep the whole blob in memory.
          const part = length === size ? bytes : bytes.slice(start, start + length);
          return { size, start, length, body: streamBytes(part) };
        }
      }
      const reader = await this.#options.files.open(await Deno.open(this.#path(digest)), size);
      return { size, start, length, body: streamReader(reader, start, length) };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  /**
   * Hashes a blob. Moves it to the quarantine if it is corrupt.
   *
   * @param onChunk awaited after each chunk of at most 1 MiB
   * @returns the state in which it was found
   */
  check(digest: Digest, onChunk?: OnChunk): Promise<BlobState> {
    // A client must not wait for a check that proceeds slowly.
    const key = onChunk === undefined ? digest : `${digest} in chunks`;
    return this.#checks.run(key, async () => {
      for (;;) {
        const rot = await findRot(this.#path(digest), digest, onChunk);
        if (rot === undefined) {
          if (this.#intact.size >= MAX_INTACT) this.#intact.clear();
          const size = this.statFile(digest);
          if (size !== undefined) this.#intact.set(digest, size);
          return "intact";
        }
        this.#intact.delete(digest);
        if (rot === "missing") return "missing";
        if (this.#options.isReadOnly) return "corrupt";
        // The file may have been replaced by an intact one while it was hashed.
        if (this.#inodeOf(digest) === rot.inode) {
          await this.#moveAside(digest, rot.reason);
          return "corrupt";
        }
      }
    });
  }

  /** Removes the file of a blob that nothing refers to. */
  async discard(digest: Digest): Promise<void> {
    this.#intact.delete(digest);
    await removeIfPresent(this.#path(digest));
  }

  #inodeOf(digest: Digest): number | null | undefined {
    return ifPresentSync(() => Deno.lstatSync(this.#path(digest)).ino);
  }

  async #moveAside(digest: Digest, reason: string): Promise<void> {
    const { root, warn } = this.#options;
    let outcome: string;
    try {
      const path = await moveToQuarantine(root, digest);
      outcome = path === undefined ? "removed it" : `moved it to ${path}`;
    } catch (error) {
      outcome = `treating it as missing, but could not move it aside (${describeSystemError(error)})`;
    }
    warn(`${digest} is corrupt: ${reason}; ${outcome}; it will be fetched again, or crpe verify names its images`);
  }

  #path(digest: Digest): string {
    return `${this.#options.root}/${blobPath(digest)}`;
  }
}

/** A corrupt file of a blob. */
interface Rot {
  readonly reason: string;
  /** The inode of the file. Another file may have its path by now. */
  readonly inode: number | null;
}

/**
 * Hashes the file of a blob.
 *
 * @returns why the file is corrupt; `missing` when there is none; `undefined` when it is intact
 */
export async function findRot(
  path: string,
  digest: Digest,
  onChunk: OnChunk = () => {},
): Promise<Rot | "missing" | undefined> {
  const verifier = new Verifier(digest, undefined);
  let inode: number | null = null;
  try {
    const { isFile, size, ino } = Deno.lstatSync(path);
    inode = ino;
    if (!isFile) return { reason: "it is not a regular file", inode };
    if (size <= SMALL_BYTES) await hashSmall(path, verifier, onChunk);
    else {
      using file = await Deno.open(path);
      inode = file.statSync().ino;
      await hashLarge(file, verifier, onChunk);
    }
    verifier.finish();
    return undefined;
  } catch (error) {
    if (error instanceof RegistryError) return { reason: "its content does not match its digest", inode };
    if (isAbsent(error)) return "missing";
    throw error;
  }
}

// Synchronous: a store has many small files, and another thread would cost more than reading one.
async function hashSmall(path: string, verifier: Verifier, onChunk: OnChunk): Promise<void> {
  const bytes = Deno.readFileSync(path);
  verifier.update(bytes);
  await onChunk(bytes.length);
}

async function hashLarge(file: Deno.FsFile, verifier: Verifier, onChunk: OnChunk): Promise<void> {
  const buffer = new Uint8Array(CHUNK_BYTES);
  for (let got = await file.read(buffer); got !== null; got = await file.read(buffer)) {
    verifier.update(buffer.subarray(0, got));
    await onChunk(got);
  }
}

function streamBytes(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      if (bytes.length > 0) controller.enqueue(bytes);
      controller.close();
    },
  }, { highWaterMark: 0 });
}
