import type { OpenedObject, S3Client } from "./s3_client.ts";

/** Which bytes of an object are read. */
export interface ObjectPart {
  readonly key: string;
  readonly start: number;
  /** Number of bytes. */
  readonly length: number;
}

// How long the storage may send nothing, in milliseconds.
const STALL_MILLISECONDS = 30_000;
const MAX_RESUMES = 3;

/**
 * Streams a part of an object. A transfer that is cut, or stalls, is resumed where it ended, from the same content.
 *
 * @param opened the response of the first request, which starts at `part.start`
 */
export function readObject(client: S3Client, part: ObjectPart, opened: OpenedObject): ReadableStream<Uint8Array> {
  const { key, start, length } = part;
  let reader = opened.body.getReader();
  let done = 0;
  let resumes = 0;
  const resume = async (error: unknown) => {
    await reader.cancel(error).catch(() => {});
    if (++resumes > MAX_RESUMES) throw error;
    const rest = { start: start + done, length: length - done, etag: opened.etag === "" ? undefined : opened.etag };
    const again = await client.open(key, rest);
    if (again === undefined) throw error;
    reader = again.body.getReader();
  };
  const next = async (): Promise<Uint8Array> => {
    while (true) {
      try {
        const { value, done: isEnd } = await withinTime(reader.read());
        if (!isEnd) return value;
        throw new Error(`Cannot read ${key}: it ended after ${start + done} bytes`);
      } catch (error) {
        await resume(error);
      }
    }
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const chunk = done < length ? await next() : undefined;
      if (chunk !== undefined) {
        const bytes = chunk.subarray(0, length - done);
        done += bytes.length;
        controller.enqueue(bytes);
      }
      if (done < length) return;
      controller.close();
      await reader.cancel().catch(() => {});
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
}

async function withinTime<T>(promise: Promise<T>): Promise<T> {
  const timeout = Promise.withResolvers<never>();
  const fail = () => timeout.reject(new Error(`Cannot read from the object storage: no bytes for 30 s`));
  const timer = setTimeout(fail, STALL_MILLISECONDS);
  try {
    return await Promise.race([promise, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}
