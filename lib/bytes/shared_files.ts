import { ChunkBudget, type CountedChunk } from "./chunk_budget.ts";
import { CHUNK_BYTES } from "./file_stream.ts";
import { LentMemory } from "./lent_chunks.ts";
import { cannot, CrpeError } from "../oci/error.ts";

/** The file handle that `SharedFiles` reads from: a `Deno.FsFile`. */
export interface FileHandle {
  stat(): Promise<Pick<Deno.FileInfo, "dev" | "ino">>;
  read(buffer: Uint8Array): Promise<number | null>;
  seekSync(offset: number, whence: Deno.SeekMode): number;
  close(): void;
}

/** A chunk of a file that is kept. Its bytes are never written to again. */
interface Chunk extends CountedChunk {
  readonly memory: LentMemory;
}

// The server holds about this many chunks of a response until the client has read them.
const UNSENT_CHUNKS = 4;

/**
 * Files that any number of readers read at the same time. The readers of one file share its handle and the chunks that
 * were read last: a chunk is read from the disk once for readers that are close to each other. The chunks of a file
 * with one reader are not kept.
 */
export class SharedFiles {
  /** The memory that the readers share. */
  readonly budget: ChunkBudget;
  readonly #files = new Map<string, SharedFile>();
  /** The kept chunks of all files with the function that drops them, the least recently used first. */
  readonly #kept = new Map<Chunk, () => void>();
  #keptBytes = 0;

  constructor(budget: ChunkBudget = new ChunkBudget()) {
    this.budget = budget;
  }

