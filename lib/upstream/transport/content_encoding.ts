import { RegistryError } from "../../oci/error.ts";
import type { StallGuard } from "./stall_guard.ts";

/** The body of an answer as the registry means it. */
export interface DecodedBody {
  readonly body: ReadableStream<Uint8Array> | null;
  /** A Content-Encoding was named: Content-Length, and ranges, do not count the bytes of `body`. */
  readonly wasEncoded: boolean;
}

/**
 * Takes the Content-Encoding off an answer, which some servers put on although asked for `identity`. Runtimes differ
 * in whether they have done so already, and leave the header in place either way; the first bytes tell.
 *
 * @param guard watches over the first bytes
 * @throws {RegistryError} `BAD_GATEWAY` for an encoding that was not asked for and is not known
 * @throws {TransportError} when the first bytes do not come
 */
export async function decodeBody(response: Response, guard: StallGuard): Promise<DecodedBody> {
  const encoding = (response.headers.get("content-encoding") ?? "").trim().toLowerCase();
  const { body } = response;
  if (encoding === "" || encoding === "identity" || body === null) return { body, wasEncoded: false };
  if (!["gzip", "x-gzip"].includes(encoding)) {
    await body.cancel();
    throw new RegistryError("BAD_GATEWAY", `Cannot read the answer: it has Content-Encoding ${encoding}, unasked`);
  }
  const [head, whole] = await peek(body, 2, guard);
  if (head[0] !== 0x1f || head[1] !== 0x8b) return { body: whole, wasEncoded: true };
  const gunzip = new DecompressionStream("gzip") as ReadableWritablePair<Uint8Array, Uint8Array>;
  return { body: whole.pipeThrough(gunzip), wasEncoded: true };
}

/** The first bytes of a stream (fewer only if it has no more), and a stream that still begins with them. */
async function peek(
  body: ReadableStream<Uint8Array>,
  count: number,
  guard: StallGuard,
): Promise<[Uint8Array, ReadableStream<Uint8Array>]> {
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let seen = 0;
  while (seen < count) {
    const chunk = await guard.watch(reader.read().then(({ value }) => value));
    if (chunk === undefined) break;
    chunks.push(chunk);
    seen += chunk.length;
  }
  const head = new Uint8Array(seen);
  let at = 0;
  for (const chunk of chunks) {
    head.set(chunk, at);
    at += chunk.length;
  }
  const whole = new ReadableStream<Uint8Array>({
    start(controller) {
      if (head.length > 0) controller.enqueue(head);
    },
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
  return [head, whole];
}
