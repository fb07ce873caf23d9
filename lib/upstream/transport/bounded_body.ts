import { joinChunks } from "../../bytes/join_chunks.ts";
import { cannot, RegistryError } from "../../oci/error.ts";
import { createBufferReader } from "./buffer_reader.ts";
import { decodeBody } from "./content_encoding.ts";
import { StallGuard } from "./stall_guard.ts";
import { TransportError } from "./transport_error.ts";

/** Options for reading a response into memory. */
export interface BoundedBodyOptions {
  readonly maxBytes: number;
  /** Names the content in the error message: `the manifest`. */
  readonly what: string;
  /** In milliseconds; see `StallGuard`. */
  readonly stallTimeout: number;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** Whether a Content-Encoding is left in place. */
  readonly isRaw?: boolean;
}

const CHUNK_BYTES = 64 * 1024;

/**
 * Reads the whole body of a response into memory. It stops reading when the body exceeds `maxBytes`.
 *
 * @throws {RegistryError} `BAD_GATEWAY` when the body is larger than `maxBytes`
 * @throws {TransportError} when the body is interrupted or stalls
 */
export async function readBoundedBody(response: Response, options: BoundedBodyOptions): Promise<Uint8Array> {
  const { maxBytes, what, stallTimeout, now, isRaw } = options;
  const declared = parseContentLength(response.headers);
  if (declared !== undefined && declared > maxBytes) {
    await response.body?.cancel();
    throw tooLarge(what, declared, maxBytes);
  }
  const guard = new StallGuard(stallTimeout, now);
  const { body, wasEncoded } = isRaw
    ? { body: response.body, wasEncoded: false }
    : await decodeBody(response, { guard });
  const reader = createBufferReader(body);
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for (;;) {
      const chunk = await guard.watch(reader.readInto(new Uint8Array(CHUNK_BYTES)));
      if (chunk === undefined) break;
      size += chunk.length;
      if (size > maxBytes) throw tooLarge(what, undefined, maxBytes);
      chunks.push(chunk.slice());
    }
    // In some cases the runtime reports a broken connection as the end of the body.
    if (!wasEncoded && declared !== undefined && size < declared) {
      throw new TransportError("cut", `the connection was cut after ${size} of ${declared} bytes`);
    }
  } catch (error) {
    await reader.cancel(error);
    throw error;
  }
  return joinChunks(chunks);
}

/** Returns the Content-Length in bytes; `undefined` when it is missing or not a number. */
export function parseContentLength(headers: Headers): number | undefined {
  const text = headers.get("content-length") ?? "";
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function tooLarge(what: string, size: number | undefined, maxBytes: number): RegistryError {
  const has = size === undefined ? "it has more" : `it has ${size} bytes, more`;
  return new RegistryError("BAD_GATEWAY", cannot(`accept ${what}`, `${has} than the ${maxBytes} bytes allowed`));
}
