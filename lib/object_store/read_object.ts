import type { ChunkBudget, CountedChunk } from "../bytes/chunk_budget.ts";
import { LentMemory } from "../bytes/lent_chunks.ts";
import { openByob } from "../bytes/open_byob.ts";
import { withinTime } from "../bytes/within_time.ts";
import type { OpenedObject, S3Client } from "./s3_client.ts";
import { cannot, CrpeError } from "../oci/error.ts";

/** Which bytes of an object are read. */
interface ObjectPart {
  readonly key: string;
  readonly start: number;
  /** Number of bytes. */
  readonly length: number;
  /** The memory that all readers share. */
  readonly budget: ChunkBudget;
}

// How long the storage may send nothing, in milliseconds.
const STALL_MILLISECONDS = 30_000;
const MAX_RESUMES = 3;
// The runtime gives at most 504 KiB of a response at once.
const MAX_CHUNK_BYTES = 512 * 1024;
// The server holds about this many chunks of a response until the client has read them.
const UNSENT_CHUNKS = 4;

/**
 * Streams a part of an object. A transfer that is cut, or stalls, is resumed where it ended, from the same content.
 *
 * @param opened the response of the first request, which starts at `part.start`
 */
export function readObject(client: S3Client, part: ObjectPart, opened: OpenedObject): ReadableStream<Uint8Array> {
  const { key, start, length, budget } = part;
  let reader = openReader(opened.body, budget);
  let done = 0;
  let resumes = 0;
  let isCancelled = false;
  const resume = async (error: unknown) => {
    await reader.cancel(error).catch(() => {});
    // A reader that was cancelled looks like a transfer that was cut.
    if (isCancelled || ++resumes > MAX_RESUMES) throw error;
    const rest = { start: start + done, length: length - done, etag: opened.etag === "" ? undefined : opened.etag };
    const again = await client.open(key, rest);
    if (again === undefined) throw error;
    if (isCancelled) {
      await again.body.cancel(error).catch(() => {});
      throw error;
    }
    reader = openReader(again.body, budget);
  };
  const next = async (): Promise<Uint8Array> => {
    while (true) {
      try {
        const read = await withinTime(reader.read().then((chunk) => ({ chunk })), STALL_MILLISECONDS);
        if (read === undefined) throw new CrpeError(cannot("read from the object storage", "no bytes for 30 s"));
        if (read.chunk !== undefined) return read.chunk;
        throw new CrpeError(cannot(`read ${key}`, `it ended after ${start + done} bytes`));
      } catch (error) {
        await resume(error);
      }
    }
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const bytes = done < length ? await next() : undefined;
      if (bytes !== undefined) {
        done += bytes.length;
        if (done > length) {
          const error = new CrpeError(cannot(`read ${key}`, "the object storage sent too much"));
          await reader.cancel(error).catch(() => {});
          throw error;
        }
        if (isCancelled) return;
        controller.enqueue(bytes);
      }
      if (done < length) return;
      controller.close();
      await reader.cancel().catch(() => {});
    },
    async cancel(reason) {
      isCancelled = true;
      await reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
}

interface ChunkReader {
  /** Reads the next chunk; `undefined` at the end. */
  read(): Promise<Uint8Array | undefined>;
  cancel(reason?: unknown): Promise<void>;
}

// A byte stream (a fetch body) is read in large chunks: each costs the same until it is sent.
function openReader(body: ReadableStream<Uint8Array>, budget: ChunkBudget): ChunkReader {
  const reader = openByob(body);
  if (reader === undefined) {
    const reader = body.getReader();
    return { read: async () => (await reader.read()).value, cancel: (reason) => reader.cancel(reason) };
  }
  const unsent: CountedChunk[] = [];
  let isCancelled = false;
  const releaseTo = (count: number) => {
    while (unsent.length > count) budget.release(unsent.shift()!);
  };
  const read = async () => {
    const { done, value } = await reader.read(new Uint8Array(Math.min(MAX_CHUNK_BYTES, budget.chunkBytes)));
    if (done || isCancelled) {
      releaseTo(0);
      return undefined;
    }
    const counted = { length: value.buffer.byteLength, users: 0 };
    budget.hold(counted);
    unsent.push(counted);
    releaseTo(UNSENT_CHUNKS);
    const memory = new LentMemory(value);
    const chunk = await memory.lend(0, value.length);
    memory.drop();
    return chunk;
  };
  const cancel = async (reason: unknown) => {
    isCancelled = true;
    releaseTo(0);
    await reader.cancel(reason);
  };
  return { read, cancel };
}
