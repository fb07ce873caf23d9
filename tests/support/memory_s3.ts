import { joinChunks } from "../../lib/bytes/join_chunks.ts";
import { createHash } from "node:crypto";
import { S3Client } from "../../lib/object_store/s3_client.ts";
import type { S3Location } from "../../lib/object_store/s3_location.ts";
import { S3Transport, type S3TransportOptions } from "../../lib/object_store/s3_transport.ts";

interface StoredObject {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly etag: string;
  modified: number;
}

interface Upload {
  readonly key: string;
  readonly started: number;
  readonly parts: Map<number, StoredObject>;
}

const LOCATION: S3Location = {
  bucket: "bucket",
  prefix: "pre/",
  endpoint: "http://s3.test",
  region: "us-east-1",
  isPathStyle: true,
};
const KEYS = { accessKeyId: "key", secretAccessKey: "secret" };

/** The S3 API over objects in memory, for tests: what a store uses of it, as the engines answer it. */
export class MemoryS3 {
  readonly objects = new Map<string, StoredObject>();
  readonly uploads = new Map<string, Upload>();
  /** The requests, as `GET /bucket/key?query`. */
  readonly requests: string[] = [];
  /** The clock of the storage, in milliseconds. */
  now = Date.parse("2026-01-01T00:00:00Z");
  /** Whether conditions of writes are obeyed. */
  hasConditions = true;
  /** Size of the pages of lists. */
  pageSize = 1000;
  /** Answers a request instead of the storage, if it returns a response. */
  intercept: (request: Request) => Response | undefined | Promise<Response | undefined> = () => undefined;
  #nextUpload = 1;

  /** Opens a client. */
  client(options: Partial<S3TransportOptions> = {}): S3Client {
    return new S3Client(
      new S3Transport({
        location: LOCATION,
        readCredentials: () => Promise.resolve(KEYS),
        fetch: (input, init) => this.fetch(new Request(input, init)),
        now: () => this.now,
        delay: () => Promise.resolve(),
        ...options,
      }),
    );
  }

