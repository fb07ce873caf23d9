import { drain } from "../bytes/file_stream.ts";
import { BoundedTasks } from "../content/bounded_tasks.ts";
import type { S3Client } from "./s3_client.ts";
import { S3Error } from "./s3_error.ts";

/** Size of the parts of an upload, and of the largest object that is written with one request, in bytes. */
export const PART_BYTES = 8 * 1024 * 1024;
// The S3 API allows 10,000 parts.
const MAX_PARTS = 10_000;
/** Parts in memory at the same time, over all uploads. */
const MAX_PART_BUFFERS = 6;
// Parts of one upload that are sent at the same time.
const CONCURRENT_PARTS = 2;

/** The buffers that all uploads of a store share, so that their memory is bounded. */
export class PartBuffers {
  #free = MAX_PART_BUFFERS;
  readonly #waiting: (() => void)[] = [];

  /** Waits for a buffer. `release` must be called once for it. */
  async take(size: number): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return new Uint8Array(size);
  }

  /** Gives a buffer back. */
  release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}

/** What `uploadObject` writes. */
interface NewObject {
  readonly key: string;
  /** Size of the object in bytes; `verify` must refuse another one. */
  readonly size: number;
  readonly body: ReadableStream<Uint8Array>;
  /** Called with each chunk, before it is sent. It throws to end the upload. */
  readonly onChunk: (chunk: Uint8Array) => void;
  /** Called after the last chunk, before the object gets its name. It throws if the content is wrong. */
  readonly verify: () => void;
}

/**
 * Uploads an object: in one request, or in parts. It gets its name only after `verify`. Reads the body to its end or
 * cancels it.
 */
export async function uploadObject(client: S3Client, object: NewObject, buffers: PartBuffers): Promise<void> {
  const upload = new PartedUpload(client, object, buffers);
  try {
    await drain(object.body, (chunk) => upload.add(chunk));
    object.verify();
    await upload.finish();
  } catch (error) {
    await upload.abort();
    throw error;
  }
}

class PartedUpload {
  readonly #client: S3Client;
  readonly #object: NewObject;
  readonly #buffers: PartBuffers;
  readonly #etags: string[] = [];
  readonly #sending = new BoundedTasks({ tasks: CONCURRENT_PARTS, cost: Infinity });
  #id: string | undefined;
  #buffer: Uint8Array<ArrayBuffer> | undefined;
  #filled = 0;
  #count = 0;

  constructor(client: S3Client, object: NewObject, buffers: PartBuffers) {
    this.#client = client;
    this.#object = object;
    this.#buffers = buffers;
  }

  async add(chunk: Uint8Array): Promise<void> {
    this.#object.onChunk(chunk);
    for (let at = 0; at < chunk.length;) {
      const buffer = this.#buffer ??= await this.#buffers.take(partBytes(this.#object.size));
      const count = Math.min(chunk.length - at, buffer.length - this.#filled);
      buffer.set(chunk.subarray(at, at + count), this.#filled);
      this.#filled += count;
      at += count;
      if (this.#filled === buffer.length && this.#object.size > buffer.length) await this.#sendPart();
    }
  }

  async finish(): Promise<void> {
    if (this.#id === undefined) {
      await this.#client.write(this.#object.key, this.#buffer?.subarray(0, this.#filled) ?? new Uint8Array(0));
    } else {
      if (this.#filled > 0) await this.#sendPart();
      await this.#sending.finish();
      await this.#complete(this.#id);
    }
    this.#releaseBuffer();
  }

  async abort(): Promise<void> {
    await this.#sending.settle();
    this.#releaseBuffer();
    // What cannot be removed now is removed after a day.
    if (this.#id !== undefined) await this.#client.abortUpload(this.#object.key, this.#id).catch(() => {});
  }

  async #sendPart(): Promise<void> {
    const { key } = this.#object;
    const id = this.#id ??= await this.#client.startUpload(key);
    const body = this.#buffer!.subarray(0, this.#filled);
    const number = ++this.#count;
    await this.#sending.start(0, async () => {
      try {
        this.#etags[number - 1] = await this.#client.uploadPart(key, id, { number, body });
      } finally {
        this.#buffers.release();
      }
    });
    this.#buffer = undefined;
    this.#filled = 0;
  }

  async #complete(id: string): Promise<void> {
    const { key, size } = this.#object;
    try {
      await this.#client.completeUpload(key, id, this.#etags);
    } catch (error) {
      // A retry finds no upload when only the response to the attempt before it was lost.
      const isRepeated = error instanceof S3Error && error.errorCode === "NoSuchUpload";
      if (!isRepeated || await this.#client.size(key) !== size) throw error;
    }
  }

  #releaseBuffer(): void {
    if (this.#buffer !== undefined) this.#buffers.release();
    this.#buffer = undefined;
  }
}

function partBytes(size: number): number {
  return size <= PART_BYTES ? Math.max(1, size) : Math.max(PART_BYTES, Math.ceil(size / MAX_PARTS));
}
