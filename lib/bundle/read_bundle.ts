import { type TarEntry, TarReader } from "../archive/tar_reader.ts";
import type { BundleSource } from "../bytes/byte_reader.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import type { StatusDelta } from "../kubepkg/kubepkg.ts";
import { PACKED_LIMITS } from "../kubepkg/read_kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError, TooLargeError } from "../oci/error.ts";
import { parseJson } from "../oci/json.ts";
import { MAX_SIGNATURE_FILE } from "../signature/signature_lines.ts";
import { BundleDocument } from "./bundle_document.ts";
import { entrySizes } from "./declared_deltas.ts";
import { explainOther, notABundle } from "./other_archive.ts";
import { openBundleTar } from "./open_bundle_tar.ts";
import { hashEntry } from "./hash_entry.ts";
import { ENTRY_NAME, parseBlobEntryName, parseDeltaEntryName, parsePieceEntryName } from "./entry_names.ts";
import { listCarried } from "./list_carried.ts";

/** A blob or manifest of a bundle, open for reading. Its bytes are not verified. */
export interface BundleBlob extends TarEntry {
  readonly digest: Digest;
  /** Set for a piece of a blob: the position of its first byte. `size` is then the size of the piece. */
  readonly start?: number;
  /** Set for a delta, or a piece of one. `digest` and `size` are then those of the delta itself, or of the piece. */
  readonly delta?: StatusDelta;
}

/** Options for reading a bundle. */
interface ReadBundleOptions {
  /** Name of the file in errors. */
  readonly what?: string | undefined;
  /** Receives the error of an invalid entry, which is then skipped. Without it the error is thrown. */
  readonly onProblem?: ((error: CorruptError) => void) | undefined;
}

interface BundleReaderOptions extends Pick<ReadBundleOptions, "onProblem"> {
  readonly what: string;
  /** Whether the file has the extra field of a bundle that crpe packed. */
  readonly isSealed: boolean;
}

/** Most entries of a bundle that does not declare its content. */
const MAX_ENTRIES = 100_000;
/** How often a blob may occur in a bundle of another tool that does not declare its content. */
const MAX_REPEATS = 1000;
/** The documents of an image layout, and the one for docker. They are not used. */
const DOCUMENTS: ReadonlySet<string> = new Set([ENTRY_NAME.layout, ENTRY_NAME.index, ENTRY_NAME.docker]);

/**
 * Opens a bundle and reads its first entry, `kubepkg.json`. The rest of the source is read on demand.
 *
 * @throws {CorruptError} when the file is an archive of another kind
 * @throws {CorruptError} when the file is not a bundle. The source is then cancelled
 */
export async function readBundle(
  source: BundleSource,
  { what = "the bundle", onProblem }: ReadBundleOptions = {},
): Promise<BundleReader> {
  const { reader, isSealed } = await openBundleTar(source, what);
  let first: TarEntry | undefined;
  const tar = new TarReader(reader, what, {
    onLink: (name) => {
      // The first entry of a docker save archive may be a link.
      if (first === undefined) throw notABundle(name, what);
      return false;
    },
  });
  try {
    first = await tar.next();
    if (first?.name !== ENTRY_NAME.kubepkg) throw await explainOther(tar, first, { source, what });
    if (first.size > PACKED_LIMITS.maxBytes) {
      throw new TooLargeError(
        cannot(
          `read ${what}`,
          `"${ENTRY_NAME.kubepkg}" has ${first.size} bytes, ${PACKED_LIMITS.maxBytes} are allowed`,
        ),
      );
    }
    const bytes = await first.readAll(PACKED_LIMITS.maxBytes);
    return new BundleReader(tar, bytes, { what, onProblem, isSealed });
  } catch (error) {
    await tar.cancel(error);
    throw error;
  }
}

/**
 * A bundle after its `kubepkg.json` was read.
 *
 * A bundle that crpe packed has each entry once, and no others. Tools of the earlier generation write a blob once for each
 * line of `status.digests`, so that a blob of two images is in the tar twice; `index.json` and `oci-layout` once for each
 * package; and a `manifest.json` for docker. Such files are read too: a repeated blob is verified and skipped.
 */
