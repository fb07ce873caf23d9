import { joinChunks } from "../../lib/bytes/join_chunks.ts";
import { computeDigest } from "../../lib/oci/digest.ts";

/** What a `PushRegistry` does differently from others. */
export interface PushRegistryOptions {
  /** The form of the `Location` of an upload. */
  readonly location?: "absolute" | "relative" | "http";
  /** Sent as `OCI-Chunk-Min-Length`, and enforced. */
  readonly minChunk?: number;
  /** The largest body that it accepts. */
  readonly maxBody?: number;
  /** What it does with chunks after the first one. */
  readonly chunks?: "append" | "overwrite" | "ignore" | "refuse";
  /** The status of every `PATCH`, which it does not have. */
  readonly patch?: number;
  /** Whether it knows how to mount a blob. */
  readonly mounts?: boolean;
}

/** What goes wrong with one request that has a body. */
export interface PushFault {
  /** The connection is cut after so many bytes of the body, which the registry keeps. */
  readonly cutAfter?: number;
  /** The registry drops the upload. */
  readonly drops?: boolean;
  /** The registry answers this status instead. */
  readonly status?: number;
  readonly headers?: Record<string, string>;
  /** The registry does what it is asked, and its answer is lost. */
  readonly losesAnswer?: boolean;
  /** The runtime sends the request again on a new connection: only the answer to that is received. */
  readonly isRepeated?: boolean;
}

interface Upload {
  bytes: Uint8Array<ArrayBuffer>;
  readonly name: string;
}

const ROUTE = /^\/v2\/(.+)\/(blobs\/uploads|blobs|manifests)\/([^/]*)$/;

/** The pushing side of a registry (distribution specification, "Push"), in memory, with faults. */
export class PushRegistry {
  /** `PATH digest` → content. */
  readonly blobs = new Map<string, Uint8Array>();
  /** `PATH tag or digest` → manifest. */
  readonly manifests = new Map<string, Uint8Array>();
  /** `METHOD kind`, in order: `PATCH blobs/uploads`. */
  readonly requests: string[] = [];
  /** The number of bytes of bodies that were received. */
  received = 0;
  /** Called with the number of each request that has a body, from 1 on. */
  fault: (number: number) => PushFault | undefined = () => undefined;
  readonly #uploads = new Map<string, Upload>();
  readonly #options: PushRegistryOptions;
  #bodies = 0;

  constructor(options: PushRegistryOptions = {}) {
    this.#options = options;
  }

  /** Answers a request; throws where the connection is cut. */
  readonly handler = async (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    const [, name = "", kind = "", last = ""] = ROUTE.exec(url.pathname) ?? [];
    const { method } = request;
    this.requests.push(`${method} ${kind}`);
    if (kind === "blobs") {
      const blob = this.blobs.get(`${name} ${last}`);
      return new Response(null, blob ? { headers: { "content-length": `${blob.length}` } } : { status: 404 });
    }
    if (kind === "manifests") return await this.#answerManifest(request, `${name} ${last}`);
    if (method === "POST") return this.#begin(url, name);
    if (!this.#uploads.has(last) || url.searchParams.get("state") !== "a+b") return error(404, "BLOB_UPLOAD_UNKNOWN");
    if (method === "GET") return this.#accepted(url, last, 204);
    if (method === "PATCH" && this.#options.patch !== undefined) {
      await request.body?.cancel();
      return new Response(null, { status: this.#options.patch });
    }
    const fault = this.fault(++this.#bodies);
    const { body, isCut } = await readBody(request);
    if (fault?.drops) this.#uploads.delete(last);
    if (fault?.drops) return error(404, "BLOB_UPLOAD_UNKNOWN");
    if (fault?.status !== undefined) return new Response(null, { status: fault.status, headers: fault.headers ?? {} });
    const upload = { url, id: last, method, range: request.headers.get("content-range") };
    const answer = this.#take(upload, {
      body: body.subarray(0, fault?.cutAfter ?? body.length),
      isCut: isCut || fault?.cutAfter !== undefined,
    });
    if (fault?.isRepeated) return this.#take(upload, { body, isCut });
    if (isCut || fault?.cutAfter !== undefined || fault?.losesAnswer) throw new TypeError("connection reset by peer");
    return answer;
  };

  async #answerManifest(request: Request, key: string): Promise<Response> {
    if (request.method === "PUT") this.manifests.set(key, new Uint8Array(await request.arrayBuffer()));
    const bytes = this.manifests.get(key);
    if (bytes === undefined) return error(404, "MANIFEST_UNKNOWN");
    const headers = { "docker-content-digest": computeDigest(bytes) };
    return new Response(null, { status: request.method === "PUT" ? 201 : 200, headers });
  }

  #begin(url: URL, name: string): Response {
    const [digest, from] = [url.searchParams.get("mount"), url.searchParams.get("from")];
    const mounted = this.#options.mounts === false ? undefined : this.blobs.get(`${from} ${digest}`);
    if (mounted !== undefined) {
      this.blobs.set(`${name} ${digest}`, mounted);
      return new Response(null, { status: 201 });
    }
    const id = crypto.randomUUID();
    this.#uploads.set(id, { bytes: new Uint8Array(0), name });
    return this.#accepted(new URL(`/v2/${name}/blobs/uploads/`, url), id, 202);
  }

