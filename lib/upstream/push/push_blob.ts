import { cannot, RegistryError } from "../../oci/error.ts";
import { type BlobName, fetchBlobSize } from "../blob_size.ts";
import { REFUSED_HEAD } from "../client_context.ts";
import type { EndpointClient } from "../endpoint_client.ts";
import { backoffDelay, isPermanent } from "../transport/retry.ts";
import { ResponseError } from "../upstream_error.ts";
import type { BlobContent } from "./blob_content.ts";
import { ChunkReader } from "./chunk_reader.ts";
import { type ChunkOutcome, UploadSession } from "./upload_session.ts";

/** Options of `pushBlob`. */
export interface PushBlobOptions {
  /** A repository of the registry that has the blob, from which it is mounted if the registry can do that. */
  readonly from?: string | undefined;
  /** Size of a chunk in bytes, unless the registry asks for larger ones, or refuses such large ones. */
  readonly chunkBytes?: number | undefined;
  /** Receives how many bytes of the blob the registry has. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/** How a registry got a blob. */
interface PushedBlob {
  /** `present`: it had the blob. */
  readonly outcome: "present" | "mounted" | "sent";
  /** The number of bytes that were sent, repeated ones included. */
  readonly bytes: number;
}

const CHUNK_BYTES = 4 * 1024 * 1024;
const MIN_CHUNK_BYTES = 256 * 1024;
/** A chunk is in memory. A registry that asks for larger ones gets the blob as one stream. */
const MAX_CHUNK_BYTES = 32 * 1024 * 1024;
const EMPTY = new Uint8Array(0);

/**
 * Pushes a blob to a repository that may have it. After a failure the registry is asked what it has, and the upload
 * resumes there; where the registry has dropped the upload, it begins again. A registry that takes no chunks gets the
 * blob as one stream, and one that takes no `PATCH` gets it with the `PUT` that commits it.
 *
 * @param name the repository
 * @throws {RegistryError} when the registry does not accept the blob, or several tries made no progress
 */
export async function pushBlob(
  client: EndpointClient,
  name: Omit<BlobName, "digest">,
  { content, ...options }: PushBlobOptions & { readonly content: BlobContent },
): Promise<PushedBlob> {
  const upload = new BlobUpload(client, name, { content, ...options });
  if (await upload.isPresent()) return { outcome: "present", bytes: 0 };
  using _slot = await client.acquireBlob(client.context.signal ?? new AbortController().signal);
  return { outcome: await upload.run(), bytes: upload.sent };
}

/** Reports whether a repository of a registry has a blob, with a HEAD. @throws {RegistryError} when it does not answer */
export async function hasBlob(
  client: EndpointClient,
  name: BlobName,
  { size, hasSlot = false }: { readonly size: number; readonly hasSlot?: boolean },
): Promise<boolean> {
  const { path, digest } = name;
  const action = `look up blob ${digest} of ${name.repo}`;
  try {
    const head = await client.sendForHead({
      method: "HEAD",
      path,
      resource: `blobs/${digest}`,
      action,
      hasSlot,
      accept: REFUSED_HEAD.filter((status) => status !== 404),
    });
    return head !== undefined && (head.ok || await fetchBlobSize(client, name, { hasSlot }) === size);
  } catch (error) {
    // Some registries deny access to a repository that does not exist yet. The upload shows whether this login may push.
    if (error instanceof RegistryError && (error.code === "DENIED" || error.code === "BAD_GATEWAY")) return false;
    throw error;
  }
}

class BlobUpload {
  readonly #client: EndpointClient;
  readonly #name: BlobName;
  readonly #content: BlobContent;
  #chunks: ChunkReader;
  readonly #onProgress: (bytes: number) => void;
  #from: string | undefined;
  #chunkBytes: number;
  /** The chunk that is not made smaller after a 413. */
  #minChunk = MIN_CHUNK_BYTES;
  /** How the blob is sent: in chunks, as one stream, or whole with the request that commits it. */
  #way: "chunks" | "stream" | "whole" = "chunks";
  /** Whether the registry did not know an upload that it had just begun. */
  #isUnknown = false;
  #failures = 0;
  /** The largest number of bytes that the registry had. Only more than that is progress. */
  #best = 0;
  sent = 0;

  constructor(
    client: EndpointClient,
    name: Omit<BlobName, "digest">,
    { content, from, chunkBytes = CHUNK_BYTES, onProgress = () => {} }: PushBlobOptions & { content: BlobContent },
  ) {
    this.#client = client;
    this.#name = { ...name, digest: content.digest };
    this.#content = content;
    this.#chunks = new ChunkReader(content);
    this.#from = from;
    this.#chunkBytes = chunkBytes;
    this.#onProgress = onProgress;
  }

