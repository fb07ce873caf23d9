import { decompress } from "../archive/decompress.ts";
import { BLOCK_BYTES, isTarHead } from "../archive/tar_header.ts";
import { type TarEntry, TarReader } from "../archive/tar_reader.ts";
import type { BundleSource, ByteReader } from "../bytes/byte_reader.ts";
import type { KubePkg, PackagePart } from "../kubepkg/kubepkg.ts";
import { PACKED_LIMITS, readKubePkgJson } from "../kubepkg/read_kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError, TooLargeError } from "../oci/error.ts";
import { parseJson } from "../oci/json.ts";
import { blobEntryName, ENTRY_NAME, parseBlobEntryName, parsePieceEntryName, pieceEntryName } from "./entry_names.ts";

/** A blob or manifest of a bundle, open for reading. Its bytes are not verified. */
export interface BundleBlob extends TarEntry {
  readonly digest: Digest;
  /** Set for a piece of a blob: the position of its first byte. `size` is then the size of the piece. */
  readonly start?: number;
}

/** Options for reading a bundle. */
export interface ReadBundleOptions {
  /** Name of the file in errors. */
  readonly what?: string | undefined;
  /** Receives the error of an invalid entry, which is then skipped. Without it the error is thrown. */
  readonly onProblem?: (error: CorruptError) => void;
}

/** Most entries of a bundle that does not declare its content. */
const MAX_ENTRIES = 100_000;
/** Most pieces of one blob in one part. A part that crpe packed has one. */
const MAX_PIECES = 16;

/**
 * Opens a bundle and reads its first entry, `kubepkg.json`. The rest of the source is read on demand.
 *
 * @throws {CorruptError} when the file is not a bundle. The source is then cancelled
 */
export async function readBundle(
  source: BundleSource,
  { what = "the bundle", onProblem }: ReadBundleOptions = {},
): Promise<BundleReader> {
  const tar = new TarReader(await openTar(source, what), what);
  try {
    const first = await tar.next();
    if (first?.name !== ENTRY_NAME.kubepkg) {
      const found = first === undefined
        ? "it has no files"
        : `its first entry is ${JSON.stringify(first.name.slice(0, 200))}`;
      throw new CorruptError(`Cannot use ${what}: ${found}, not ${ENTRY_NAME.kubepkg}`);
    }
    if (first.size > PACKED_LIMITS.maxBytes) {
      throw new TooLargeError(
        `Cannot read ${what}: "${ENTRY_NAME.kubepkg}" has ${first.size} bytes, ${PACKED_LIMITS.maxBytes} are allowed`,
      );
    }
    const bytes = await first.readAll(PACKED_LIMITS.maxBytes);
    const kubepkg = readKubePkgJson(bytes, `${ENTRY_NAME.kubepkg} of ${what}`);
    return new BundleReader(tar, kubepkg, { what, onProblem });
  } catch (error) {
    await tar.cancel(error);
    throw error;
  }
}

/**
 * Returns the digests that a package declares in `status.digests`, with their sizes in bytes; `undefined` when it declares
 * none.
 *
 * @param what name of the bundle in errors
 * @throws {CorruptError} when a digest is declared with two sizes
 */
export function declaredSizes(kubepkg: KubePkg, what = "the bundle"): Map<Digest, number> | undefined {
  const digests = kubepkg.status?.digests;
  if (digests === undefined || digests.length === 0) return undefined;
  const sizes = new Map<Digest, number>();
  for (const { digest, size } of digests) {
    if ((sizes.get(digest) ?? size) !== size) {
      throw new CorruptError(`Cannot use ${ENTRY_NAME.kubepkg} of ${what}: status.digests has two sizes for ${digest}`);
    }
    sizes.set(digest, size);
  }
  return sizes;
}

/** A bundle after its `kubepkg.json` was read. */
export class BundleReader {
  readonly kubepkg: KubePkg;
  /** The digests that the package declares, with their sizes in bytes. */
  readonly declared: ReadonlyMap<Digest, number> | undefined;
  /** Set for a part of a split bundle. */
  readonly part: PackagePart | undefined;
  /** Name of the bundle in errors. */
  readonly what: string;
  /** The entry names that a part declares, with their sizes in bytes. */
  readonly #carries: ReadonlyMap<string, number> | undefined;
  readonly #tar: TarReader;
  readonly #onProblem: ((error: CorruptError) => void) | undefined;
  readonly #seen = new Set<string>([ENTRY_NAME.kubepkg]);

  constructor(tar: TarReader, kubepkg: KubePkg, { what = "the bundle", onProblem }: ReadBundleOptions = {}) {
    this.#tar = tar;
    this.kubepkg = kubepkg;
    this.what = what;
    this.declared = declaredSizes(kubepkg, what);
    this.part = kubepkg.status?.part;
    this.#onProblem = onProblem;
    this.#carries = this.part && this.#listCarried(this.part);
  }