  #take(
    { url, id, method, range }: { url: URL; id: string; method: string; range: string | null },
    { body, isCut }: { body: Uint8Array; isCut: boolean },
  ): Response {
    const upload = this.#uploads.get(id);
    if (upload === undefined) return error(404, "BLOB_UPLOAD_UNKNOWN");
    const { minChunk = 0, maxBody = Infinity, chunks = "append" } = this.#options;
    this.received += body.length;
    if (body.length > maxBody) return error(413, "SIZE_INVALID");
    const start = Number(/^(\d+)-/.exec(range ?? "")?.[1] ?? upload.bytes.length);
    if (range !== null && chunks === "refuse") return error(405, "UNSUPPORTED");
    if (start !== upload.bytes.length && chunks === "append") return error(416, "RANGE_INVALID");
    if (method === "PATCH" && range !== null && body.length < minChunk && !isCut) return error(416, "RANGE_INVALID");
    const isFirst = upload.bytes.length === 0;
    if (isFirst || chunks === "append") upload.bytes = concat(upload.bytes, body);
    else if (chunks === "overwrite" && body.length > 0) upload.bytes = new Uint8Array(body);
    if (method === "PATCH" || isCut) return this.#accepted(url, id, 202);
    const digest = url.searchParams.get("digest") ?? "";
    if (computeDigest(upload.bytes) !== digest) return error(400, "DIGEST_INVALID");
    this.blobs.set(`${upload.name} ${digest}`, upload.bytes);
    this.#uploads.delete(id);
    return new Response(null, { status: 201, headers: { "docker-content-digest": digest } });
  }

  #accepted(url: URL, id: string, status: number): Response {
    const { location = "absolute", minChunk } = this.#options;
    const to = new URL(id, new URL(".", url));
    to.search = "?state=a%2Bb";
    if (location === "http") to.protocol = "http:";
    const { length } = this.#uploads.get(id)!.bytes;
    return new Response(null, {
      status,
      headers: {
        location: location === "relative" ? `${to.pathname}${to.search}` : to.href,
        range: `0-${Math.max(0, length - 1)}`,
        ...(minChunk === undefined ? {} : { "oci-chunk-min-length": `${minChunk}` }),
      },
    });
  }
}

// Of a connection that is cut, a registry keeps what it has received.
async function readBody(request: Request): Promise<{ body: Uint8Array<ArrayBuffer>; isCut: boolean }> {
  const pieces: Uint8Array[] = [];
  let isCut = false;
  try {
    for await (const piece of request.body ?? []) pieces.push(piece);
  } catch {
    isCut = true;
  }
  return { body: joinChunks(pieces), isCut };
}

function error(status: number, code: string): Response {
  return Response.json({ errors: [{ code, message: code.toLowerCase() }] }, { status });
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
