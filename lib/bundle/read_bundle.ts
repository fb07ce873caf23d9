import { decompress } from "../archive/decompress.ts";
import { BLOCK_BYTES, isTarHead } from "../archive/tar_header.ts";
import { type TarEntry, TarReader } from "../archive/tar_reader.ts";
import type { BundleSource, ByteReader } from "../bytes/byte_reader.ts";
import type { KubePkg, PackagePart } from "../kubepkg/kubepkg.ts";
import { KUBEPKG_LIMITS, readKubePkgJson } from "../kubepkg/read_kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError, TooLargeError } from "../oci/error.ts";
import { parseJson } from "../oci/json.ts";
import { blobEntryName, ENTRY_NAME, parseBlobEntryName, parsePieceEntryName, pieceEntryName } from "./entry_names.ts";

/** A blob (or manifest) of a bundle, being read. Its bytes are not verified. */
export interface BundleBlob extends TarEntry {
  readonly digest: Digest;
  /** Set where it is a piece of the blob: the position of its first byte. Then `size` is that of the piece. */
  readonly start?: number;
}

/** How a bundle is read. */
export interface ReadBundleOptions {
  /** Names the file in errors. */
  readonly what?: string | undefined;
  /** Takes what is wrong with one entry, which is then passed over; without it the entry's error is thrown. */
  readonly onProblem?: (error: CorruptError) => void;
}

/** Most entries of a bundle that does not say what is in it. */
const MAX_ENTRIES = 100_000;
/** Most pieces of one blob in one part, which has one of a blob that is cut. */
const MAX_PIECES = 16;

/**
 * Opens a bundle and reads its first entry, `kubepkg.json`. The source is read only as far as it is asked for.
 *
 * @throws {CorruptError} when it is no bundle; the source is cancelled then
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
    if (first.size > KUBEPKG_LIMITS.maxBytes) {
      throw new TooLargeError(
        `Cannot read ${what}: "${ENTRY_NAME.kubepkg}" has ${first.size} bytes, ${KUBEPKG_LIMITS.maxBytes} are allowed`,
      );
    }
    const bytes = await first.readAll(KUBEPKG_LIMITS.maxBytes);
    const kubepkg = readKubePkgJson(bytes, `${ENTRY_NAME.kubepkg} of ${what}`);
    return new BundleReader(tar, kubepkg, { what, onProblem });
  } catch (error) {
    await tar.cancel(error);
    throw error;
  }
}

/**
 * The sizes in bytes of all that a package says it needs; `undefined` where it does not say it.
 *
 * @param what names the bundle in errors
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

/** A bundle of which `kubepkg.json` has been read. */
export class BundleReader {
  readonly kubepkg: KubePkg;
  /** What the package says it needs, and the sizes in bytes. */
  readonly declared: ReadonlyMap<Digest, number> | undefined;
  /** Set where the file is one part of several. */
  readonly part: PackagePart | undefined;
  /** Names the bundle in errors. */
  readonly what: string;
  /** Of a part: the names of its entries, and their sizes in bytes. */
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
   * The next blob; what is left of the one before is skipped. `undefined` at the end, when the whole file was found to be
   * well formed.
   *
   * @throws {CorruptError} also for what the package does not declare, twice the same, or another size
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
    const lacking = [...this.#carries?.keys() ?? []].find((name) => !this.#seen.has(name));
    if (lacking !== undefined) this.#report(this.#refuse(`it lacks ${lacking}, which it says it carries`));
    return undefined;
  }

  /** From now on all bytes are read, so that the file's check sum is looked at also where blobs are passed over. */
  readThrough(): void {
    this.#tar.readThrough();
  }

  /** Ends reading early. */
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
      // Nothing of it is needed, but a file that nobody could use is better found here.
      parseJson(await entry.readAll(KUBEPKG_LIMITS.maxBytes), `${name} of ${this.what}`, KUBEPKG_LIMITS);
      return undefined;
    }
    if (this.#carries !== undefined) return this.#checkCarried(entry);
    const digest = parseBlobEntryName(name);
    if (digest === undefined) throw this.#refuse(`it has ${JSON.stringify(name.slice(0, 200))}, which no bundle has`);
    if (this.declared === undefined) return { digest };
    const declared = this.declared.get(digest);
    if (declared === undefined) throw this.#refuse(`it has ${digest}, which ${ENTRY_NAME.kubepkg} does not name`);
    if (declared !== size) throw this.#refuse(`${digest} has ${size} bytes, ${ENTRY_NAME.kubepkg} says ${declared}`);
    return { digest };
  }

  #checkCarried({ name, size }: TarEntry): Pick<BundleBlob, "digest" | "start"> {
    const expected = this.#carries?.get(name);
    if (expected === undefined) {
      throw this.#refuse(`it has ${JSON.stringify(name.slice(0, 200))}, which it does not say it carries`);
    }
    if (expected !== size) throw this.#refuse(`${name} has ${size} bytes, ${ENTRY_NAME.kubepkg} says ${expected}`);
    return parsePieceEntryName(name) ?? { digest: parseBlobEntryName(name)! };
  }

  #listCarried({ carries }: PackagePart): Map<string, number> {
    for (const [digest, items] of Map.groupBy(carries, ({ digest }) => digest)) {
      if (items.length > MAX_PIECES) throw this.#refuse(`it says it carries ${items.length} pieces of ${digest}`);
    }
    return new Map(carries.map(({ digest, start, length }) => {
      const size = this.declared?.get(digest);
      if (size === undefined) {
        throw this.#refuse(`it says it carries ${digest}, which ${ENTRY_NAME.kubepkg} does not name`);
      }
      if (start === undefined || length === undefined) return [blobEntryName(digest), size];
      if (start + length > size) throw this.#refuse(`it says it carries more of ${digest} than its ${size} bytes`);
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
      ? `it is not a bundle (what is in the ${compression} is no tar)`
      : head.length === 0
      ? "it is empty"
      : "it is not a bundle (neither gzip, zstd nor tar)";
    throw new CorruptError(`Cannot read ${what}: ${reason}`);
  } catch (error) {
    await reader.cancel(error);
    throw error;
  }
}
