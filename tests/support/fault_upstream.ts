import { gzipSync } from "node:zlib";
import { computeDigest, type Digest } from "../../lib/oci/digest.ts";
import { type Descriptor, MEDIA_TYPE } from "../../lib/oci/manifest.ts";
import { type RawRequest, type RawResponse, type RawServer, serveRaw } from "./raw_http.ts";
import { errorBody, kindOf, notFound, rangeOf, type RequestKind, text } from "./upstream_answer.ts";
import { type UpstreamAuth, UpstreamLogin } from "./upstream_login.ts";

/** A received request. */
export interface SeenRequest {
  readonly kind: RequestKind;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: string;
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** A fault. Everything that is set applies to each request that the fault is for. */
export interface Fault extends Partial<Omit<RawResponse, "status">> {
  /** The requests that it is for; by default all except those for tokens. */
  readonly kind?: RequestKind;
  readonly method?: string;
  /** Only requests whose path contains this text. */
  readonly path?: string;
  /** How many requests it is for; by default every one. */
  readonly times?: number;
  /** Answers with this status and no body. */
  readonly status?: number;
  /** Changes the first byte of the body. */
  readonly wrongBytes?: boolean;
  /** Answers a Range request with 200 and the whole blob. */
  readonly ignoreRange?: boolean;
  /** Redirects to this URL; `{path}` in it is replaced with the requested path. */
  readonly redirectTo?: string;
  /** Sends the body gzipped, with `Content-Encoding`. */
  readonly gzip?: boolean;
}

/** Options of an upstream. */
export interface FaultUpstreamOptions {
  readonly auth?: UpstreamAuth;
  /** Certificate and key in PEM; by default it serves plain HTTP. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** The number of tags in a page of `tags/list`; by default unlimited. */
  readonly tagsPerPage?: number;
  /** Whether it has a referrers API. */
  readonly referrersApi?: boolean;
}

/** The descriptors of an added image. */
export interface AddedImage {
  readonly manifest: Descriptor;
  readonly manifestBytes: Uint8Array;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

interface Repository {
  readonly tags: Map<string, Digest>;
  readonly manifests: Map<Digest, { mediaType: string; bytes: Uint8Array }>;
  readonly blobs: Map<Digest, Uint8Array>;
  readonly referrers: Map<Digest, Descriptor[]>;
}

const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";
const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";

/** Starts a registry in this process, on 127.0.0.1, with its images in memory and with the faults that a test sets. */
export function startFaultUpstream(options: FaultUpstreamOptions = {}): FaultUpstream {
  return new FaultUpstream(options);
}

/** See `startFaultUpstream`. Repositories are named without a host. */
export class FaultUpstream implements AsyncDisposable {
  /** `http://127.0.0.1:<port>`, without a slash at the end. */
  readonly url: string;
  /** `127.0.0.1:<port>` */
  readonly host: string;
  readonly requests: SeenRequest[] = [];
  readonly #options: FaultUpstreamOptions;
  readonly #repositories = new Map<string, Repository>();
  readonly #server: RawServer;
  readonly #login: UpstreamLogin;
  #faults: { fault: Fault; left: number }[] = [];
  #isEnded = false;

  constructor(options: FaultUpstreamOptions) {
    this.#options = options;
    const server = serveRaw((request) => this.#serve(request), options.tls);
    this.#server = server;
    this.host = `127.0.0.1:${server.port}`;
    this.url = `${options.tls === undefined ? "http" : "https"}://${this.host}`;
    this.#login = new UpstreamLogin(this, options.auth);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    await this.#server[Symbol.asyncDispose]();
  }

  /** Adds a fault. Of several that match a request, the first one applies. */
  fail(fault: Fault): void {
    this.#faults.push({ fault, left: fault.times ?? Infinity });
  }

  /** Removes all faults. */
  heal(): void {
    this.#faults = [];
  }

  /** How many bytes of bodies were written to connections so far. */
  get bodyBytes(): number {
    return this.#server.bodyBytes;
  }

  /** Counts the received requests of a kind and a method; by default of any. */
  count(kind?: RequestKind, method?: string): number {
    return this.requests.filter((seen) =>
      (kind === undefined || seen.kind === kind) && (method === undefined || seen.method === method)
    ).length;
  }

  /** Adds an image with these layers, by default a single small one, and tags it. */
  addImage(repo: string, tag: string, layers: readonly Uint8Array[] = [text(`layer of ${repo}:${tag}`)]): AddedImage {
    const config = {
      ...this.addBlob(repo, text(JSON.stringify({ architecture: "amd64", os: "linux", of: repo, tag }))),
    };
    const descriptors = layers.map((layer) => this.addBlob(repo, layer));
    const manifest = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.ociManifest,
      config: { ...config, mediaType: CONFIG_TYPE },
      layers: descriptors,
    };
    const manifestBytes = text(JSON.stringify(manifest));
    const descriptor = this.addManifest(repo, manifestBytes, { tag });
    return { manifest: descriptor, manifestBytes, config: manifest.config, layers: descriptors };
  }

  /** Adds any bytes as a manifest. */
  addManifest(
    repo: string,
    bytes: Uint8Array,
    options: { tag?: string; mediaType?: string; subject?: Digest } = {},
  ): Descriptor {
    const { tag, mediaType = MEDIA_TYPE.ociManifest, subject } = options;
    const digest = computeDigest(bytes);
    const repository = this.#repository(repo);
    repository.manifests.set(digest, { mediaType, bytes });
    if (tag !== undefined) repository.tags.set(tag, digest);
    const descriptor = { mediaType, digest, size: bytes.length };
    if (subject !== undefined) {
      repository.referrers.set(subject, [...repository.referrers.get(subject) ?? [], descriptor]);
    }
    return descriptor;
  }

