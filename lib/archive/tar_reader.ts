import type { ByteReader } from "../bytes/byte_reader.ts";
import { CorruptError, TruncatedError } from "../oci/error.ts";
import { BLOCK_BYTES, decodeText, paddedSize, parsePaxRecords, parseTarHeader, type TarHeader } from "./tar_header.ts";

/** Largest extended header or long name, in bytes. */
const MAX_EXTENSION_BYTES = 64 * 1024;
/** Most headers that are not a file's, so that a small file cannot keep a reader busy for ever. */
const MAX_OTHER_HEADERS = 10_000;
/** Most zero bytes behind the end: tar programs fill up their last record. */
const MAX_PADDING_BYTES = 1024 * 1024;

/** A regular file in a tar, being read. */
export interface TarEntry {
  /** Without a leading `./`; relative, and nothing in it leads out of the folder. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** Up to `max` bytes, at least one; `undefined` at the end of the entry. What is not read is skipped. */
  read(max: number): Promise<Uint8Array | undefined>;
  /** Passes over bytes, which need not be read; at most those that are left. */
  skip(length: number): Promise<void>;
  /** All that was not read yet. @throws {CorruptError} when the entry has more than `limit` bytes */
  readAll(limit: number): Promise<Uint8Array>;
}

/**
 * Reads the regular files of a tar in their order: ustar, with pax and GNU extensions for long names and large files.
 * Strict, since it comes from a stranger: links, devices and sparse files are refused, names that lead elsewhere too.
 */
export class TarReader {
  readonly #input: ByteReader;
  readonly #what: string;
  #left = 0;
  #padding = 0;
  /** Which entry is open, so that an earlier one gives nothing any more. */
  #turn = 0;
  #otherHeaders = 0;
  #isEnded = false;

  /** @param what names the tar in errors */
  constructor(input: ByteReader, what = "the tar") {
    this.#input = input;
    this.#what = what;
  }

