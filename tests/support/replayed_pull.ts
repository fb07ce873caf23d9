import { computeDigest, type Digest } from "../../lib/oci/digest.ts";
import { MEDIA_TYPE, parseManifest, successorsOf } from "../../lib/oci/manifest.ts";
import { assertEquals } from "./assert.ts";
import type { Situation } from "./mirror_fixture.ts";

/** The requests of a replayed client. */
export interface ReplayedRequests {
  /** The header lines of a request for a manifest. */
  readonly manifest: readonly string[];
  /** The header lines of a request for a blob. */
  readonly blob: readonly string[];
  /** Whether the client sends a HEAD before each GET of a manifest. */
  readonly asksByHead: boolean;
}

/** CRI-O's requests (containers/image): no HEAD, no namespace, and one Accept line for each type. */
export const CRIO_REQUESTS: ReplayedRequests = {
  manifest: [
    "User-Agent: cri-o/1.30.0 go/go1.22.2 os/linux arch/amd64",
    ...[MEDIA_TYPE.ociManifest, MEDIA_TYPE.dockerManifest, "application/vnd.docker.distribution.manifest.v1+prettyjws"]
      .map((type) => `Accept: ${type}`),
    ...["application/vnd.docker.distribution.manifest.v1+json", MEDIA_TYPE.dockerList, MEDIA_TYPE.ociIndex]
      .map((type) => `Accept: ${type}`),
    "Docker-Distribution-Api-Version: registry/2.0",
    "Accept-Encoding: gzip",
  ],
  blob: [
    "User-Agent: cri-o/1.30.0 go/go1.22.2 os/linux arch/amd64",
    "Docker-Distribution-Api-Version: registry/2.0",
    "Accept-Encoding: identity",
  ],
  asksByHead: false,
};

/** docker's requests with its classic image store. */
export const DOCKER_REQUESTS: ReplayedRequests = {
  manifest: [
    "User-Agent: docker/24.0.7 go/go1.20.10 git-commit/311b9ff kernel/6.1.0 os/linux arch/amd64 UpstreamClient(Docker-Client/24.0.7)",
    ...["application/json", MEDIA_TYPE.dockerManifest, MEDIA_TYPE.dockerList, MEDIA_TYPE.ociIndex]
      .map((type) => `Accept: ${type}`),
    ...["application/vnd.docker.distribution.manifest.v1+prettyjws", MEDIA_TYPE.ociManifest]
      .map((type) => `Accept: ${type}`),
    "Accept-Encoding: gzip",
    "Connection: keep-alive",
  ],
  blob: ["User-Agent: docker/24.0.7 go/go1.20.10", "Accept-Encoding: identity", "Connection: keep-alive"],
  asksByHead: true,
};

/** The image to pull, and where from. */
export interface ReplayedPull {
  /** The address of the mirror. */
  readonly host: string;
  /** The path of the repository, as the client requests it. */
  readonly path: string;
  readonly situation: Situation;
}

/**
 * Pulls like a strict client, which checks the type, length and digest of each response.
 *
 * @param sent the client's requests
 */
export async function replayPull(sent: ReplayedRequests, { host, path, situation }: ReplayedPull): Promise<void> {
  const { image, reference } = situation;
  using connection = await HttpReplay.connect(host);
  const ok = (answer: ReplayedResponse): ReplayedResponse => {
    assertEquals(answer.status, 200, new TextDecoder().decode(answer.body));
    return answer;
  };
  const ping = ok(await connection.send("GET", "/v2/", sent.blob.slice(0, 1)));
  assertEquals(ping.headers.get("docker-distribution-api-version"), "registry/2.0");
  const readManifest = async (reference: string, expected: Digest): Promise<void> => {
    const target = `/v2/${path}/manifests/${reference}`;
    const head = sent.asksByHead ? ok(await connection.send("HEAD", target, sent.manifest)) : undefined;
    const answer = ok(await connection.send("GET", target, sent.manifest));
    for (const { headers } of [answer, ...head === undefined ? [] : [head]]) {
      assertEquals(headers.get("content-length"), String(answer.body.length));
      assertEquals(headers.get("docker-content-digest"), expected);
      assertEquals(headers.get("content-encoding"), undefined);
    }
    assertEquals(computeDigest(answer.body), expected);
    const type = answer.headers.get("content-type") ?? "";
    const manifest = parseManifest(answer.body, type);
    assertEquals(type, manifest.mediaType);
    for (const { digest, platform } of successorsOf(manifest)) {
      if (manifest.kind === "index") {
        if (platform?.architecture === "amd64") await readManifest(digest, digest);
        continue;
      }
      const blob = ok(await connection.send("GET", `/v2/${path}/blobs/${digest}`, sent.blob));
      assertEquals(computeDigest(blob.body), digest);
      assertEquals(blob.headers.get("content-encoding"), undefined);
    }
  };
  await readManifest(reference, image.root.digest);
}

/** A response as received. */
interface ReplayedResponse {
  readonly status: number;
  /** By name in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** A connection that sends requests exactly as written, one after the other. */
class HttpReplay implements Disposable {
  readonly #connection: Deno.Conn;
  readonly #host: string;
  #rest = new Uint8Array();

  private constructor(connection: Deno.Conn, host: string) {
    this.#connection = connection;
    this.#host = host;
  }

  /** @param host `127.0.0.1:40123` */
  static async connect(host: string): Promise<HttpReplay> {
    const { hostname, port } = new URL(`http://${host}`);
    return new HttpReplay(await Deno.connect({ hostname, port: Number(port) }), host);
  }

  /**
   * Sends a request with these header lines, in this order, and reads the response.
   *
   * @throws {Error} when the response has no Content-Length, or the connection closes before its end
   */
  async send(method: string, target: string, headers: readonly string[]): Promise<ReplayedResponse> {
    const lines = [`${method} ${target} HTTP/1.1`, `Host: ${this.#host}`, ...headers, "", ""];
    const bytes = new TextEncoder().encode(lines.join("\r\n"));
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
    const head = await this.#readHead();
    const [first = "", ...rest] = head.split("\r\n");
    const answer = new Map(rest.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }));
    const length = answer.get("content-length");
    if (length === undefined) throw new Error(`${method} ${target}: the response has no Content-Length: ${head}`);
    const body = method === "HEAD" ? new Uint8Array() : await this.#take(Number(length));
    return { status: Number(first.split(" ")[1]), headers: answer, body };
  }

  [Symbol.dispose](): void {
    this.#connection.close();
  }

  async #readHead(): Promise<string> {
    const decoder = new TextDecoder("latin1");
    for (;;) {
      const end = decoder.decode(this.#rest).indexOf("\r\n\r\n");
      if (end < 0) {
        await this.#readMore();
        continue;
      }
      return decoder.decode((await this.#take(end + 4)).subarray(0, end));
    }
  }

  async #take(length: number): Promise<Uint8Array<ArrayBuffer>> {
    while (this.#rest.length < length) await this.#readMore();
    const taken = this.#rest.slice(0, length);
    this.#rest = this.#rest.slice(length);
    return taken;
  }

  async #readMore(): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    const count = await this.#connection.read(buffer);
    if (count === null) throw new Error("the connection was closed in the middle of a response");
    const joined = new Uint8Array(this.#rest.length + count);
    joined.set(this.#rest);
    joined.set(buffer.subarray(0, count), this.#rest.length);
    this.#rest = joined;
  }
}