  /** The bytes of a manifest. */
  bytesOf(repo: string, digest: Digest): Uint8Array {
    return this.#repository(repo).manifests.get(digest)!.bytes;
  }

  addBlob(repo: string, bytes: Uint8Array, digest = computeDigest(bytes)): Descriptor {
    this.#repository(repo).blobs.set(digest, bytes);
    return { mediaType: LAYER_TYPE, digest, size: bytes.length };
  }

  /** Removes a tag. */
  removeTag(repo: string, tag: string): void {
    this.#repository(repo).tags.delete(tag);
  }

  #repository(name: string): Repository {
    let found = this.#repositories.get(name);
    if (found === undefined) {
      found = { tags: new Map(), manifests: new Map(), blobs: new Map(), referrers: new Map() };
      this.#repositories.set(name, found);
    }
    return found;
  }

  #serve(request: RawRequest): RawResponse {
    const { method, url, headers, body } = request;
    const kind = kindOf(url.pathname);
    const response = this.#withFault(request, kind, this.#answer(request, kind));
    const { status } = response;
    this.requests.push({ kind, method, path: url.pathname, query: url.search, status, headers, body });
    return response;
  }

  #withFault(
    { method, url }: RawRequest,
    kind: RequestKind,
    right: (isRangeIgnored: boolean) => RawResponse,
  ): RawResponse {
    const found = this.#faults.find(({ fault, left }) =>
      left > 0 && (fault.kind === undefined ? kind !== "token" : fault.kind === kind) &&
      (fault.method === undefined || fault.method === method) &&
      (fault.path === undefined || url.pathname.includes(fault.path))
    );
    if (found === undefined) return right(false);
    found.left--;
    const { wrongBytes, ignoreRange, redirectTo, gzip, status, headers, ...wire } = found.fault;
    if (redirectTo !== undefined) {
      return { status: status ?? 307, headers: { ...headers, Location: redirectTo.replace("{path}", url.pathname) } };
    }
    if (status !== undefined) return { status, body: "", ...wire, headers };
    const response = right(ignoreRange === true);
    let bytes = wire.body ?? response.body ?? "";
    if (wrongBytes && typeof bytes !== "string") {
      bytes = bytes.slice();
      bytes[0] = (bytes[0] ?? 0) ^ 0xff;
    }
    if (gzip) bytes = gzipSync(bytes);
    return {
      ...response,
      ...wire,
      body: bytes,
      headers: { ...response.headers, ...headers, ...(gzip ? { "Content-Encoding": "gzip" } : {}) },
    };
  }

  #answer(request: RawRequest, kind: RequestKind): (isRangeIgnored: boolean) => RawResponse {
    if (kind === "token") return () => this.#login.giveToken(request);
    const challenge = this.#login.challenge(request);
    if (challenge !== undefined) {
      return () => ({
        status: 401,
        headers: { ...(challenge === "" ? {} : { "WWW-Authenticate": challenge }), "Content-Type": "application/json" },
        body: errorBody("UNAUTHORIZED", "authentication required"),
      });
    }
    return (isRangeIgnored) => this.#content(request, kind, isRangeIgnored);
  }

  #content({ url, headers }: RawRequest, kind: RequestKind, isRangeIgnored: boolean): RawResponse {
    if (kind === "ping") return { status: 200, body: "{}" };
    const [, name = "", , reference = ""] =
      /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/([^/]+)$/.exec(url.pathname) ?? [];
    const repository = this.#repositories.get(name);
    if (kind === "manifest") {
      const digest = repository?.tags.get(reference) ?? reference as Digest;
      const manifest = repository?.manifests.get(digest);
      if (manifest === undefined) return notFound("MANIFEST_UNKNOWN");
      const { mediaType, bytes } = manifest;
      return { status: 200, headers: { "Content-Type": mediaType, "Docker-Content-Digest": digest }, body: bytes };
    }
    if (kind === "blob") {
      const blob = repository?.blobs.get(reference as Digest);
      if (blob === undefined) return notFound("BLOB_UNKNOWN");
      return rangeOf(blob, isRangeIgnored ? null : headers.get("range"));
    }
    if (kind === "tags" && repository !== undefined) return this.#listTags(name, repository, url);
    if (kind === "referrers" && this.#options.referrersApi === true) {
      const manifests = repository?.referrers.get(reference as Digest) ?? [];
      const index = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests });
      return { status: 200, headers: { "Content-Type": MEDIA_TYPE.ociIndex }, body: index };
    }
    return notFound("NAME_UNKNOWN");
  }

  #listTags(name: string, repository: Repository, url: URL): RawResponse {
    const { tagsPerPage = Infinity } = this.#options;
    const last = url.searchParams.get("last") ?? "";
    const rest = [...repository.tags.keys()].sort().filter((tag) => tag > last);
    const tags = rest.slice(0, tagsPerPage);
    const link = `</v2/${name}/tags/list?n=${tagsPerPage}&last=${tags.at(-1)}>; rel="next"`;
    const headers: Record<string, string> = rest.length > tags.length ? { Link: link } : {};
    return {
      status: 200,
      headers: { "Content-Type": "application/json", ...headers },
      body: JSON.stringify({ name, tags }),
    };
  }
}