  /**
   * The next file; what is left of the one before is skipped. `undefined` after the last, when the end was found to be
   * right and the input was read to its end.
   *
   * @throws {CorruptError}
   */
  async next(): Promise<TarEntry | undefined> {
    if (this.#isEnded) return undefined;
    await this.#input.skip(this.#left + this.#padding);
    this.#left = 0;
    this.#padding = 0;
    const overrides: { name?: string; size?: number } = {};
    for (;;) {
      const header = parseTarHeader(await this.#input.readExactly(BLOCK_BYTES), this.#what);
      if (header === undefined) {
        if (overrides.name !== undefined || overrides.size !== undefined) {
          throw this.#refuse("it ends after an extended header");
        }
        await this.#readEnd();
        return undefined;
      }
      const entry = header.type === "0" ? header : await this.#readOther(header, overrides);
      if (entry !== undefined) return this.#open({ ...entry, ...overrides });
    }
  }

  /** From now on all bytes are read, so that a check sum over them can be told. */
  readThrough(): void {
    this.#input.readThrough();
  }

  /** Ends reading early. */
  async cancel(reason?: unknown): Promise<void> {
    this.#isEnded = true;
    await this.#input.cancel(reason);
  }

  async #readOther(header: TarHeader, overrides: { name?: string; size?: number }): Promise<undefined> {
    if (++this.#otherHeaders > MAX_OTHER_HEADERS) {
      throw this.#refuse(`it has more than ${MAX_OTHER_HEADERS} other headers`);
    }
    const { name, type } = header;
    switch (type) {
      case "5":
        // Other programs list the folders. There is nothing to do for one, but its name must be good all the same.
        this.#checkName((overrides.name ?? name).replace(/(?<=.)\/+$/, ""));
        delete overrides.name;
        delete overrides.size;
        if (header.size !== 0) throw this.#refuse(`the folder ${quote(name)} has a size`);
        return undefined;
      case "L":
        overrides.name = decodeText(await this.#readExtension(header), "long name", this.#what).replace(/\0+$/, "");
        return undefined;
      case "x":
        this.#readPax(parsePaxRecords(await this.#readExtension(header), this.#what), overrides);
        return undefined;
      case "g": {
        const records = parsePaxRecords(await this.#readExtension(header), this.#what);
        if (records.has("path") || records.has("size") || hasSparse(records)) {
          throw this.#refuse("a global header sets the names or sizes of all entries");
        }
        return undefined;
      }
      default:
        throw this.#refuse(
          `${quote(name)} is ${NAME_OF_TYPE[type] ?? `of an unknown type (${quote(type)})`}, not a file`,
        );
    }
  }

  async #readExtension({ size }: TarHeader): Promise<Uint8Array> {
    if (size > MAX_EXTENSION_BYTES) {
      throw this.#refuse(`an extended header claims ${size} bytes, ${MAX_EXTENSION_BYTES} are allowed`);
    }
    const padded = await this.#input.readExactly(paddedSize(size));
    return padded.subarray(0, size);
  }

  #open({ name, size }: { name: string; size: number }): TarEntry {
    this.#left = size;
    this.#padding = paddedSize(size) - size;
    const turn = ++this.#turn;
    const read = async (max: number) => {
      if (turn !== this.#turn || this.#left === 0) return undefined;
      const piece = await this.#input.read(Math.min(max, this.#left));
      if (piece === undefined) {
        throw new TruncatedError(`Cannot read ${this.#what}: it ends in the middle of ${quote(name)}`);
      }
      this.#left -= piece.length;
      return piece;
    };
    const skip = async (length: number) => {
      if (turn !== this.#turn) return;
      const count = Math.min(length, this.#left);
      this.#left -= count;
      await this.#input.skip(count);
    };
    const readAll = async (limit: number) => {
      if (size > limit) throw this.#refuse(`${quote(name)} has ${size} bytes, ${limit} are allowed`);
      const left = this.#left;
      this.#left = 0;
      return await this.#input.readExactly(left);
    };
    return { name: this.#checkName(name), size, read, skip, readAll };
  }

  // POSIX: two blocks of zeros. Without the second one a tar that was cut off at a block's border would look whole.
  async #readEnd(): Promise<void> {
    this.#isEnded = true;
    if (parseTarHeader(await this.#input.readExactly(BLOCK_BYTES), this.#what) !== undefined) {
      throw this.#refuse("a single block of zeros is in the middle of it");
    }
    let padding = 0;
    for (let piece = await this.#input.read(MAX_PADDING_BYTES); piece !== undefined;) {
      padding += piece.length;
      if (padding > MAX_PADDING_BYTES || piece.some((byte) => byte !== 0)) {
        throw this.#refuse("there is something behind its end");
      }
      piece = await this.#input.read(MAX_PADDING_BYTES);
    }
  }

  #readPax(records: ReadonlyMap<string, string>, overrides: { name?: string; size?: number }): void {
    if (hasSparse(records)) throw this.#refuse("it has a sparse file");
    const path = records.get("path");
    if (path !== undefined) overrides.name = path;
    const size = records.get("size");
    if (size === undefined) return;
    if (!/^[0-9]{1,16}$/.test(size) || !Number.isSafeInteger(Number(size))) {
      throw this.#refuse("an extended header's size is none");
    }
    overrides.size = Number(size);
  }

  #checkName(name: string): string {
    const bare = name.replace(/^(?:\.\/)+/, "");
    if (bare === ".") return bare;
    const isBad = /[\0\\]/.test(bare) || bare.split("/").some((part) => part === "" || part === "." || part === "..");
    if (isBad) throw this.#refuse(`the name ${quote(name)} is not allowed`);
    return bare;
  }

  #refuse(reason: string): CorruptError {
    return new CorruptError(`Cannot read ${this.#what}: ${reason}`);
  }
}

const NAME_OF_TYPE: Readonly<Record<string, string>> = {
  "1": "a hard link",
  "2": "a symbolic link",
  "3": "a character device",
  "4": "a block device",
  "6": "a FIFO",
  "K": "a long link",
  "S": "a sparse file",
};

// GNU's sparse formats 0.x and 1.0 in pax dress: the entry looks like a regular file.
function hasSparse(records: ReadonlyMap<string, string>): boolean {
  return [...records.keys()].some((key) => key.startsWith("GNU.sparse."));
}

function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