export class BundleReader extends BundleDocument {
  /** The entry names that a part declares, with their sizes in bytes. */
  readonly #carries: ReadonlyMap<string, number> | undefined;
  readonly #tar: TarReader;
  readonly #options: BundleReaderOptions;
  /** How often each entry occurred. */
  readonly #seen = new Map<string, number>([[ENTRY_NAME.kubepkg, 1]]);
  /** How often each digest may occur. */
  readonly #lines = new Map<Digest, number>();
  #entries = 1;
  /** The entry behind `kubepkg.json`, once it was opened: its signatures, or the first of the others. */
  #second: { readonly signatures?: string; readonly entry?: TarEntry | undefined } | undefined;

  /** @param document the bytes of `kubepkg.json` */
  constructor(tar: TarReader, document: Uint8Array, options: BundleReaderOptions) {
    super(document, options.what);
    this.#tar = tar;
    this.#options = options;
    const carriable = entrySizes(this.declared, this.deltas);
    this.#carries = this.part && listCarried(this.part, carriable, (reason) => this.refuse(reason));
    for (const { digest } of this.packages.flatMap(({ status }) => status?.digests ?? [])) {
      this.#lines.set(digest, (this.#lines.get(digest) ?? 0) + 1);
    }
  }

  /**
   * Opens the next blob, and skips the rest of the previous one. Returns `undefined` at the end, once the whole file is
   * known to be well-formed.
   *
   * @throws {CorruptError} when the file is damaged, or an entry is undeclared, a duplicate, or of the wrong size
   */
  async next(): Promise<BundleBlob | undefined> {
    for (let entry = await this.#nextEntry(); entry !== undefined; entry = await this.#nextEntry()) {
      try {
        const blob = await this.#check(entry);
        if (blob !== undefined) return { ...entry, ...blob };
      } catch (error) {
        this.#report(error);
      }
    }
    const missing = [...this.#carries?.keys() ?? []].find((name) => !this.#seen.has(name));
    if (missing !== undefined) {
      this.#report(this.refuse(`it does not contain ${missing}, which its ${ENTRY_NAME.kubepkg} lists`));
    }
    return undefined;
  }

  /**
   * Reads the text of `kubepkg.json.sig`, the entry behind `kubepkg.json`. Must be called before `next`.
   *
   * @returns `undefined` if the bundle is not signed
   * @throws {CorruptError} when the entry is larger than allowed
   */
  override async readSignatures(): Promise<string | undefined> {
    this.#second ??= await this.#openSecond();
    return this.#second.signatures;
  }

  async #openSecond(): Promise<{ signatures?: string; entry?: TarEntry | undefined }> {
    const entry = await this.#tar.next();
    if (entry?.name !== ENTRY_NAME.signatures) return { entry };
    this.#seen.set(entry.name, 1);
    if (entry.size > MAX_SIGNATURE_FILE) {
      throw this.refuse(`${entry.name} has ${entry.size} bytes, ${MAX_SIGNATURE_FILE} are allowed`);
    }
    return { signatures: new TextDecoder().decode(await entry.readAll(MAX_SIGNATURE_FILE)) };
  }

