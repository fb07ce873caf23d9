import { cannot, RegistryError } from "../../oci/error.ts";
import type { BlobName } from "../blob_size.ts";
import type { EndpointRequest } from "../client_context.ts";
import type { EndpointClient } from "../endpoint_client.ts";
import { whyAddressRefused } from "../trust/address_rule.ts";
import { BlobBody } from "./blob_body.ts";
import type { BlobContent } from "./blob_content.ts";
import { parseMinChunk, parseUploadRange, resolveUploadUrl, withDigest } from "./upload_headers.ts";

/**
 * What a registry did with a chunk: `accepted` (see `offset`); `refused` when it takes no chunks, or does not keep them;
 * `unsupported` when it has no such request at all; `too-large` when a smaller one may be accepted; `lost` when it has no such
 * upload any more, or less than it had; `unknown` when that is one which it has just begun.
 */
export type ChunkOutcome = "accepted" | "refused" | "unsupported" | "too-large" | "lost" | "unknown";

/** The slowest connection that is waited for, in bytes a second. */
const MIN_RATE = 16 * 1024;
/** The most of a stream that the buffers of a connection take at once, in bytes. */
const STALL_BYTES = 4 * 1024 * 1024;
/** How long a registry may need to commit a blob, which it may hash or copy, in milliseconds. */
const COMMIT_TIMEOUT = 600_000;
const UPLOADS = "blobs/uploads/";
const OCTETS = { "content-type": "application/octet-stream" };
// The statuses of a registry that takes no chunks, or not these ones. A wrong digest at the end is one of a registry that
// overwrites a chunk with the next one.
const CHUNK_REFUSED = [400, 405, 411, 412, 415, 422, 501];
const UNSUPPORTED = [405, 501];
const TOO_LARGE = 413;
const RANGE_INVALID = 416;
// The statuses of a registry that does not tell what it has of this upload, or of any one.
const STATUS_REFUSED = [400, 405, RANGE_INVALID, 501];
// A registry that does not know the other repository, or whose login may not pull from it, may refuse to mount.
const MOUNT_REFUSED = [400, 401, 403, 405];

/** An upload that a registry has begun (distribution specification, "Pushing a blob in chunks"). */
export class UploadSession {
  readonly #client: EndpointClient;
  readonly #name: BlobName;
  #url: URL;
  #offset = 0;
  /** The smallest chunk that the registry accepts, except for the last one, in bytes. */
  readonly minChunk: number;

  private constructor(client: EndpointClient, name: BlobName, { url, minChunk }: { url: URL; minChunk: number }) {
    this.#client = client;
    this.#name = name;
    this.#url = url;
    this.minChunk = minChunk;
  }

  /** The number of bytes that the registry has. */
  get offset(): number {
    return this.#offset;
  }

  /**
   * Begins an upload.
   *
   * @param from a repository of the registry that has the blob
   * @returns `undefined` when the registry has mounted the blob from there
   * @throws {RegistryError} when the registry refuses the upload
   */
  static async begin(client: EndpointClient, name: BlobName, from?: string): Promise<UploadSession | undefined> {
    const { path, repo, digest } = name;
    const request = {
      method: "POST",
      path,
      resource: UPLOADS,
      action: `push blob ${digest} of ${repo}`,
      hasSlot: true,
      isOnce: true,
    } as const;
    let head = from === undefined
      ? undefined
      : await client.sendForHead({ ...request, query: { mount: digest, from }, accept: MOUNT_REFUSED });
    if (head?.status === 201) return undefined;
    if (!head?.ok) head = await client.sendForHead(request);
    if (head?.status !== 202) {
      const reason = head === undefined ? "it has no such repository" : `it answers ${head.status} to a new upload`;
      throw new RegistryError("BAD_GATEWAY", cannot(`${request.action} to ${client.host}`, reason));
    }
    const url = await locate(client, name, { headers: head.headers, asked: client.urlOf(request) });
    return new UploadSession(client, name, { url, minChunk: parseMinChunk(head.headers.get("oci-chunk-min-length")) });
  }

