import { joinChunks } from "../../bytes/join_chunks.ts";
import { prependChunks } from "../../bytes/prepend_chunks.ts";
import { cannot, RegistryError } from "../../oci/error.ts";
import type { StallGuard } from "./stall_guard.ts";

/** The decoded body of a response. */
export interface DecodedBody {
  readonly body: ReadableStream<Uint8Array> | null;
  /** The response had a Content-Encoding, so its Content-Length and its ranges do not refer to the bytes of `body`. */
  readonly wasEncoded: boolean;
}

// The first block of a compressed tar is in these.
const HEAD_BYTES = 1024;

// The codings of the IANA registry that change the bytes, except those that need a key or a dictionary.
const CODINGS = ["br", "compress", "deflate", "exi", "gzip", "pack200-gzip", "x-compress", "x-gzip", "zstd"];

/**
 * Returns the Content-Encoding of a response: `gzip`, another name, or `undefined` when it leaves the bytes as they are.
 * Some servers spell the latter `none`, or repeat it; some storage services name what is no coding of HTTP, such as
 * `aws-chunked` or a charset.
 */
export function encodingOf(headers: Headers): string | undefined {
  const names = (headers.get("content-encoding") ?? "").split(",").map((name) => name.trim().toLowerCase());
  const encodings = names.filter((name) => CODINGS.includes(name));
  if (encodings.length === 0) return undefined;
  return encodings.join(", ").replace(/^x-gzip$/, "gzip");
}

/** Options of `decodeBody`. */
interface DecodeOptions {
  /** Limits the wait for the first bytes. */
  readonly guard: StallGuard;
  /**
   * The number of bytes that the body must have, if it is known. A body with this Content-Length is not decoded: the
   * content is itself compressed, and a storage service has declared that as an encoding. Without a Content-Length, the
   * first bytes show whether that is so.
   */
  readonly length?: number | undefined;
}

/**
 * Decodes the Content-Encoding of a response, which some servers apply although the request asks for `identity`. Some
 * runtimes have already decoded the body, and all of them leave the header in place, so the first bytes decide.
 *
 * @throws {RegistryError} `BAD_GATEWAY` for an encoding other than gzip
 * @throws {TransportError} when the first bytes are not received in time
 */
export async function decodeBody(response: Response, { guard, length }: DecodeOptions): Promise<DecodedBody> {
  const encoding = encodingOf(response.headers);
  const { body } = response;
  if (encoding === undefined || body === null) return { body, wasEncoded: false };
  if (length !== undefined && response.headers.get("content-length") === String(length)) {
    return { body, wasEncoded: false };
  }
  // A layer may be compressed with zstd. Whether this one is, its digest shows.
  if (encoding === "zstd" && length !== undefined) return { body, wasEncoded: false };
  if (encoding !== "gzip") {
    await body.cancel();
    throw new RegistryError(
      "BAD_GATEWAY",
      cannot("read the response", `it has Content-Encoding ${encoding}, which was not requested`),
    );
  }
  const isDeclared = length !== undefined && !response.headers.has("content-length");
  const [head, whole] = await peek(body, isDeclared ? HEAD_BYTES : 2, guard);
  if (!isGzip(head)) return { body: whole, wasEncoded: true };
  if (isDeclared && await isPackedTar(head, length)) return { body: whole, wasEncoded: false };
  return { body: gunzip(whole), wasEncoded: true };
}

function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * Reports whether content of `length` bytes is a tar that is compressed itself: the size of a tar is a multiple of 512.
 *
 * @param head its first bytes, as received
 */
async function isPackedTar(head: Uint8Array, length: number): Promise<boolean> {
  if (length % 512 === 0) return false;
  const reader = gunzip(new Blob([head as Uint8Array<ArrayBuffer>]).stream()).getReader();
  try {
    const { value } = await reader.read();
    return new TextDecoder().decode(value?.subarray(257, 262)) === "ustar";
  } catch {
    return false;
  } finally {
    // The stream ends too early, because it has only the first bytes.
    reader.cancel().catch(() => {});
  }
}

function gunzip(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  return body.pipeThrough(new DecompressionStream("gzip") as ReadableWritablePair<Uint8Array, Uint8Array>);
}

/** Returns the first bytes of a stream (fewer only if the stream is shorter) and a stream that includes them. */
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
  return [joinChunks(chunks), prependChunks(chunks, reader)];
}
