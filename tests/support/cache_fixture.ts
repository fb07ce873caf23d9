import { computeDigest, type Digest } from "../../lib/oci/digest.ts";
import { assert, assertEquals } from "./assert.ts";
import { type CrpeProcess, startCrpe } from "./crpe_process.ts";
import { FaultUpstream, type FaultUpstreamOptions } from "./fault_upstream.ts";
import { TestFolder } from "./test_folder.ts";

/** A response, as far as it was received. */
export interface Received {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Whether the body was received to its end; false when the connection was aborted. */
  readonly isComplete: boolean;
}

/** Options of the fixture. */
export interface CacheFixtureOptions {
  readonly upstream?: FaultUpstreamOptions;
  /** Flags in addition to `--addr`, `--data` and `--upstream`. */
  readonly flags?: readonly string[];
  /** The data folder; by default one in a temporary folder. */
  readonly data?: string;
  /** The text of a configuration file; `UPSTREAM` in it is replaced with the upstream's URL. */
  readonly config?: string;
}

/** The registry's name in the tests' image references. */
export const HOST = "registry.test";
/** The repository's name on the upstream. */
export const PATH = "team/app";
// Ends a request that hangs. Durations prove nothing, so the limit is generous.
const GUARD_MILLISECONDS = 60_000;

interface CacheFlags {
  readonly data?: string;
  /** The flag that names the upstream. */
  readonly source: string;
  readonly flags?: readonly string[];
}

/** A real `crpe registry` in front of an upstream whose faults a test controls. */
export class CacheFixture implements AsyncDisposable {
  readonly folder: TestFolder;
  readonly upstream: FaultUpstream;
  readonly data: string;
  readonly #args: readonly string[];
  #crpe: CrpeProcess | undefined;

  private constructor(folder: TestFolder, upstream: FaultUpstream, { data, source, flags = [] }: CacheFlags) {
    this.folder = folder;
    this.upstream = upstream;
    this.data = data ?? `${folder.path}/data`;
    this.#args = ["registry", "--addr=127.0.0.1:0", `--data=${this.data}`, source, ...flags];
  }

  /** Starts the upstream, and crpe in front of it. */
  static async start(options: CacheFixtureOptions = {}): Promise<CacheFixture> {
    const folder = await TestFolder.create();
    const upstream = new FaultUpstream(options.upstream ?? {});
    const config = options.config &&
      await folder.write("crpe.yaml", options.config.replaceAll("UPSTREAM", upstream.url));
    const source = config === undefined ? `--upstream=${HOST}=${upstream.url}` : `--config=${config}`;
    const fixture = new CacheFixture(folder, upstream, { ...options, source });
    try {
      await fixture.restart();
      return fixture;
    } catch (error) {
      await fixture[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Everything that crpe has logged. */
  get log(): string {
    return this.crpe.log();
  }

  /** The running process. */
  get crpe(): CrpeProcess {
    assert(this.#crpe !== undefined);
    return this.#crpe;
  }

  /** Stops crpe if it runs, and starts it on the same data folder. */
  async restart(): Promise<void> {
    await this.#crpe?.[Symbol.asyncDispose]();
    this.#crpe = await startCrpe(this.#args, { env: { HOME: this.folder.path } });
  }

  /** Kills crpe with SIGKILL. */
  async kill(): Promise<void> {
    this.crpe.kill("SIGKILL");
    await this.crpe.finished;
  }

  /** Stops the upstream; it refuses connections from then on. */
  async stopUpstream(): Promise<void> {
    await this.upstream[Symbol.asyncDispose]();
  }

  /** Formats the URL of a resource of the repository, such as `blobs/sha256:…`. */
  url(resource: string, repo = `${HOST}/${PATH}`): string {
    return `${this.crpe.url}/v2/${repo}/${resource}`;
  }

  /** Requests a resource of the repository, and reads the response as far as it is sent. */
  async get(resource: string, init: RequestInit = {}): Promise<Received> {
    return await receive(await this.open(resource, init));
  }

  /** Requests a resource of the repository, and leaves the body to the caller. */
  open(resource: string, init: RequestInit = {}): Promise<Response> {
    return fetch(this.url(resource), { signal: AbortSignal.timeout(GUARD_MILLISECONDS), ...init });
  }

  /** The path of a blob, whether or not it exists. */
  blobFile(digest: Digest): string {
    const [algorithm, hex = ""] = digest.split(":");
    return `${this.data}/docker/registry/v2/blobs/${algorithm}/${hex.slice(0, 2)}/${hex}/data`;
  }

  /** Reports whether the store has a blob, and checks its digest. */
  async holds(digest: Digest): Promise<boolean> {
    try {
      const bytes = await Deno.readFile(this.blobFile(digest));
      assertEquals(computeDigest(bytes), digest);
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }

  /** Reports whether the store has a blob, and a link of the repository to it. */
  async isLinked(digest: Digest): Promise<boolean> {
    const link = `${this.data}/docker/registry/v2/repositories/${HOST}/${PATH}/_layers/${
      digest.replace(":", "/")
    }/link`;
    return await this.holds(digest) && await Deno.stat(link).then(() => true, () => false);
  }

  /** Lists temporary files and partial downloads. */
  async listTemporary(): Promise<string[]> {
    const entries = await Array.fromAsync(Deno.readDir(`${this.data}/ingest`));
    return entries.map(({ name }) => name).filter((name) => !name.endsWith(".lock") && name !== "image-use.json");
  }

  /** Pulls an image like a client: the tag, its first child, the blobs. Checks each against its digest. */
  async pull(tag: string, { byHead = false } = {}): Promise<void> {
    if (byHead) assertEquals((await this.get(`manifests/${tag}`, { method: "HEAD" })).status, 200);
    let manifest = await this.#getManifest(tag);
    const [child] = manifest.manifests ?? [];
    if (child !== undefined) manifest = await this.#getManifest(child.digest);
    await Promise.all([manifest.config!, ...manifest.layers ?? []].map(async ({ digest }) => {
      const { status, isComplete, bytes } = await this.get(`blobs/${digest}`);
      assertEquals({ status, isComplete, digest: computeDigest(bytes) }, { status: 200, isComplete: true, digest });
    }));
  }

  async #getManifest(reference: string): Promise<PulledManifest> {
    const { status, headers, bytes } = await this.get(`manifests/${reference}`);
    const text = new TextDecoder().decode(bytes);
    assertEquals(status, 200, text);
    assertEquals(headers.get("docker-content-digest"), computeDigest(bytes));
    return JSON.parse(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#crpe?.[Symbol.asyncDispose]();
    await this.stopUpstream();
    await this.folder[Symbol.asyncDispose]();
  }
}

interface PulledManifest {
  readonly manifests?: readonly { digest: Digest }[];
  readonly config?: { digest: Digest };
  readonly layers?: readonly { digest: Digest }[];
}

/** Reads a response as far as it is sent. */
export async function receive(response: Response): Promise<Received> {
  const { status, headers } = response;
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let isComplete = true;
  try {
    for await (const chunk of response.body ?? []) chunks.push(chunk as Uint8Array<ArrayBuffer>);
  } catch (error) {
    // An abort by the server is a result. The time-out of `open()` is a failure of the test.
    if (error instanceof DOMException) throw error;
    isComplete = false;
  }
  return { status, headers, bytes: new Uint8Array(await new Blob(chunks).arrayBuffer()), isComplete };
}

/**
 * Polls a condition that cannot be observed in another way, for at most 20 seconds.
 *
 * @param what the condition in words, for the error
 * @throws {Error} when the condition never holds
 */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (await isSo()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`Timed out while waiting until ${what}`);
}
