import { DigestMismatchError } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError, RegistryError, TooLargeError } from "../oci/error.ts";
import type { Ingest } from "../store/ingest.ts";
import { answerJson } from "./answer.ts";
import type { AgentOptions } from "./options.ts";
import type { BlobState } from "./protocol.ts";
import { RequestBody } from "./request_body.ts";

interface UploadRange {
  readonly start: number;
  /** The position after the last byte. */
  readonly end: number;
  /** The size of the whole blob in bytes. */
  readonly size: number;
}

/** Receives the blobs of pending packages. An interrupted upload is resumed at its next byte. */
export class BlobUploads {
  readonly #options: AgentOptions;
  readonly #running = new Set<Digest>();

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  /** `GET /kubepkgs/blobs/DIGEST`: answers with a `BlobState` as JSON. */
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
   * `PUT /kubepkgs/blobs/DIGEST`: appends bytes to a blob. `Content-Range: bytes N-M/SIZE` names their position. With
   * `bytes *`+`/SIZE` and an empty body the client declares that all bytes were sent before. The partial file of an
   * interrupted upload is kept.
   *
   * The status is 201 when the blob is complete and verified, 200 when the store already holds it, 202 when more
   * bytes are expected, 400 when the body is longer than the range, 404 when no pending package (`POST
   * /kubepkgs/plan`) has the blob, 409 with `detail.offset` when N is not the next byte, 422 when the complete blob
   * has another digest (its partial file is deleted then), and 423 when another upload of the blob is in progress.
   */
  async put(digest: Digest, request: Request): Promise<Response> {
    const range = parseUploadRange(request.headers.get("content-range"));
    const { maxBundle, stallTimeout } = this.#options;
    if (maxBundle !== undefined && range.size > maxBundle) {
      throw new TooLargeError(cannot("accept the blob", `it has ${range.size} bytes, ${maxBundle} are allowed`));
    }
    if (this.#running.has(digest)) throw locked(digest);
    this.#running.add(digest);
    try {
      using _lease = await this.#options.takeLease();
      if (await this.#options.store.statBlob("", digest) === range.size) return answerJson({ digest, held: true });
      await this.#checkWanted(digest, range.size);
      const limit = range.end - range.start;
      const reason = `the body has more than the ${limit} bytes that Content-Range names`;
      const tooLong = new RegistryError("INVALID", cannot("accept the blob", reason));
      const body = new RequestBody(request, { limit, tooLong, stallTimeout });
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
    for (const { kubepkg } of (await this.#options.records.pending.scan()).pending) {
      const { digests = [], deltas = [] } = kubepkg.status ?? {};
      const wanted = digests.find((line) => line.digest === digest) ?? deltas.find((line) => line.delta === digest);
      // A package that declares a wrong size must not block the others.
      if (wanted?.size === size) return;
      other ??= wanted?.size;
    }
    if (other !== undefined) {
      throw new RegistryError("SIZE_INVALID", cannot(`accept ${digest}`, `its size must be ${other} bytes`));
    }
    throw new RegistryError(
      "BLOB_UNKNOWN",
      cannot(`accept ${digest}`, "no pending package contains it", "send the plan first"),
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
        throw new RegistryError(
          "CONFLICT",
          cannot(`resume ${digest} at byte ${start}`, `${offset} bytes were received`),
          {
            detail: { offset },
          },
        );
      }
      ingest.expectSize(size);
      for (let piece = await body.read(); piece !== undefined; piece = await body.read()) await ingest.write(piece);
      await body.finish();
      if (ingest.written === size) await ingest.commit();
    } catch (error) {
      // Wrong bytes must not be resumed. The bytes of an interrupted upload are kept; the digest verifies them at the
      // end.
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
    // Another process, or a pull of the same blob from an upstream, is writing it.
    await ingest.abort();
    throw locked(digest);
  }
}

/**
 * Parses the `Content-Range` of a request (RFC 9110, 14.4 and 14.5): `bytes N-M/SIZE`, or `bytes *`+`/SIZE` for an
 * empty range at the end.
 *
 * @throws {RegistryError} `INVALID` when the header is missing or not valid
 */
export function parseUploadRange(text: string | null): UploadRange {
  const match = /^bytes (?:(?<first>[0-9]{1,16})-(?<last>[0-9]{1,16})|\*)\/(?<size>[0-9]{1,16})$/.exec(text ?? "");
  const { first, last, size: whole } = match?.groups ?? {};
  const size = Number(whole);
  const [start, end] = first === undefined ? [size, size] : [Number(first), Number(last) + 1];
  if (match === null || !Number.isSafeInteger(size) || (first !== undefined && start >= end) || end > size) {
    throw new RegistryError("INVALID", cannot("accept the blob", "Content-Range must be bytes FIRST-LAST/SIZE"));
  }
  return { start, end, size };
}

function locked(digest: Digest): RegistryError {
  return new RegistryError("LOCKED", cannot(`accept ${digest}`, "another upload of it is in progress", "retry later"));
}