  /** Sends a chunk that is not the last one. */
  async sendChunk(chunk: Uint8Array<ArrayBuffer>): Promise<ChunkOutcome> {
    const before = this.#offset;
    const response = await this.#send({
      method: "PATCH",
      headers: { ...OCTETS, "content-range": `${before}-${before + chunk.length - 1}` },
      body: () => chunk,
      answerTimeout: this.#timeoutOf(chunk.length),
      accept: [TOO_LARGE, RANGE_INVALID, ...CHUNK_REFUSED],
    });
    if (!response?.ok) return await this.#explain(response, { isChunk: true });
    const expected = before + chunk.length;
    const received = parseUploadRange(response.headers.get("range")) ?? expected;
    this.#offset = received;
    await this.#follow(response);
    if (received === expected) return "accepted";
    if (!await this.ask()) return "lost";
    return this.#offset > before ? "accepted" : "refused";
  }

  /**
   * Sends the whole blob as one stream, as docker does. `commit` without a chunk must follow, unless it `isLast`: then it is
   * sent with the digest, which commits the blob (distribution specification, "POST then PUT").
   */
  async sendStream(
    content: BlobContent,
    { onSent, isLast }: { readonly onSent: (bytes: number) => void; readonly isLast: boolean },
  ): Promise<ChunkOutcome | "committed"> {
    await using body = new BlobBody(content, { onSent, stallTimeout: this.#timeoutOf(STALL_BYTES) });
    const response = await this.#send({
      ...isLast ? { method: "PUT", url: withDigest(this.#url, this.#name.digest) } : { method: "PATCH" },
      headers: OCTETS,
      body: () => body.open(),
      signal: body.signal,
      answerTimeout: (isLast ? COMMIT_TIMEOUT : 0) + this.#timeoutOf(content.size),
      accept: isLast ? [TOO_LARGE] : [TOO_LARGE, RANGE_INVALID, ...CHUNK_REFUSED],
    });
    if (!response?.ok) return await this.#explain(response, { isChunk: !isLast });
    await this.#follow(response);
    this.#offset = content.size;
    return isLast ? "committed" : "accepted";
  }

  /**
   * Sends the last chunk with the digest, which commits the blob. A registry that has all its bytes may still refuse that.
   *
   * @param isWhole whether nothing was sent in chunks before, so that a refusal concerns the blob
   */
  async commit(
    chunk: Uint8Array<ArrayBuffer>,
    { isWhole }: { isWhole: boolean },
  ): Promise<ChunkOutcome | "committed"> {
    const last = this.#offset + chunk.length - 1;
    const isRange = !isWhole && chunk.length > 0;
    const response = await this.#send({
      method: "PUT",
      url: withDigest(this.#url, this.#name.digest),
      headers: isRange ? { ...OCTETS, "content-range": `${this.#offset}-${last}` } : OCTETS,
      body: () => chunk,
      answerTimeout: COMMIT_TIMEOUT + this.#timeoutOf(chunk.length),
      accept: isWhole ? [TOO_LARGE] : [TOO_LARGE, RANGE_INVALID, ...CHUNK_REFUSED],
    });
    if (!response?.ok) return await this.#explain(response, { isChunk: false });
    await response.body?.cancel();
    this.#offset = last + 1;
    return "committed";
  }

  /** Asks what the registry has. @returns whether it still has the upload */
  async ask(): Promise<boolean> {
    const response = await this.#send({ accept: STATUS_REFUSED });
    if (response === undefined) return false;
    const received = parseUploadRange(response.headers.get("range"));
    if (response.ok && received !== undefined) {
      await this.#follow(response);
      this.#offset = received;
      return true;
    }
    await response.body?.cancel();
    return false;
  }

  async #explain(response: Response | undefined, { isChunk }: { readonly isChunk: boolean }): Promise<ChunkOutcome> {
    await response?.body?.cancel();
    const [status, before] = [response?.status ?? 404, this.#offset];
    if (status === TOO_LARGE) return "too-large";
    if (isChunk && before === 0 && UNSUPPORTED.includes(status)) return "unsupported";
    if (status === 404) return isChunk && before === 0 ? "unknown" : "lost";
    if (status !== RANGE_INVALID) return "refused";
    if (!await this.ask()) return before === 0 ? "refused" : "lost";
    if (this.#offset === before) return "refused";
    return this.#offset > before ? "accepted" : "lost";
  }

  async #follow(response: Response): Promise<void> {
    await response.body?.cancel();
    const { headers } = response;
    if (headers.has("location")) this.#url = await locate(this.#client, this.#name, { headers, asked: this.#url });
  }

  async #send(request: Partial<EndpointRequest>): Promise<Response | undefined> {
    const { path, repo, digest } = this.#name;
    const action = `push blob ${digest} of ${repo}`;
    return await this.#client.send({
      path,
      resource: UPLOADS,
      url: this.#url,
      action,
      hasSlot: true,
      isOnce: true,
      ...request,
    });
  }

  #timeoutOf(bytes: number): number {
    return this.#client.context.timeouts.connect + Math.min(bytes / MIN_RATE * 1000, 1e9);
  }
}

async function locate(
  client: EndpointClient,
  { path, repo, digest }: BlobName,
  { headers, asked }: { headers: Headers; asked: URL },
): Promise<URL> {
  const url = resolveUploadUrl(headers.get("location"), asked);
  const registry = client.urlOf({ path, resource: "" });
  const refused = typeof url === "string"
    ? url
    : url.origin === registry.origin
    ? undefined
    : await whyAddressRefused(registry, url, client.context.checkAddress);
  if (typeof url !== "string" && refused === undefined) return url;
  throw new RegistryError("BAD_GATEWAY", cannot(`push blob ${digest} of ${repo} to ${client.host}`, refused));
}