  /**
   * Opens the next blob, and skips the rest of the previous one. Returns `undefined` at the end, once the whole file is
   * known to be well-formed.
   *
   * @throws {CorruptError} when the file is damaged, or an entry is undeclared, a duplicate, or of the wrong size
   */
  async next(): Promise<BundleBlob | undefined> {
    for (let entry = await this.#tar.next(); entry !== undefined; entry = await this.#tar.next()) {
      try {
        const blob = await this.#check(entry);
        if (blob !== undefined) return { ...entry, ...blob };
      } catch (error) {
        this.#report(error);
      }
    }
    const missing = [...this.#carries?.keys() ?? []].find((name) => !this.#seen.has(name));
    if (missing !== undefined) {
      this.#report(this.#refuse(`it does not contain ${missing}, which its ${ENTRY_NAME.kubepkg} lists`));
    }
    return undefined;
  }

  /** From now on reads all bytes, so that the file's checksum is verified even when blobs are skipped. */
  readThrough(): void {
    this.#tar.readThrough();
  }

  /** Stops reading early, and cancels the source. */
  async cancel(reason?: unknown): Promise<void> {
    await this.#tar.cancel(reason);
  }

  async #check(entry: TarEntry): Promise<Pick<BundleBlob, "digest" | "start"> | undefined> {
    const { name, size } = entry;
    if (this.#seen.has(name)) throw this.#refuse(`it has ${name} twice`);
    this.#seen.add(name);
    if (this.#seen.size > MAX_ENTRIES && this.declared === undefined) {
      throw this.#refuse(`it has more than ${MAX_ENTRIES} entries`);
    }
    if (name === ENTRY_NAME.layout || name === ENTRY_NAME.index) {
      // The content is not used, but other tools need it to be valid. Reporting an error here is better than there.
      parseJson(await entry.readAll(PACKED_LIMITS.maxBytes), `${name} of ${this.what}`, PACKED_LIMITS);
      return undefined;
    }
    if (this.#carries !== undefined) return this.#checkCarried(entry);
    const digest = parseBlobEntryName(name);
    if (digest === undefined) {
      throw this.#refuse(`it has ${JSON.stringify(name.slice(0, 200))}, which does not belong in a bundle`);
    }
    if (this.declared === undefined) return { digest };
    const declared = this.declared.get(digest);
    if (declared === undefined) throw this.#refuse(`it has ${digest}, which ${ENTRY_NAME.kubepkg} does not list`);
    if (declared !== size) throw this.#refuse(`${digest} has ${size} bytes, ${ENTRY_NAME.kubepkg} says ${declared}`);
    return { digest };
  }

  #checkCarried({ name, size }: TarEntry): Pick<BundleBlob, "digest" | "start"> {
    const expected = this.#carries?.get(name);
    if (expected === undefined) {
      throw this.#refuse(
        `it has ${JSON.stringify(name.slice(0, 200))}, which its ${ENTRY_NAME.kubepkg} does not list for this part`,
      );
    }
    if (expected !== size) throw this.#refuse(`${name} has ${size} bytes, ${ENTRY_NAME.kubepkg} says ${expected}`);
    return parsePieceEntryName(name) ?? { digest: parseBlobEntryName(name)! };
  }

  #listCarried({ carries }: PackagePart): Map<string, number> {
    for (const [digest, items] of Map.groupBy(carries, ({ digest }) => digest)) {
      if (items.length > MAX_PIECES) {
        throw this.#refuse(`its status.part lists ${items.length} pieces of ${digest}, ${MAX_PIECES} are allowed`);
      }
    }
    return new Map(carries.map(({ digest, start, length }) => {
      const size = this.declared?.get(digest);
      if (size === undefined) {
        throw this.#refuse(`its status.part lists ${digest}, which status.digests does not`);
      }
      if (start === undefined || length === undefined) return [blobEntryName(digest), size];
      if (start + length > size) {
        throw this.#refuse(`its status.part lists more of ${digest} than its ${size} bytes`);
      }
      return [pieceEntryName({ digest, start }), length];
    }));
  }

  #report(error: unknown): void {
    if (this.#onProblem === undefined || !(error instanceof CorruptError)) throw error;
    this.#onProblem(error);
  }

  #refuse(reason: string): CorruptError {
    return new CorruptError(`Cannot use ${this.what}: ${reason}`);
  }
}

async function openTar(source: BundleSource, what: string): Promise<ByteReader> {
  const { compression, reader } = await decompress(source, what);
  try {
    const head = await reader.peek(BLOCK_BYTES);
    if (isTarHead(head)) return reader;
    const reason = compression !== "none"
      ? `it is not a bundle (the ${compression} data is not a tar)`
      : head.length === 0
      ? "it is empty"
      : "it is not a bundle (neither gzip, zstd nor tar)";
    throw new CorruptError(`Cannot read ${what}: ${reason}`);
  } catch (error) {
    await reader.cancel(error);
    throw error;
  }
}
