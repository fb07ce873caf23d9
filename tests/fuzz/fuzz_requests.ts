import { joinChunks } from "../../lib/bytes/join_chunks.ts";
import { computeDigest } from "../../lib/oci/digest.ts";
import { findPeer } from "../support/peers.ts";
import { privateHosts } from "./hostile_hosts.ts";
import {
  type HostileRequest,
  makeHostileRequest,
  makePrivateHostRequest,
  type RequestFacts,
} from "./hostile_requests.ts";
import { Random } from "../support/random.ts";
import { FramingError, type RawAnswer, RawConnection } from "./raw_client.ts";
import { REPOSITORY, RequestRegistry, SECRET } from "./request_registry.ts";

/** Which requests to send, and how many. */
export interface FuzzRequestsOptions {
  readonly seed: number;
  /** How many requests to send; one that is refused by closing the connection counts. */
  readonly count: number;
  /** The folder of the registry; it exists and is empty. */
  readonly folder: string;
  /** The time after which no more requests are sent, in milliseconds. */
  readonly maxTime: number;
  readonly onProgress?: (done: number) => void;
}

/** The result of a run. */
export interface FuzzRequestsResult {
  readonly findings: readonly string[];
  /** The number of requests by response status, or `closed` for a closed connection. */
  readonly statuses: Readonly<Record<string, number>>;
  readonly done: number;
  /** The largest resident memory of the registry, in bytes. */
  readonly peakMemory: number;
  /** Whether strace watched all files that the registry opened, and all connections that it made. */
  readonly isTraced: boolean;
}

/** The limit of the registry's resident memory, in bytes. */
export const MAX_REGISTRY_MEMORY = 320 * 1024 * 1024;
const WORKERS = 6;
const MAX_FINDINGS = 30;
/** The share of requests that name private hosts while every public upstream is allowed. */
const ANY_SHARE = 0.15;

/** Sends hostile requests to a real registry on this machine, over persistent connections. */
export async function fuzzRequests(options: FuzzRequestsOptions): Promise<FuzzRequestsResult> {
  const { seed, count, folder } = options;
  const strace = findPeer("strace");
  const findings = new Set<string>();
  const run = new RequestRun(options, (message) => void (findings.size < MAX_FINDINGS && findings.add(message)));
  using canary = listenQuietly((address) => findings.add(`a connection was made to ${address}`));
  await using upstream = serveNothing((path) => findings.add(`the upstream received a request for ${path}`));
  const privates = privateHosts(canary.port);
  let peakMemory = 0;
  for (const allowsAny of [false, true]) {
    const home = `${folder}/${allowsAny ? "any" : "named"}`;
    await Deno.mkdir(home);
    const onFinding = (message: string) => void (findings.size < MAX_FINDINGS && findings.add(message));
    await using registry = await RequestRegistry.start({
      ...{ folder: home, upstreamPort: upstream.port, allowsAny, strace, onFinding },
    });
    const facts = { name: REPOSITORY, tag: "1", blob: registry.blob, privates };
    const until = allowsAny ? count : Math.ceil(count * (1 - ANY_SHARE));
    const make = allowsAny ? makePrivateHostRequest : makeHostileRequest;
    await Promise.all(Array.from({ length: WORKERS }, (_, i) => {
      const random = new Random(seed, allowsAny ? 1 : 0, i);
      return run.work(registry.port, until, () => make(random, facts));
    }));
    await run.checkAlive(registry.port, facts);
    peakMemory = Math.max(peakMemory, registry.peakMemory);
  }
  if (peakMemory > MAX_REGISTRY_MEMORY) findings.add(`${peakMemory} bytes of memory were in use`);
  const { statuses, done } = run;
  return { findings: [...findings], statuses, done, peakMemory, isTraced: strace !== undefined };
}

class RequestRun {
  readonly statuses: Record<string, number> = {};
  done = 0;
  readonly #end: number;
  readonly #onFinding: (message: string) => void;
  readonly #onProgress: ((done: number) => void) | undefined;

  constructor({ maxTime, onProgress }: FuzzRequestsOptions, onFinding: (message: string) => void) {
    this.#end = performance.now() + maxTime;
    this.#onProgress = onProgress;
    this.#onFinding = onFinding;
  }

  /** Sends batches until `until` requests are done or the time is over. */
  async work(port: number, until: number, make: () => HostileRequest): Promise<void> {
    let batch: HostileRequest[] = [];
    while (this.done < until && performance.now() < this.#end) {
      if (batch.length === 0) batch = takeBatch(make);
      try {
        using connection = await RawConnection.open(port);
        // The connection is reused until the registry closes it.
        while (batch.length > 0) {
          const isAlone = !batch[0]!.isFramed;
          const answered = await this.#exchange(connection, batch);
          batch = batch.slice(answered);
          if (batch.length > 0 || isAlone || this.done >= until) break;
          batch = takeBatch(make);
        }
      } catch (error) {
        if (!(error instanceof FramingError)) throw error;
        this.#onFinding(`${error.message}; sent: ${batch.map(show).join("")}`);
        this.#count("broken", batch.length);
        batch = [];
      }
    }
  }