  async fetch(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    this.requests.push(`${request.method} ${decodeURIComponent(pathname)}${search}`);
    const response = await this.intercept(request) ?? await this.#answer(request);
    if (!response.headers.has("date")) response.headers.set("date", new Date(this.now).toUTCString());
    return response;
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname, searchParams: query } = new URL(request.url);
    const key = decodeURIComponent(pathname).replace(/^\/bucket\/?/, "");
    const body = new Uint8Array(await request.arrayBuffer());
    const stated = request.headers.get("x-amz-content-sha256");
    if (!request.headers.get("authorization")?.startsWith("AWS4-HMAC-SHA256 Credential=key/")) {
      return refuse(403, "AccessDenied");
    }
    if (stated !== hash(body)) return refuse(400, "XAmzContentSHA256Mismatch");
    if (key === "") return query.has("uploads") ? this.#listUploads(query) : this.#list(query);
    const uploadId = query.get("uploadId");
    if (query.has("uploads")) {
      const id = `upload-${this.#nextUpload++}`;
      this.uploads.set(id, { key, started: this.now, parts: new Map() });
      return xml(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`);
    }
    if (uploadId !== null) return this.#answerUpload(request, uploadId, body);
    if (request.method === "PUT") return this.#put(key, body, request.headers);
    if (request.method === "DELETE") return this.#delete(key, request.headers);
    return this.#get(key, request);
  }

  #put(key: string, bytes: Uint8Array<ArrayBuffer>, headers: Headers): Response {
    const current = this.objects.get(key);
    const match = headers.get("if-match");
    if (this.hasConditions && headers.get("if-none-match") === "*" && current !== undefined) {
      return refuse(412, "PreconditionFailed");
    }
    if (this.hasConditions && match !== null && current?.etag !== match) {
      return refuse(current === undefined ? 404 : 412, "PreconditionFailed");
    }
    const etag = `"${hash(bytes).slice(0, 32)}"`;
    this.objects.set(key, { bytes, etag, modified: this.now });
    return new Response(null, { headers: { etag } });
  }

  #delete(key: string, headers: Headers): Response {
    const [current, match] = [this.objects.get(key), headers.get("if-match")];
    if (this.hasConditions && match !== null && current !== undefined && current.etag !== match) {
      return refuse(412, "PreconditionFailed");
    }
    this.objects.delete(key);
    return new Response(null, { status: 204 });
  }

  #get(key: string, { method, headers }: Request): Response {
    const object = this.objects.get(key);
    if (object === undefined) return refuse(404, "NoSuchKey", method);
    const match = headers.get("if-match");
    if (match !== null && match !== object.etag) return refuse(412, "PreconditionFailed", method);
    const { bytes, etag } = object;
    const range = /^bytes=(\d+)-(\d*)$/.exec(headers.get("range") ?? "");
    if (range === null) {
      return new Response(method === "HEAD" ? null : bytes, { headers: { etag, "content-length": `${bytes.length}` } });
    }
    const [start, end] = [Number(range[1]), Math.min(Number(range[2] || Infinity), bytes.length - 1)];
    if (start >= bytes.length) return refuse(416, "InvalidRange");
    const part = bytes.subarray(start, end + 1);
    const contentRange = `bytes ${start}-${end}/${bytes.length}`;
    return new Response(part, {
      status: 206,
      headers: { etag, "content-length": `${part.length}`, "content-range": contentRange },
    });
  }

  #answerUpload(request: Request, id: string, body: Uint8Array<ArrayBuffer>): Response {
    const upload = this.uploads.get(id);
    if (upload === undefined) return refuse(404, "NoSuchUpload");
    const number = new URL(request.url).searchParams.get("partNumber");
    if (number !== null) {
      const etag = `"${hash(body).slice(0, 32)}"`;
      upload.parts.set(Number(number), { bytes: body, etag, modified: this.now });
      return new Response(null, { headers: { etag } });
    }
    this.uploads.delete(id);
    if (request.method === "DELETE") return new Response(null, { status: 204 });
    const listed = [...new TextDecoder().decode(body).matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>([^<]+)</g)];
    const parts = listed.map(([, number, etag]) => {
      const part = upload.parts.get(Number(number));
      return part?.etag === etag ? part : undefined;
    });
    if (parts.length === 0 || parts.some((part) => part === undefined)) return refuse(400, "InvalidPart");
    this.#put(upload.key, joinChunks(parts.map((part) => part!.bytes)), new Headers());
    return xml("<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>");
  }

  #list(query: URLSearchParams): Response {
    const prefix = query.get("prefix") ?? "";
    const delimiter = query.get("delimiter");
    const after = query.get("continuation-token") ?? query.get("start-after") ?? "";
    const limit = Math.min(this.pageSize, Number(query.get("max-keys") ?? Infinity));
    const entries: string[] = [];
    let last = "";
    let isMore = false;
    for (const key of [...this.objects.keys()].sort()) {
      if (!key.startsWith(prefix)) continue;
      const end = delimiter === null ? -1 : key.indexOf(delimiter, prefix.length);
      const name = end < 0 ? key : key.slice(0, end + 1);
      if (name <= after || name === last) continue;
      if (entries.length === limit) {
        isMore = true;
        break;
      }
      last = name;
      const { bytes, modified } = this.objects.get(key)!;
      entries.push(
        end < 0
          ? `<Contents><Key>${name}</Key><LastModified>${
            new Date(modified).toISOString()
          }</LastModified><Size>${bytes.length}</Size></Contents>`
          : `<CommonPrefixes><Prefix>${name}</Prefix></CommonPrefixes>`,
      );
    }
    const next = isMore ? `<NextContinuationToken>${last}</NextContinuationToken>` : "";
    return xml(`<ListBucketResult><IsTruncated>${isMore}</IsTruncated>${next}${entries.join("")}</ListBucketResult>`);
  }

  #listUploads(query: URLSearchParams): Response {
    const uploads = [...this.uploads].filter(([, { key }]) => key.startsWith(query.get("prefix") ?? ""));
    const entries = uploads.map(([id, { key, started }]) =>
      `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${
        new Date(started).toISOString()
      }</Initiated></Upload>`
    );
    return xml(`<ListMultipartUploadsResult>${entries.join("")}</ListMultipartUploadsResult>`);
  }
}

function xml(text: string, status = 200): Response {
  const head = '<?xml version="1.0" encoding="UTF-8"?>\n';
  return new Response(head + text, { status, headers: { "content-type": "application/xml" } });
}

function refuse(status: number, code: string, method = "GET"): Response {
  if (method === "HEAD") return new Response(null, { status });
  return xml(`<Error><Code>${code}</Code><Message>${code}</Message></Error>`, status);
}

function hash(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
