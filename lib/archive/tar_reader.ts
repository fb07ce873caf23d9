import type { ByteReader } from "../bytes/byte_reader.ts";
import { cannot, CorruptError, TruncatedError } from "../oci/error.ts";
import { BLOCK_BYTES, decodeText, paddedSize, parsePaxRecords, parseTarHeader, type TarHeader } from "./tar_header.ts";

/** Largest extended header or long name, in bytes. */
const MAX_EXTENSION_BYTES = 64 * 1024;
/** Most headers of entries other than files: a small compressed file must not keep the reader busy forever. */
const MAX_OTHER_HEADERS = 10_000;
/** Most zero bytes after the end: tar programs pad their last record. */
const MAX_PADDING_BYTES = 1024 * 1024;

/** Options of a `TarReader`. */
interface TarReaderOptions {
  /** Receives the name and the target of each symbolic link. @returns whether it is passed over. Default: none is */
  readonly onLink?: (name: string, target: string) => boolean;
  /** Receives the name of each folder, link and device, before it is passed over or refused. */
  readonly onOther?: (name: string) => void;
}

/** A regular file in a tar, open for reading. */
export interface TarEntry {
  /** Relative, without a leading `./`, and without `..` segments. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** Returns 1 to `max` bytes; `undefined` at the end of the entry. */
  read(max: number): Promise<Uint8Array | undefined>;
  /** Skips up to `length` bytes of the entry, without reading them where the input allows it. */
  skip(length: number): Promise<void>;
  /** As `ByteSource.giveUpChunks`, while the entry is read piece by piece. */
  giveUpChunks?(isOn: boolean): void;
  /** Returns the rest of the entry. @throws {CorruptError} when the entry has more than `limit` bytes */
  readAll(limit: number): Promise<Uint8Array>;
}

/**
 * Reads the regular files of a tar in order: ustar, with the pax and GNU extensions for long names and large files. The
 * input is untrusted, so the reader is strict: it refuses hard links, symbolic ones unless `onLink` takes them, devices,
 * sparse files, and names that leave the folder.
 */
export class TarReader {
  readonly #input: ByteReader;
  readonly #what: string;
  #left = 0;
  #padding = 0;
  /** Number of the open entry: reads of earlier entries return nothing. */
  #openEntry = 0;
  #otherHeaders = 0;
  #isEnded = false;
  readonly #onLink: TarReaderOptions["onLink"];
  readonly #onOther: TarReaderOptions["onOther"];

  /** @param what name of the tar in errors */
  constructor(input: ByteReader, what = "the tar", { onLink, onOther }: TarReaderOptions = {}) {
    this.#input = input;
    this.#what = what;
    this.#onLink = onLink;
    this.#onOther = onOther;
  }

  /**
   * Opens the next file, and skips the rest of the previous one. Returns `undefined` after the last file, once the end is
   * verified and the input is read to its end.
   *
   * @throws {CorruptError} when the tar is malformed, cut off, or has an entry that is refused
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

  /** From now on reads all bytes, so that a checksum over them can be verified. */
  readThrough(): void {
    this.#input.readThrough();
  }

  /** Stops reading early, and cancels the input. */
  async cancel(reason?: unknown): Promise<void> {
    this.#isEnded = true;
    await this.#input.cancel(reason);
  }

  async #readOther(header: TarHeader, overrides: { name?: string; size?: number }): Promise<undefined> {
    if (++this.#otherHeaders > MAX_OTHER_HEADERS) {
      throw this.#refuse(`it has more than ${MAX_OTHER_HEADERS} other headers`);
    }
    const { name, type } = header;
    if (!EXTENSION_TYPES.includes(type)) this.#onOther?.(bareName(overrides.name ?? name));
    switch (type) {
      case "5":
        // Other tar programs write entries for folders. They are ignored, but their names must be valid too.
        this.#checkName((overrides.name ?? name).replace(/(?<=.)\/+$/, ""));
        delete overrides.name;
        delete overrides.size;
        if (header.size !== 0) throw this.#refuse(`the folder ${quote(name)} has a size`);
        return undefined;
      case "2":
        if (header.size !== 0 || !this.#onLink?.(this.#checkName(overrides.name ?? name), header.linkName ?? "")) {
          throw this.#refuse(`${quote(overrides.name ?? name)} is a symbolic link, not a file`);
        }
        delete overrides.name;
        delete overrides.size;
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
    const number = ++this.#openEntry;
    const read = async (max: number) => {
      if (number !== this.#openEntry || this.#left === 0) return undefined;
      const piece = await this.#input.read(Math.min(max, this.#left));
      if (piece === undefined) {
        throw new TruncatedError(cannot(`read ${this.#what}`, `it is cut off inside ${quote(name)}`));
      }
      this.#left -= piece.length;
      return piece;
    };
    const skip = async (length: number) => {
      if (number !== this.#openEntry) return;
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
    const giveUpChunks = (isOn: boolean) => this.#input.giveUpChunks(isOn);
    return { name: this.#checkName(name), size, read, skip, giveUpChunks, readAll };
  }

  // POSIX: a tar ends with two blocks of zeros. Without the second, a tar cut off at a block boundary would look complete.
  async #readEnd(): Promise<void> {
    this.#isEnded = true;
    if (parseTarHeader(await this.#input.readExactly(BLOCK_BYTES), this.#what) !== undefined) {
      throw this.#refuse("it continues after a single block of zeros");
    }
    let padding = 0;
    for (let piece = await this.#input.read(MAX_PADDING_BYTES); piece !== undefined;) {
      padding += piece.length;
      if (padding > MAX_PADDING_BYTES || piece.some((byte) => byte !== 0)) {
        throw this.#refuse("data follows its end");
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
      throw this.#refuse("the size in an extended header is not a valid number");
    }
    overrides.size = Number(size);
  }

  #checkName(name: string): string {
    const bare = bareName(name);
    if (bare === ".") return bare;
    const isBad = /[\0\\]/.test(bare) || bare.split("/").some((part) => part === "" || part === "." || part === "..");
    if (isBad) throw this.#refuse(`the name ${quote(name)} is not allowed`);
    return bare;
  }

  #refuse(reason: string): CorruptError {
    return new CorruptError(cannot(`read ${this.#what}`, reason));
  }
}

// Headers that describe the next one, or all that follow.
const EXTENSION_TYPES = "LKxg";
const NAME_OF_TYPE: Readonly<Record<string, string>> = {
  "1": "a hard link",
  "3": "a character device",
  "4": "a block device",
  "6": "a FIFO",
  "K": "a long link",
  "S": "a sparse file",
};

function bareName(name: string): string {
  return name.replace(/^(?:\.\/)+/, "");
}

// GNU's sparse formats 0.x and 1.0 in a pax header: the entry looks like a regular file.
function hasSparse(records: ReadonlyMap<string, string>): boolean {
  return [...records.keys()].some((key) => key.startsWith("GNU.sparse."));
}

function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
