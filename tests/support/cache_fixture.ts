import { computeDigest, type Digest } from "../../lib/oci/digest.ts";
import { assert, assertEquals } from "./assert.ts";
import { type CrpeProcess, startCrpe } from "./crpe_process.ts";
import { FaultUpstream, type FaultUpstreamOptions } from "./fault_upstream.ts";
import { TestFolder } from "./test_folder.ts";

/** What came of a request. */
export interface Received {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** False: the connection was broken off before the end. */
  readonly isComplete: boolean;
}

/** How a site is made. */
export interface CacheFixtureOptions {
  readonly upstream?: FaultUpstreamOptions;
  /** Besides `--addr`, `--data` and `--upstream`. */
  readonly flags?: readonly string[];
  /** Another data folder than one of its own. */
  readonly data?: string;
  /** The text of a configuration file; `UPSTREAM` in it stands for the upstream's URL. */
  readonly config?: string;
}

/** The registry's name in the tests' image references, and a repository there. */
export const HOST = "registry.test";
/** The repository, as the upstream knows it. */
export const PATH = "team/app";
// Nothing may hang for ever; how long it takes proves nothing.
const GUARD_MILLISECONDS = 60_000;

/** A real `crpe registry` before an upstream that fails as it is told to. */
export class CacheFixture implements AsyncDisposable {
  readonly folder: TestFolder;
  readonly upstream: FaultUpstream;
  readonly data: string;
  readonly #args: readonly string[];
  #crpe: CrpeProcess | undefined;

  private constructor(
    folder: TestFolder,
    upstream: FaultUpstream,
    options: CacheFixtureOptions,
    config: string | undefined,
  ) {
    this.folder = folder;
    this.upstream = upstream;
    this.data = options.data ?? `${folder.path}/data`;
    this.#args = [
      "registry",
      "--addr=127.0.0.1:0",
      `--data=${this.data}`,
      ...(config === undefined ? [`--upstream=${HOST}=${upstream.url}`] : [`--config=${config}`]),
      ...options.flags ?? [],
    ];
  }

  static async start(options: CacheFixtureOptions = {}): Promise<CacheFixture> {
    const folder = await TestFolder.create();
    const upstream = new FaultUpstream(options.upstream ?? {});
    const config = options.config &&
      await folder.write("crpe.yaml", options.config.replaceAll("UPSTREAM", upstream.url));
    const fixture = new CacheFixture(folder, upstream, options, config);
    try {
      await fixture.restart();
      return fixture;
    } catch (error) {
      await fixture[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Everything that crpe has printed. */
  get log(): string {
    return this.crpe.log();
  }

  /** The process that runs now. */
  get crpe(): CrpeProcess {
    assert(this.#crpe !== undefined);
    return this.#crpe;
  }

  /** Ends crpe, if it runs, and starts it on the same folder. */
  async restart(): Promise<void> {
    await this.#crpe?.[Symbol.asyncDispose]();
    this.#crpe = await startCrpe(this.#args, { env: { HOME: this.folder.path } });
  }

  /** Kills crpe as a power switch would. */
  async kill(): Promise<void> {
    this.crpe.kill("SIGKILL");
    await this.crpe.finished;
  }

  /** Ends the upstream: its connections are refused from then on. */
  async stopUpstream(): Promise<void> {
    await this.upstream[Symbol.asyncDispose]();
  }

  /** The URL of something in the repository: `blobs/sha256:…`. */
  url(resource: string, repo = `${HOST}/${PATH}`): string {
    return `${this.crpe.url}/v2/${repo}/${resource}`;
  }

  /** Asks for something in the repository, and reads the answer as far as it goes. */
  async get(resource: string, init: RequestInit = {}): Promise<Received> {
    return await receive(await this.open(resource, init));
  }

  /** Asks for something in the repository; the body is left to the caller. */
  open(resource: string, init: RequestInit = {}): Promise<Response> {
    return fetch(this.url(resource), { signal: AbortSignal.timeout(GUARD_MILLISECONDS), ...init });
  }

  /** Where a blob is, or would be. */
  blobFile(digest: Digest): string {
    const [algorithm, hex = ""] = digest.split(":");
    return `${this.data}/docker/registry/v2/blobs/${algorithm}/${hex.slice(0, 2)}/${hex}/data`;
  }

  /** Tells whether the store has the blob; if so, it has to be the right one. */
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

  /** Temporary files and partial downloads. */
  async listTemporary(): Promise<string[]> {
    const entries = await Array.fromAsync(Deno.readDir(`${this.data}/ingest`));
    return entries.map(({ name }) => name).filter((name) => !name.endsWith(".lock"));
  }

  /** Pulls an image as a client does: the tag, the manifest below it, the blobs, each checked against its digest. */
  async pull(tag: string, { byHead = false } = {}): Promise<void> {
    if (byHead) assertEquals((await this.get(`manifests/${tag}`, { method: "HEAD" })).status, 200);
    let manifest = await this.#getManifest(tag);
    const [child] = manifest.manifests ?? [];
    if (child !== undefined) manifest = await this.#getManifest(child.digest);
    await Promise.all([manifest.config!, ...manifest.layers ?? []].map(async ({ digest }) => {
      const { status, isComplete, bytes } = await this.get(`blobs/${digest}`);
      assertEquals([status, isComplete, computeDigest(bytes)], [200, true, digest]);
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

/** Reads an answer as far as it goes. */
export async function receive(response: Response): Promise<Received> {
  const { status, headers } = response;
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let isComplete = true;
  try {
    for await (const chunk of response.body ?? []) chunks.push(chunk as Uint8Array<ArrayBuffer>);
  } catch (error) {
    // Only what the other side did is of interest; that it does nothing is a failure of the test.
    if (error instanceof DOMException) throw error;
    isComplete = false;
  }
  return { status, headers, bytes: new Uint8Array(await new Blob(chunks).arrayBuffer()), isComplete };
}

/** Waits until something is so; what it waits for has no other way to be noticed. @throws when it never is */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1000; tries++) {
    if (await isSo()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`It never came about that ${what}`);
}
