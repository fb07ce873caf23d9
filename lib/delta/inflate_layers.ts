import { decompress } from "../archive/decompress.ts";
import { freePiece } from "../archive/zlib_source.ts";
import { type ByteSource, openByteSource } from "../bytes/byte_reader.ts";
import { returnUsedChunks } from "../bytes/lent_chunks.ts";
import type { Scratch } from "../bytes/scratch.ts";
import { DigestMismatchError, Verifier } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError, IncompleteError } from "../oci/error.ts";
import { type DeltaBase, maxPlainSize } from "./delta_format.ts";
import { createHash } from "node:crypto";

/** A layer that can be read. */
export interface LayerInput {
  readonly digest: Digest;
  /** Opens the compressed bytes; `undefined` when the layer is missing. */
  open(): Promise<ReadableStream<Uint8Array> | undefined>;
}

/** Where the bytes of a layer go. */
interface InflateTarget {
  readonly scratch: Scratch;
  /** Gets the compressed bytes, unless they are not needed. */
  readonly compressed?: Scratch | undefined;
}

/** Options for inflating layers. */
export interface InflateOptions {
  /** Called with the number of plain bytes of each piece. */
  readonly onBytes?: ((count: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A layer that a delta needs is missing, or has other plain bytes than those that the delta was made from. */
export class BaseError extends IncompleteError {
  readonly digest: Digest;

  constructor(digest: Digest, reason: string) {
    super(cannot("apply the delta", `its base ${digest} ${reason}`), [digest]);
    this.digest = digest;
  }
}

const PIECE_BYTES = 64 << 10;

/**
 * Appends the plain bytes of a layer to scratch space. They are described as a delta needs it.
 *
 * @param size size of the compressed layer in bytes, which bounds its plain bytes
 * @throws {CorruptError} when the layer is damaged, or too large
 */
export async function inflateLayer(
  layer: LayerInput & { readonly size: number },
  { scratch, compressed }: InflateTarget,
  { onBytes, signal }: InflateOptions = {},
): Promise<DeltaBase> {
  const { digest, size } = layer;
  const hash = createHash("sha256");
  let plainSize = 0;
  await inflate(layer, { compressed, signal }, (piece) => {
    plainSize += piece.length;
    if (plainSize > maxPlainSize(size)) throw new CorruptError(cannot(`inflate ${digest}`, "it is too large"));
    hash.update(piece);
    scratch.append(piece);
    onBytes?.(piece.length);
  });
  return { digest, size, plainSize, plainDigest: `sha256:${hash.digest("hex")}` };
}

/**
 * Appends the plain bytes of a delta's base to scratch space, no more than the delta declares, and verifies them.
 *
 * @throws {BaseError} when the base is missing, damaged, or not the one that the delta was made from
 */
export async function inflateBase(
  { plainSize, plainDigest }: DeltaBase,
  { layer, scratch, compressed }: InflateTarget & { readonly layer: LayerInput },
  { onBytes, signal }: InflateOptions = {},
): Promise<void> {
  const verifier = new Verifier(plainDigest, plainSize);
  try {
    await inflate(layer, { compressed, signal }, (piece) => {
      verifier.update(piece);
      scratch.append(piece);
      onBytes?.(piece.length);
    });
    verifier.finish();
  } catch (error) {
    if (error instanceof DigestMismatchError) throw new BaseError(layer.digest, "has other plain bytes");
    if (error instanceof CorruptError) throw new BaseError(layer.digest, "is damaged");
    throw error;
  }
}

function keepBytes(source: ByteSource, target: Scratch | undefined): ByteSource {
  if (target === undefined) return source;
  return {
    read: async () => {
      const chunk = await source.read();
      if (chunk !== undefined) target.append(chunk);
      return chunk;
    },
    cancel: (reason) => source.cancel(reason),
  };
}

/** Reads the chunks of a source, each of which is only valid until the next one is asked for. */
export async function* readChunks(input: ByteSource): AsyncGenerator<Uint8Array> {
  const source = returnUsedChunks(input);
  try {
    for (let chunk = await source.read(); chunk !== undefined; chunk = await source.read()) yield chunk;
  } finally {
    await source.cancel();
  }
}

async function inflate(
  { digest, open }: LayerInput,
  { compressed, signal }: Pick<InflateTarget, "compressed"> & Pick<InflateOptions, "signal">,
  onPiece: (piece: Uint8Array) => void,
): Promise<void> {
  const body = await open();
  if (body === undefined) throw new BaseError(digest, "is missing");
  const input = returnUsedChunks(keepBytes(openByteSource(body), compressed));
  const { compression, reader } = await decompress(input, digest, PIECE_BYTES);
  try {
    for (let piece = await reader.read(PIECE_BYTES); piece !== undefined; piece = await reader.read(PIECE_BYTES)) {
      signal?.throwIfAborted();
      onPiece(piece);
      // Tens of megabytes would wait for a collection. Pieces of another compression may belong to the input.
      if (compression === "gzip") freePiece(piece, PIECE_BYTES);
    }
  } finally {
    await reader.cancel();
  }
}