  /**
   * Opens a reader. Takes over the handle, which is closed with the last reader of the file.
   *
   * @param size size that the file has, or will have when it is complete, in bytes
   */
  async open(handle: FileHandle, size: number): Promise<FileReader> {
    let key: string;
    try {
      const { dev, ino } = await handle.stat();
      // A file without an identity is not shared.
      key = ino ? `${dev}:${ino}` : crypto.randomUUID();
    } catch (error) {
      handle.close();
      throw error;
    }
    const known = this.#files.get(key);
    if (known !== undefined) handle.close();
    const file = known ?? new SharedFile(handle, () => this.#files.delete(key));
    if (known === undefined) this.#files.set(key, file);
    file.readers++;
    return new FileReader(this, file, size);
  }

  /** Marks a chunk as used. */
  touch(chunk: Chunk): void {
    const onDrop = this.#kept.get(chunk);
    if (onDrop === undefined) return;
    this.#kept.delete(chunk);
    this.#kept.set(chunk, onDrop);
  }

  /** Keeps a new chunk. @param onDrop removes the chunk from its file */
  keep(chunk: Chunk, onDrop: () => void): void {
    this.#keptBytes += chunk.length;
    this.budget.hold(chunk);
    this.#kept.set(chunk, onDrop);
    for (const [oldest] of this.#kept) {
      if (this.#keptBytes <= this.budget.keptBytes || oldest === chunk) break;
      this.drop(oldest);
    }
  }

  /** Drops a chunk that is kept. */
  drop(chunk: Chunk): void {
    this.#kept.get(chunk)?.();
    if (!this.#kept.delete(chunk)) return;
    chunk.memory.drop();
    this.#keptBytes -= chunk.length;
    this.budget.release(chunk);
  }
}

/** An open file with its readers. */
class SharedFile {
  readonly chunks = new Map<number, Chunk>();
  readers = 0;
  readonly #handle: FileHandle;
  readonly #onClose: () => void;
  #position = 0;
  #reading: Promise<unknown> = Promise.resolve();

  constructor(handle: FileHandle, onClose: () => void) {
    this.#handle = handle;
    this.#onClose = onClose;
  }

  /** Reads exactly `length` bytes. The reads of a file follow each other, because they share the position. */
  read(position: number, length: number): Promise<Uint8Array> {
    const run = async () => {
      const bytes = new Uint8Array(length);
      if (position !== this.#position) this.#handle.seekSync(position, Deno.SeekMode.Start);
      this.#position = position;
      for (let filled = 0; filled < length;) {
        const got = await this.#handle.read(bytes.subarray(filled));
        if (got === null) throw new CrpeError(cannot("read the file", "it is shorter than expected"));
        filled += got;
        this.#position += got;
      }
      return bytes;
    };
    const bytes = this.#reading.then(run);
    this.#reading = bytes.catch(() => {});
    return bytes;
  }

  close(): void {
    this.#onClose();
    this.#reading.then(() => this.#handle.close());
  }
}

/** One of the readers of a file. */
export class FileReader {
  readonly #files: SharedFiles;
  readonly #file: SharedFile;
  readonly #size: number;
  readonly #budget: ChunkBudget;
  readonly #unsent: CountedChunk[] = [];
  #isOpen = true;

  constructor(files: SharedFiles, file: SharedFile, size: number) {
    this.#files = files;
    this.#file = file;
    this.#size = size;
    this.#budget = files.budget;
  }

  /**
   * Reads 1 to `limit` bytes. They are shared with other readers: the caller must not change them.
   *
   * @throws {Error} at the end of the file, and when the reader is closed
   */
  async read(position: number, limit: number): Promise<Uint8Array> {
    if (!this.#isOpen) throw new CrpeError(cannot("read the file", "its reader is closed"));
    if (limit <= 0) throw new CrpeError(cannot(`read ${limit} bytes of the file`));
    const index = Math.floor(position / CHUNK_BYTES);
    const offset = position - index * CHUNK_BYTES;
    const kept = this.#file.chunks.get(index) ?? this.#load(index, offset, limit);
    if (kept !== undefined) {
      this.#files.touch(kept);
      this.#hold(kept);
      return await kept.memory.lend(offset, limit);
    }
    const length = Math.min(limit, this.#budget.chunkBytes, CHUNK_BYTES - offset);
    this.#hold({ length, users: 0 });
    const memory = new LentMemory(this.#file.read(position, length));
    const bytes = memory.lend(0, length);
    memory.drop();
    return await bytes;
  }

  /** Stops reading. May be called more than once. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    for (const chunk of this.#unsent) this.#budget.release(chunk);
    if (--this.#file.readers > 0) return;
    for (const chunk of this.#file.chunks.values()) this.#files.drop(chunk);
    this.#file.close();
  }

  /** Reads and keeps a whole chunk, if others may need it, and the reader needs at least its second half. */
  #load(index: number, offset: number, limit: number): Chunk | undefined {
    const start = index * CHUNK_BYTES;
    const length = Math.min(CHUNK_BYTES, this.#size - start);
    const isNeeded = offset <= length / 2 && offset + limit >= length;
    if (!isNeeded || this.#file.readers < 2 || this.#budget.chunkBytes < length) return undefined;
    const bytes = this.#file.read(start, length);
    const chunk = { memory: new LentMemory(bytes), length, users: 0 };
    this.#file.chunks.set(index, chunk);
    this.#files.keep(chunk, () => this.#file.chunks.delete(index));
    bytes.catch(() => this.#files.drop(chunk));
    return chunk;
  }

  #hold(chunk: CountedChunk): void {
    this.#budget.hold(chunk);
    this.#unsent.push(chunk);
    if (this.#unsent.length > UNSENT_CHUNKS) this.#budget.release(this.#unsent.shift()!);
  }
}

/** Streams `length` bytes of a file from `start` on. Closes the reader at the end, on an error and on cancel. */
export function streamReader(reader: FileReader, start: number, length: number): ReadableStream<Uint8Array> {
  let at = start;
  const end = start + length;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        if (at < end) {
          const bytes = await reader.read(at, end - at);
          at += bytes.length;
          controller.enqueue(bytes);
        }
        if (at < end) return;
        reader.close();
        controller.close();
      } catch (error) {
        reader.close();
        throw error;
      }
    },
    cancel() {
      reader.close();
    },
  }, { highWaterMark: 0 });
}