  async isPresent({ hasSlot = false } = {}): Promise<boolean> {
    return await hasBlob(this.#client, this.#name, { size: this.#content.size, hasSlot });
  }

  async run(): Promise<"mounted" | "sent"> {
    let session: UploadSession | undefined;
    let isUncertain = false;
    try {
      for (;;) {
        try {
          if (isUncertain) {
            // The failed request may have been the one that committed the blob.
            if (await this.isPresent({ hasSlot: true })) return "sent";
            if (session !== undefined && !await session.ask()) session = undefined;
            this.#noteProgress(session);
            isUncertain = false;
          }
          session ??= await this.#begin();
          if (session === undefined) return "mounted";
          const outcome = await this.#advance(session);
          this.#noteProgress(session);
          if (outcome === "committed") return "sent";
          // The runtime repeats a request whose connection was closed before the answer, and does not tell: an upload that
          // is not known any more may have been committed by the first of the two.
          if ((outcome === "lost" || outcome === "unknown") && await this.isPresent({ hasSlot: true })) return "sent";
          if (await this.#mustBeginAgain(outcome)) session = undefined;
          else isUncertain = outcome === "too-large";
        } catch (error) {
          await this.#waitAfter(error, session?.offset ?? 0);
          isUncertain = true;
        }
      }
    } finally {
      await this.#chunks.close();
    }
  }

  async #begin(): Promise<UploadSession | undefined> {
    const from = this.#from;
    this.#from = undefined;
    const session = await UploadSession.begin(this.#client, this.#name, from);
    if (session !== undefined && session.minChunk > MAX_CHUNK_BYTES) {
      if (this.#way === "chunks") this.#way = "stream";
    } else if (session !== undefined) {
      this.#minChunk = Math.max(MIN_CHUNK_BYTES, session.minChunk);
      this.#chunkBytes = Math.max(this.#chunkBytes, session.minChunk);
    }
    return session;
  }

  async #advance(session: UploadSession): Promise<ChunkOutcome | "committed"> {
    const { size } = this.#content;
    const { offset } = session;
    const isWhole = this.#way === "whole";
    // A length is stated where the blob fits in memory.
    if (isWhole ? size > MAX_CHUNK_BYTES : this.#way === "stream" && offset < size) return await this.#stream(session);
    const left = size - offset;
    if (left < 0) return "refused";
    const chunk = left === 0 ? EMPTY : await this.#chunks.read(offset, isWhole ? size : this.#chunkBytes);
    this.sent += chunk.length;
    if (chunk.length < left) return await session.sendChunk(chunk);
    return await session.commit(chunk, { isWhole: this.#way !== "chunks" || offset === 0 });
  }

  // The stream is the whole blob: what an earlier one left behind cannot be continued.
  async #stream(session: UploadSession): Promise<ChunkOutcome | "committed"> {
    if (session.offset > 0) return "lost";
    await this.#chunks.close();
    const onSent = (bytes: number) => this.sent += bytes;
    return await session.sendStream(this.#content, { onSent, isLast: this.#way === "whole" });
  }

  async #mustBeginAgain(outcome: ChunkOutcome): Promise<boolean> {
    const { size } = this.#content;
    if (outcome === "accepted") return false;
    if (outcome === "too-large") {
      const isChunk = this.#way === "chunks";
      const sent = isChunk ? Math.min(this.#chunkBytes, size) : size;
      if (sent <= this.#minChunk || !isChunk) throw this.#error(`it refuses ${sent} bytes as too large (413)`);
      this.#chunkBytes = Math.max(this.#minChunk, Math.floor(sent / 4));
      return false;
    }
    // The registry may have been restarted. The second time, 404 is an answer to the method.
    const isUnsupported = outcome === "unsupported" || outcome === "unknown" && this.#isUnknown;
    if (outcome === "unknown") this.#isUnknown = true;
    if (outcome === "refused" || isUnsupported) {
      if (this.#way === "whole") throw this.#error("it does not keep what is sent to it");
      await this.#chunks.close();
      this.#chunks = new ChunkReader(this.#content);
      this.#way = outcome === "refused" && this.#way === "chunks" ? "stream" : "whole";
      return true;
    }
    await this.#waitAfter(new RegistryError("UNAVAILABLE", this.#error("it has dropped the upload")), 0);
    return true;
  }

  #noteProgress(session: UploadSession | undefined): void {
    if (session === undefined || session.offset <= this.#best) return;
    this.#best = session.offset;
    this.#failures = 0;
    this.#onProgress(this.#best);
  }

  /** Waits before the next try. @throws the error, if it does not pass, or there were too many without progress */
  async #waitAfter(error: unknown, offset: number): Promise<void> {
    const { retry, sleep, random, signal, onEvent } = this.#client.context;
    if (!isTransient(error)) throw error;
    // As in `withRetry`, a `Retry-After` of zero means the backoff.
    const delay = (error.retryAfter ?? 0) * 1000 || backoffDelay(this.#failures + 1, random, retry);
    if (++this.#failures >= retry.maxTries || delay > retry.maxRetryAfter) throw error;
    const { pathname: path } = this.#client.urlOf({ path: this.#name.path, resource: `blobs/${this.#name.digest}` });
    const event = { host: this.#client.host, path, attempt: this.#failures, delay, offset, reason: error.reason };
    onEvent?.({ type: "resume", ...event });
    await sleep(delay, signal);
  }

  #error(reason: string): RegistryError {
    const { digest, repo } = this.#name;
    return new RegistryError("BAD_GATEWAY", cannot(`push blob ${digest} of ${repo} to ${this.#client.host}`, reason));
  }
}

function isTransient(error: unknown): error is RegistryError {
  if (error instanceof ResponseError && isPermanent(error.answered)) return false;
  return error instanceof RegistryError && (error.code === "UNAVAILABLE" || error.code === "TOOMANYREQUESTS");
}
