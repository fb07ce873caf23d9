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

/**
 * Returns the Content-Encoding of a response: `gzip`, another name, or `undefined` when it leaves the bytes as they are.
 * Some servers spell the latter `none`, or repeat it.
 */
export function encodingOf(headers: Headers): string | undefined {
  const names = (headers.get("content-encoding") ?? "").split(",").map((name) => name.trim().toLowerCase());
  const encodings = names.filter((name) => !["", "identity", "none", "binary"].includes(name));
  if (encodings.length === 0) return undefined;
  return encodings.join(", ").replace(/^x-gzip$/, "gzip");
}

/** Options of `decodeBody`. */
export interface DecodeOptions {
  /** Limits the wait for the first bytes. */
  readonly guard: StallGuard;
  /**
   * The number of bytes that the body must have, if it is known. A body with this Content-Length is not decoded: the
   * content is itself compressed, and a storage service has declared that as an encoding.
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
  if (encoding !== "gzip") {
    await body.cancel();
    throw new RegistryError(
      "BAD_GATEWAY",
      cannot("read the response", `it has Content-Encoding ${encoding}, which was not requested`),
    );
  }
  const [head, whole] = await peek(body, 2, guard);
  if (head[0] !== 0x1f || head[1] !== 0x8b) return { body: whole, wasEncoded: true };
  const gunzip = new DecompressionStream("gzip") as ReadableWritablePair<Uint8Array, Uint8Array>;
  return { body: whole.pipeThrough(gunzip), wasEncoded: true };
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
