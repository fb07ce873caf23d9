import { DigestMismatchError } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError, RegistryError, TooLargeError } from "../oci/error.ts";
import type { Ingest } from "../store/ingest.ts";
import { answerJson } from "./answer.ts";
import type { AgentOptions } from "./options.ts";
import type { BlobState } from "./protocol.ts";
import { RequestBody } from "./request_body.ts";

interface UploadRange {
  readonly start: number;
  /** Behind the last byte. */
  readonly end: number;
  /** Of the whole blob, in bytes. */
  readonly size: number;
}

/** Takes the blobs of packages that are on their way, each from the byte where it was cut. */
export class BlobUploads {
  readonly #options: AgentOptions;
  readonly #running = new Set<Digest>();

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  /** `GET /kubepkgs/blobs/DIGEST`: a `BlobState` as JSON. */
  async getState(digest: Digest): Promise<Response> {
    const { store } = this.#options;
    const size = await store.statBlob("", digest);
    const state: BlobState = {
      digest,
      held: size !== undefined,
      offset: size ?? await store.statIngest(digest),
      busy: this.#running.has(digest),
    };
    return answerJson(state);
  }

  /**
   * `PUT /kubepkgs/blobs/DIGEST`: appends bytes to a blob. `Content-Range: bytes N-M/SIZE` says which they are, and
   * `bytes *`+`/SIZE` with an empty body that all have come already. 201 when the blob is complete and verified; 200 when
   * it was there; 202 when more is to come; 404 when no package that is on its way (`POST /kubepkgs/plan`) has such a blob;
   * 409 with `detail.offset` when N is not the next byte; 422 when the whole has another digest, and nothing of it is
   * kept; 423 when somebody else is sending it. What has come of one that is cut off is kept.
   */
  async put(digest: Digest, request: Request): Promise<Response> {
    const range = parseUploadRange(request.headers.get("content-range"));
    const { maxBundle, stallTimeout } = this.#options;
    if (maxBundle !== undefined && range.size > maxBundle) {
      throw new TooLargeError(`Cannot accept the blob: it has ${range.size} bytes, ${maxBundle} are allowed`);
    }
    if (this.#running.has(digest)) throw locked(digest);
    this.#running.add(digest);
    try {
      using _lease = await this.#options.takeLease();
      if (await this.#options.store.statBlob("", digest) === range.size) return answerJson({ digest, held: true });
      await this.#checkWanted(digest, range.size);
      const body = new RequestBody(request, { limit: range.end - range.start, stallTimeout });
      try {
        return await this.#append(digest, range, body);
      } finally {
        this.#options.onPushed(body.received);
        await body.close();
      }
    } finally {
      this.#running.delete(digest);
    }
  }

  async #checkWanted(digest: Digest, size: number): Promise<void> {
    let other: number | undefined;
    for (const { kubepkg } of await this.#options.records.pending.list()) {
      const wanted = kubepkg.status?.digests?.find((line) => line.digest === digest);
      // One that lies about a size must not keep the others from theirs.
      if (wanted?.size === size) return;
      other ??= wanted?.size;
    }
    if (other !== undefined) {
      throw new RegistryError("SIZE_INVALID", `Cannot accept ${digest}: it has to have ${other} bytes`);
    }
    throw new RegistryError(
      "BLOB_UNKNOWN",
      `Cannot accept ${digest}: no package that is on its way has it; plan it first`,
    );
  }

  async #append(digest: Digest, { start, size }: UploadRange, body: RequestBody): Promise<Response> {
    let ingest = await this.#openIngest(digest);
    if (ingest.written > size) {
      await ingest.abort();
      ingest = await this.#openIngest(digest);
    }
    try {
      if (ingest.written !== start) {
        const { written: offset } = ingest;
        throw new RegistryError("CONFLICT", `Cannot go on with ${digest} at byte ${start}: ${offset} bytes are here`, {
          detail: { offset },
        });
      }
      ingest.expectSize(size);
      for (let piece = await body.read(); piece !== undefined; piece = await body.read()) await ingest.write(piece);
      await body.finish();
      if (ingest.written === size) await ingest.commit();
    } catch (error) {
      // Bytes that are wrong must not be gone on with; those of one that was cut off are as good as any.
      if (error instanceof DigestMismatchError || error instanceof CorruptError || ingest.written === 0) {
        await ingest.abort();
      }
      throw error;
    } finally {
      ingest.keep();
    }
    const { written: offset } = ingest;
    return offset === size
      ? answerJson({ digest, held: true }, {}, 201)
      : answerJson({ digest, held: false, offset }, {}, 202);
  }

  async #openIngest(digest: Digest): Promise<Ingest> {
    const ingest = await this.#options.store.openIngest(digest);
    if (ingest.isResumable) return ingest;
    // Another process, or a client that pulls the blob through, is at it.
    await ingest.abort();
    throw locked(digest);
  }
}

/**
 * Reads the `Content-Range` of a request (RFC 9110, 14.4 and 14.5): `bytes N-M/SIZE`, or `bytes *`+`/SIZE` for no bytes at
 * the end.
 *
 * @throws {RegistryError} `INVALID`
 */
export function parseUploadRange(text: string | null): UploadRange {
  const match = /^bytes (?:(?<first>[0-9]{1,16})-(?<last>[0-9]{1,16})|\*)\/(?<size>[0-9]{1,16})$/.exec(text ?? "");
  const { first, last, size: whole } = match?.groups ?? {};
  const size = Number(whole);
  const [start, end] = first === undefined ? [size, size] : [Number(first), Number(last) + 1];
  if (match === null || !Number.isSafeInteger(size) || (first !== undefined && start >= end) || end > size) {
    throw new RegistryError("INVALID", "Cannot accept the blob: Content-Range has to be bytes FIRST-LAST/SIZE");
  }
  return { start, end, size };
}

function locked(digest: Digest): RegistryError {
  return new RegistryError("LOCKED", `Cannot accept ${digest}: somebody else is sending it; ask again`);
}