  async checkAlive(port: number, { name, tag }: RequestFacts): Promise<void> {
    using connection = await RawConnection.open(port);
    await connection.send(new TextEncoder().encode(`GET /v2/${name}/manifests/${tag} HTTP/1.1\r\nHost: crpe\r\n\r\n`));
    const answer = await connection.receive("GET");
    if (answer?.status !== 200) this.#onFinding(`afterwards a manifest is answered with ${answer?.status}`);
  }

  // Gives the number of completed requests: all, or those up to the one that closed the connection.
  async #exchange(connection: RawConnection, batch: readonly HostileRequest[]): Promise<number> {
    const isAlone = !batch[0]!.isFramed;
    connection.send(joinChunks(batch.map(({ bytes }) => bytes)));
    if (isAlone) await connection.finish();
    for (const [i, request] of batch.entries()) {
      const answer = await connection.receive(request.method);
      this.#count(answer === undefined ? "closed" : `${answer.status}`);
      // Without an answer, the request before may have closed the connection: this one is sent again.
      if (answer === undefined) return Math.max(i, 1);
      this.#check(request, answer);
      if (/^connection: *close/mi.test(answer.head)) return i + 1;
    }
    return batch.length;
  }

  #check(request: HostileRequest, { status, head, body }: RawAnswer): void {
    const text = new TextDecoder("latin1").decode(body);
    const sent = `; sent: ${show(request)}`;
    if (status >= 500) this.#onFinding(`${status} ${text.slice(0, 300)}${sent}`);
    if (request.expected !== undefined && status !== 400 && !request.expected.includes(status)) {
      this.#onFinding(`${status} instead of ${request.expected.join(" or ")}${sent}`);
    }
    if (request.expected !== undefined && status === 400 && !request.expected.includes(400)) {
      this.#onFinding(`400 ${text.slice(0, 200)} instead of ${request.expected.join(" or ")}${sent}`);
    }
    if (text.includes(SECRET) || text.includes("root:x:0:0")) {
      this.#onFinding(`a file outside of the store was served${sent}`);
    }
    if (/^x-injected:/mi.test(head)) this.#onFinding(`a header was injected by the request${sent}`);
    const digest = /^docker-content-digest: *(\S+)\r$/mi.exec(head)?.[1];
    if (status === 200 && digest !== undefined && request.method === "GET" && computeDigest(body) !== digest) {
      this.#onFinding(`the bytes do not match ${digest}${sent}`);
    }
  }

  #count(status: string, times = 1): void {
    this.statuses[status] = (this.statuses[status] ?? 0) + times;
    const before = this.done;
    this.done += times;
    if (Math.floor(before / 10_000) < Math.floor(this.done / 10_000)) this.#onProgress?.(this.done);
  }
}

// A request without framing gets a connection of its own.
function takeBatch(make: () => HostileRequest): HostileRequest[] {
  const batch: HostileRequest[] = [];
  while (batch.length < 12) {
    const request = make();
    if (!request.isFramed) return [request];
    batch.push(request);
  }
  return batch;
}

function show({ bytes }: HostileRequest): string {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, 600));
  return JSON.stringify(bytes.length > 600 ? `${text}…` : text);
}

// Listens on all addresses of this machine; any connection is a finding.
function listenQuietly(onCall: (address: string) => void): Disposable & { readonly port: number } {
  const listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const listeners: Deno.Listener[] = [listener];
  try {
    listeners.push(Deno.listen({ hostname: "::1", port }));
  } catch {
    // The machine has no IPv6.
  }
  const accept = async (each: Deno.Listener) => {
    for await (const connection of each) {
      onCall(JSON.stringify(connection.remoteAddr));
      connection.close();
    }
  };
  for (const each of listeners) accept(each).catch(() => {});
  return { port, [Symbol.dispose]: () => listeners.forEach((each) => each.close()) };
}

// Answers 404 to everything. A path outside of the grammar of the distribution specification is a finding.
function serveNothing(onStrange: (path: string) => void): AsyncDisposable & { readonly port: number } {
  const grammar =
    /^\/v2\/(?:[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*\/)+(?:manifests\/(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|sha(?:256|512):[0-9a-f]+)|blobs\/sha(?:256|512):[0-9a-f]+|tags\/list|referrers\/sha(?:256|512):[0-9a-f]+)(?:\?.*)?$/;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, ({ url }) => {
    const path = url.slice(url.indexOf("/", 8));
    if (!grammar.test(path) && path !== "/v2/") onStrange(path);
    return Response.json({ errors: [{ code: "NAME_UNKNOWN", message: "nothing here" }] }, { status: 404 });
  });
  return { port: server.addr.port, [Symbol.asyncDispose]: () => server.shutdown() };
}
