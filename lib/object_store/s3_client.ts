import { cannot, CorruptError } from "../oci/error.ts";
import { S3Error } from "./s3_error.ts";
import { describeRequest, type S3Request, type S3Transport } from "./s3_transport.ts";
import { parseXml, textOf, type XmlElement } from "./s3_xml.ts";

/** An object that is being read. `body` must be read to its end or cancelled. */
export interface OpenedObject {
  /** Size of the whole object in bytes. */
  readonly size: number;
  readonly etag: string;
  readonly body: ReadableStream<Uint8Array>;
}

/** A small object, read whole. */
export interface SmallObject {
  readonly bytes: Uint8Array;
  readonly etag: string;
}

/** An entry of a list. */
export interface ListedObject {
  /** Without the prefix of the location. */
  readonly key: string;
  readonly size: number;
  /** When it was written, by the clock of the storage, in milliseconds. */
  readonly modified: number;
}

/** What is listed. Keys and prefixes are without the prefix of the location. */
interface ObjectQuery {
  readonly prefix: string;
  /** Keys that have this text after the prefix are joined to one folder. */
  readonly delimiter?: string;
  /** The key after which the list begins. */
  readonly after?: string | undefined;
  /** Maximum number of entries of a page. Default: 1000. */
  readonly limit?: number;
}

/** A part of a list. */
export interface ObjectPage {
  readonly objects: ListedObject[];
  /** The joined keys, with the delimiter at their end. */
  readonly folders: string[];
  /** Where the next page begins; absent at the end. */
  readonly next?: string | undefined;
}

/** An upload in parts that was not completed. */
interface PendingUpload {
  readonly key: string;
  readonly id: string;
  /** When it was started, in milliseconds. */
  readonly started: number;
}

/** A condition of a write: the object must not exist, or must have this etag. */
type WriteCondition = { readonly isNew: true } | { readonly etag: string };

/** The requests of the S3 API that a store needs. Missing objects are `undefined`. */
export class S3Client {
  readonly #transport: S3Transport;
  readonly #prefix: string;

  constructor(transport: S3Transport) {
    this.#transport = transport;
    this.#prefix = transport.location.prefix;
  }

  /** The URL of the object storage. */
  get endpoint(): string {
    return this.#transport.location.endpoint;
  }

  /** As `S3Transport.presign`. */
  presign(key: string, seconds: number): Promise<string> {
    return this.#transport.presign(key, seconds);
  }

  /** As `S3Transport.serverTime`. */
  get serverTime(): number {
    return this.#transport.serverTime;
  }

  /** As `S3Transport.latestServerTime`. */
  get latestServerTime(): number {
    return this.#transport.latestServerTime;
  }