  async #nextEntry(): Promise<TarEntry | undefined> {
    await this.readSignatures();
    const entry = this.#second?.entry;
    this.#second = { ...this.#second, entry: undefined };
    return entry ?? await this.#tar.next();
  }

  /** From now on reads all bytes, so that the file's checksum is verified even when blobs are skipped. */
  readThrough(): void {
    this.#tar.readThrough();
  }

  /** Stops reading early, and cancels the source. */
  async cancel(reason?: unknown): Promise<void> {
    await this.#tar.cancel(reason);
  }

  async #check(entry: TarEntry): Promise<Pick<BundleBlob, "digest" | "start" | "delta"> | undefined> {
    const { name } = entry;
    const times = (this.#seen.get(name) ?? 0) + 1;
    this.#seen.set(name, times);
    if (++this.#entries > MAX_ENTRIES && this.declared === undefined) {
      throw this.refuse(`it has more than ${MAX_ENTRIES} entries`);
    }
    if (times > 1) return await this.#checkRepeated(entry, times);
    if (this.#isDocument(name)) return await this.#checkDocument(entry);
    if (this.#carries !== undefined) return this.#checkCarried(entry);
    const layer = parseDeltaEntryName(name);
    if (layer !== undefined) return this.#checkDelta(entry, layer);
    const digest = parseBlobEntryName(name);
    if (digest === undefined) {
      throw this.refuse(`it has ${JSON.stringify(name.slice(0, 200))}, which does not belong in a bundle`);
    }
    this.#checkSize(digest, entry.size);
    return { digest };
  }

  #checkSize(digest: Digest, size: number): void {
    if (this.declared === undefined) return;
    const declared = this.declared.get(digest);
    if (declared === undefined) throw this.refuse(`it has ${digest}, which ${ENTRY_NAME.kubepkg} does not list`);
    if (declared !== size) throw this.refuse(`${digest} has ${size} bytes, ${ENTRY_NAME.kubepkg} says ${declared}`);
  }

  #checkDelta({ name, size }: TarEntry, layer: Digest): Pick<BundleBlob, "digest" | "delta"> {
    const delta = this.deltas.get(layer);
    if (delta === undefined) throw this.refuse(`it has ${name}, which ${ENTRY_NAME.kubepkg} does not list`);
    if (delta.size !== size) throw this.refuse(`${name} has ${size} bytes, ${ENTRY_NAME.kubepkg} says ${delta.size}`);
    return { digest: delta.delta, delta };
  }

  // Only files of other tools have an entry more than once.
  async #checkRepeated(entry: TarEntry, times: number): Promise<undefined> {
    const { name, size } = entry;
    const digest = parseBlobEntryName(name);
    const allowed = this.#isStrict
      ? 1
      : digest !== undefined
      ? this.declared === undefined ? MAX_REPEATS : this.#lines.get(digest) ?? 1
      : this.#isDocument(name)
      ? this.packages.length
      : 1;
    if (times > allowed) throw this.refuse(`it has ${name} twice`);
    if (digest === undefined) return await this.#checkDocument(entry);
    this.#checkSize(digest, size);
    await hashEntry(entry, digest).catch((error) => {
      if (!(error instanceof DigestMismatchError)) throw error;
      throw this.refuse(`it has ${name} twice, with different bytes`);
    });
  }

  // The content is not used, but other tools need it to be valid. Reporting an error here is better than there.
  async #checkDocument(entry: TarEntry): Promise<undefined> {
    parseJson(await entry.readAll(PACKED_LIMITS.maxBytes), `${entry.name} of ${this.what}`, PACKED_LIMITS);
  }

  #isDocument(name: string): boolean {
    return DOCUMENTS.has(name) || !this.#isStrict && name === "repositories";
  }

  get #isStrict(): boolean {
    return this.#options.isSealed || this.part !== undefined;
  }

  #checkCarried({ name, size }: TarEntry): Pick<BundleBlob, "digest" | "start" | "delta"> {
    const expected = this.#carries?.get(name);
    if (expected === undefined) {
      throw this.refuse(
        `it has ${JSON.stringify(name.slice(0, 200))}, which its ${ENTRY_NAME.kubepkg} does not list for this part`,
      );
    }
    if (expected !== size) throw this.refuse(`${name} has ${size} bytes, ${ENTRY_NAME.kubepkg} says ${expected}`);
    const carried = parsePieceEntryName(name) ?? { digest: parseBlobEntryName(name)! };
    const delta = this.deltasByDigest.get(carried.digest);
    return { ...carried, delta };
  }

  #report(error: unknown): void {
    const { onProblem } = this.#options;
    if (onProblem === undefined || !(error instanceof CorruptError)) throw error;
    onProblem(error);
  }
}
