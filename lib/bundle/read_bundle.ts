import { type KubePkg, parseKubePkg } from "../kubepkg/kubepkg.ts";
import { KUBEPKG_LIMITS } from "../kubepkg/read_kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { parseJson } from "../oci/json.ts";
import { decompress } from "./decompress.ts";
import { ENTRY_NAME, parseBlobEntryName } from "./entry_name.ts";
import { type TarEntry, TarReader } from "./tar_reader.ts";

/** A blob (or manifest) of a bundle, being read. Its bytes are not verified. */
export interface BundleBlob extends TarEntry {
  readonly digest: Digest;
}

/** How a bundle is read. */
export interface ReadBundleOptions {
  /** Names the file in errors. */
  readonly what?: string;
  /** Takes what is wrong with one entry, which is then passed over; without it the entry's error is thrown. */
  readonly onProblem?: (error: CorruptError) => void;
}

/** Most entries of a bundle that does not say what is in it. */
const MAX_ENTRIES = 100_000;

/**
 * Opens a bundle and reads its first entry, `kubepkg.json`. The stream is read only as far as it is asked for.
 *
 * @throws {CorruptError} when it is no bundle; the stream is cancelled then
 */
export async function readBundle(
  stream: ReadableStream<Uint8Array>,
  options: ReadBundleOptions = {},
): Promise<BundleReader> {
  const tar = new TarReader(await decompress(stream, options.what ?? "the bundle"));
  try {
    const first = await tar.next();
    if (first?.name !== ENTRY_NAME.kubepkg) {
      const found = first === undefined
        ? "it has no files"
        : `its first entry is ${JSON.stringify(first.name.slice(0, 200))}`;
      throw new CorruptError(`Cannot use the bundle: ${found}, not ${ENTRY_NAME.kubepkg}`);
    }
    const json = parseJson(await first.readAll(KUBEPKG_LIMITS.maxBytes), ENTRY_NAME.kubepkg, KUBEPKG_LIMITS);
    return new BundleReader(tar, parseKubePkg(json, ENTRY_NAME.kubepkg), options.onProblem);
  } catch (error) {
    await tar.cancel(error);
    throw error;
  }
}

/** The sizes in bytes of all that a package says it needs; `undefined` where it does not say it. */
export function declaredSizes(kubepkg: KubePkg): Map<Digest, number> | undefined {
  const digests = kubepkg.status?.digests;
  if (digests === undefined || digests.length === 0) return undefined;
  const sizes = new Map<Digest, number>();
  for (const { digest, size } of digests) {
    if ((sizes.get(digest) ?? size) !== size) {
      throw new CorruptError(`Cannot use ${ENTRY_NAME.kubepkg}: status.digests has two sizes for ${digest}`);
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
  readonly #tar: TarReader;
  readonly #onProblem: ((error: CorruptError) => void) | undefined;
  readonly #seen = new Set<string>([ENTRY_NAME.kubepkg]);

  constructor(tar: TarReader, kubepkg: KubePkg, onProblem?: (error: CorruptError) => void) {
    this.#tar = tar;
    this.kubepkg = kubepkg;
    this.declared = declaredSizes(kubepkg);
    this.#onProblem = onProblem;
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
        const digest = await this.#check(entry);
        if (digest !== undefined) return { ...entry, digest };
      } catch (error) {
        if (this.#onProblem === undefined || !(error instanceof CorruptError)) throw error;
        this.#onProblem(error);
      }
    }
    return undefined;
  }

  /** Ends reading early. */
  async cancel(reason?: unknown): Promise<void> {
    await this.#tar.cancel(reason);
  }

  async #check(entry: TarEntry): Promise<Digest | undefined> {
    const { name, size } = entry;
    if (this.#seen.has(name)) throw refuse(`it has ${name} twice`);
    this.#seen.add(name);
    if (this.#seen.size > MAX_ENTRIES && this.declared === undefined) {
      throw refuse(`it has more than ${MAX_ENTRIES} entries`);
    }
    if (name === ENTRY_NAME.layout || name === ENTRY_NAME.index) {
      // Nothing of it is needed, but a file that nobody could use is better found here.
      parseJson(await entry.readAll(KUBEPKG_LIMITS.maxBytes), name, KUBEPKG_LIMITS);
      return undefined;
    }
    const digest = parseBlobEntryName(name);
    if (digest === undefined) throw refuse(`it has ${JSON.stringify(name.slice(0, 200))}, which no bundle has`);
    if (this.declared === undefined) return digest;
    const declared = this.declared.get(digest);
    if (declared === undefined) throw refuse(`it has ${digest}, which ${ENTRY_NAME.kubepkg} does not name`);
    if (declared !== size) throw refuse(`${digest} has ${size} bytes, ${ENTRY_NAME.kubepkg} says ${declared}`);
    return digest;
  }
}

function refuse(reason: string): CorruptError {
  return new CorruptError(`Cannot use the bundle: ${reason}`);
}