  /** Opens an object, or `length` bytes of it from `start`. @param etag the content that it must have */
  async open(
    key: string,
    { start = 0, length, etag }: { start?: number; length?: number | undefined; etag?: string | undefined } = {},
  ): Promise<OpenedObject | undefined> {
    const isWhole = start === 0 && length === undefined;
    const response = await this.#transport.open({
      method: "GET",
      key,
      headers: {
        ...(isWhole ? {} : { range: `bytes=${start}-${length === undefined ? "" : start + length - 1}` }),
        ...(etag === undefined ? {} : { "if-match": etag }),
      },
      accept: [404, 412],
    });
    const { headers, body, status } = response;
    if (!response.ok) {
      await body?.cancel();
      return undefined;
    }
    const size = isWhole ? headers.get("content-length") : headers.get("content-range")?.split("/")[1];
    if (size == null || status !== (isWhole ? 200 : 206)) {
      await body?.cancel();
      throw new S3Error(cannot(`read ${key}`, "the object storage ignored the range, or stated no size"));
    }
    return { size: Number(size), etag: headers.get("etag") ?? "", body: body ?? ReadableStream.from([]) };
  }

  /** Reads a small object. @param maxBytes the most that it may have. Default: 8 MiB */
  async read(key: string, maxBytes?: number): Promise<SmallObject | undefined> {
    const { status, headers, bytes } = await this.#transport.send({ method: "GET", key, accept: [404], maxBytes });
    return status === 404 ? undefined : { bytes, etag: headers.get("etag") ?? "" };
  }

  /** Returns the size of an object in bytes. */
  async size(key: string): Promise<number | undefined> {
    const { status, headers } = await this.#transport.send({ method: "HEAD", key, accept: [404] });
    return status === 404 ? undefined : Number(headers.get("content-length"));
  }

  /** Writes an object. @returns its etag; `undefined` when the condition is not met, and nothing was written */
  async write(key: string, body: Uint8Array<ArrayBuffer>, condition?: WriteCondition): Promise<string | undefined> {
    const { status, headers } = await this.#transport.send({
      method: "PUT",
      key,
      body,
      headers: { "content-type": "application/octet-stream", ...headersOf(condition) },
      accept: unmetStatuses(condition),
    });
    return status < 300 ? headers.get("etag") ?? "" : undefined;
  }

  /**
   * Removes an object. A missing one is no error.
   *
   * @param deadline by the clock of the storage, in milliseconds: the request is not sent later
   */
  async remove(key: string, deadline?: number): Promise<void> {
    await this.#transport.send({ method: "DELETE", key, accept: [404], deadline });
  }

  /**
   * Removes an object, unless it has changed.
   *
   * @param etag what it must be; not obeyed by storage that knows no conditions of removals
   * @returns whether it is gone
   */
  async removeIf(key: string, etag: string): Promise<boolean> {
    const { status } = await this.#transport.send({
      method: "DELETE",
      key,
      headers: { "if-match": etag },
      accept: [404, 412, 501],
    });
    if (status === 501) await this.remove(key);
    // Some storages answer so where there is no object, such as when the response to the same request was lost.
    return status !== 412 || await this.size(key) === undefined;
  }

  /** Lists one page of objects, sorted by the bytes of their keys. @param next where it begins, from the page before */
  async list({ prefix, delimiter, after, limit }: ObjectQuery, next?: string): Promise<ObjectPage> {
    const document = await this.#query({
      method: "GET",
      query: {
        "list-type": "2",
        prefix: `${this.#prefix}${prefix}`,
        // deno-lint-ignore crpe/conditional-spread -- each property is a parameter
        ...(delimiter === undefined ? {} : { delimiter }),
        ...(after === undefined || next !== undefined ? {} : { "start-after": `${this.#prefix}${after}` }),
        ...(limit === undefined ? {} : { "max-keys": String(limit) }),
        ...(next === undefined ? {} : { "continuation-token": next }),
      },
    }, "ListBucketResult");
    return {
      objects: childrenOf(document, "Contents").map((entry) => ({
        key: this.#keyOf(entry),
        size: Number(requireText(entry, "Size")),
        modified: Date.parse(requireText(entry, "LastModified")),
      })),
      folders: childrenOf(document, "CommonPrefixes").map((it) => requireText(it, "Prefix").slice(this.#prefix.length)),
      next: textOf(document, "IsTruncated") === "true" ? requireText(document, "NextContinuationToken") : undefined,
    };
  }

  /** Yields all objects of a list. */
  async *walk(query: ObjectQuery): AsyncGenerator<ListedObject> {
    let page = await this.list(query);
    yield* page.objects;
    while (page.next !== undefined) {
      page = await this.list(query, page.next);
      yield* page.objects;
    }
  }

  /** Starts an upload in parts. @returns its ID */
  async startUpload(key: string): Promise<string> {
    const document = await this.#query(
      { method: "POST", key, query: { uploads: "" }, headers: { "content-type": "application/octet-stream" } },
      "InitiateMultipartUploadResult",
    );
    return requireText(document, "UploadId");
  }

  /** Uploads a part. @param number from 1 @returns its etag */
  async uploadPart(key: string, id: string, part: { number: number; body: Uint8Array<ArrayBuffer> }): Promise<string> {
    const query = { partNumber: String(part.number), uploadId: id };
    const { headers } = await this.#transport.send({ method: "PUT", key, query, body: part.body });
    const etag = headers.get("etag");
    if (etag === null) {
      throw new S3Error(cannot(`write ${key}`, "the object storage stated no etag of a part"));
    }
    return etag;
  }

  /** Gives the uploaded parts the name of the object. @param etags of the parts, in order */
  async completeUpload(key: string, id: string, etags: readonly string[]): Promise<void> {
    const parts = etags.map((etag, i) =>
      `<Part><PartNumber>${i + 1}</PartNumber><ETag>${escapeXml(etag)}</ETag></Part>`
    );
    const body = `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${
      parts.join("")
    }</CompleteMultipartUpload>`;
    // The status is sent before the parts are joined: an error may follow it.
    await this.#query(
      { method: "POST", key, query: { uploadId: id }, body: new TextEncoder().encode(body) },
      "CompleteMultipartUploadResult",
    );
  }

  /** Removes the parts of an upload. */
  async abortUpload(key: string, id: string): Promise<void> {
    await this.#transport.send({ method: "DELETE", key, query: { uploadId: id }, accept: [404] });
  }

  /** Lists uploads that were not completed: the first 1000. */
  async listUploads(prefix: string): Promise<PendingUpload[]> {
    const query = { uploads: "", prefix: `${this.#prefix}${prefix}` };
    const document = await this.#query({ method: "GET", query }, "ListMultipartUploadsResult");
    return childrenOf(document, "Upload").map((entry) => ({
      key: this.#keyOf(entry),
      id: requireText(entry, "UploadId"),
      started: Date.parse(requireText(entry, "Initiated")),
    }));
  }

  async #query(request: S3Request, name: string): Promise<XmlElement> {
    const { bytes } = await this.#transport.send(request);
    const what = describeRequest(request);
    let document: XmlElement;
    try {
      document = parseXml(new TextDecoder().decode(bytes));
    } catch (cause) {
      if (!(cause instanceof CorruptError)) throw cause;
      throw new S3Error(cannot(what, "the object storage answered no XML"), { cause });
    }
    if (document.name === name) return document;
    const reason = textOf(document, "Code") ?? document.name;
    throw new S3Error(cannot(what, `the object storage answered ${reason}`), { errorCode: reason });
  }

  #keyOf(entry: XmlElement): string {
    return requireText(entry, "Key").slice(this.#prefix.length);
  }
}

function headersOf(condition: WriteCondition | undefined): Record<string, string> {
  if (condition === undefined) return {};
  return "isNew" in condition ? { "if-none-match": "*" } : { "if-match": condition.etag };
}

// A write that requires an object finds none. One that requires that there is none finds no bucket, which is an error.
function unmetStatuses(condition: WriteCondition | undefined): number[] {
  if (condition === undefined) return [];
  return "isNew" in condition ? [409, 412] : [404, 409, 412];
}

function childrenOf(element: XmlElement, name: string): XmlElement[] {
  return element.children.filter((child) => child.name === name);
}

function requireText(element: XmlElement, name: string): string {
  const text = textOf(element, name);
  if (text === undefined) throw new S3Error(cannot(`read ${element.name}`, `the object storage sent no ${name}`));
  return text;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
