import { computeDigest } from "../../../../lib/oci/digest.ts";
import { createEndpointSelector, type UpstreamEntry } from "../../../../lib/upstream/endpoints.ts";
import { EndpointPool } from "../../../../lib/upstream/endpoint_pool.ts";
import { pushBlob } from "../../../../lib/upstream/push/push_blob.ts";
import { assertEquals } from "../../../support/assert.ts";

const HOST = "registry.example.com";
const MIB = 1024 * 1024;
const MAX_REQUESTS = 100;
const LOGIN = { "www-authenticate": 'Basic realm="x"' };

/** Registries that answer from a script, which no `PushRegistry` does. */
interface Row {
  readonly what: string;
  /** In MiB. */
  readonly size: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly entry?: Partial<UpstreamEntry>;
  /** The status of a request with a body, by its method and number; and the last byte that the registry then has. */
  readonly answer: (method: string, number: number) => readonly [status: number, last?: number];
  /** What the registry tells about an upload: its status, and the last byte. */
  readonly status: readonly [status: number, last?: number];
  readonly answerHeaders?: Readonly<Record<string, string>>;
  /** `sent`, or the end of the error. */
  readonly outcome: string;
  readonly waits?: readonly number[];
}

const ROWS: readonly Row[] = [
  {
    what: "a refused end (416) of an upload that has all bytes is no pushed blob",
    size: 2,
    answer: (method) => method === "PATCH" ? [202, MIB - 1] : [416],
    status: [204, 2 * MIB - 1],
    outcome: "the registry answers 416",
  },
  {
    what: "a registry that has less after each 416 is given up",
    size: 3,
    answer: (_, number) => number % 2 === 1 ? [202] : [416],
    status: [204, 0],
    outcome: "it has dropped the upload",
    waits: [500, 1000, 2000, 4000],
  },
  {
    what: "413 at the smallest chunk that the registry takes is an error",
    size: 5,
    headers: { "oci-chunk-min-length": String(2 * MIB) },
    answer: () => [413],
    status: [404],
    outcome: "it refuses 2097152 bytes as too large (413)",
  },
  {
    what: "413, then smaller chunks, none smaller than the registry takes",
    size: 5,
    headers: { "oci-chunk-min-length": String(MIB / 2) },
    answer: (_, number) => number === 1 ? [413] : [number === 11 ? 201 : 202],
    status: [404],
    outcome: "sent",
  },
  {
    what: "one connection is enough to ask after a failure",
    size: 2,
    entry: { maxConnections: 1 },
    answer: (method, number) => number === 1 ? [503] : [method === "PUT" ? 201 : 202],
    status: [204, 0],
    outcome: "sent",
    waits: [500],
  },
  {
    what: "a stream is sent again with a login",
    size: 2,
    entry: { credential: { username: "engineer", password: "a-secret" } },
    // The first chunk is refused, and the stream is not authorized.
    answer: (_, number) => [[400], [401], [202], [201]][number - 1] as [number],
    answerHeaders: LOGIN,
    status: [404],
    outcome: "sent",
  },
  {
    what: "a registry that does not tell what it has gets the blob again",
    size: 2,
    answer: (method, number) => number === 1 ? [503] : [method === "PUT" ? 201 : 202],
    status: [405],
    outcome: "sent",
    waits: [500],
  },
  {
    what: "Retry-After: 0 is no reason not to wait",
    size: 2,
    answer: (method, number) => number <= 2 ? [503] : [method === "PUT" ? 201 : 202],
    answerHeaders: { "retry-after": "0" },
    status: [404],
    outcome: "sent",
    waits: [500, 1000],
  },
];

for (const { what, size, headers = {}, entry = {}, answer, status, answerHeaders = {}, outcome, waits = [] } of ROWS) {
  Deno.test(`[98] ${what}`, async () => {
    const [waited, end] = [[] as number[], new AbortController()];
    const location = "/v2/team/app/blobs/uploads/1";
    const rangeOf = (last: number | undefined): Record<string, string> =>
      last === undefined ? {} : { range: `0-${last}` };
    let [requests, bodies] = [0, 0];
    const pool = new EndpointPool({
      endpointsOf: createEndpointSelector([{ host: HOST, url: `https://${HOST}`, ...entry }]),
      isPush: true,
      random: () => 0,
      sleep: (milliseconds) => {
        waited.push(milliseconds);
        return Promise.resolve();
      },
      signal: end.signal,
      fetch: async (request) => {
        if (++requests > MAX_REQUESTS) end.abort(new Error(`more than ${MAX_REQUESTS} requests`));
        end.signal.throwIfAborted();
        if (request.method === "HEAD") return new Response(null, { status: 404 });
        if (request.method === "POST") return new Response(null, { status: 202, headers: { location, ...headers } });
        if (request.method === "GET") {
          return new Response(null, { status: status[0], headers: { location, ...rangeOf(status[1]) } });
        }
        await request.arrayBuffer();
        const [code, last] = answer(request.method, ++bodies);
        return new Response(null, { status: code, headers: { location, ...rangeOf(last), ...answerHeaders } });
      },
    });
    const bytes = new Uint8Array(size * MIB).fill(7);
    const content = {
      digest: computeDigest(bytes),
      size: bytes.length,
      open: (start: number) => Promise.resolve(new Blob([bytes.subarray(start)]).stream()),
    };
    const { client } = pool.clientsOf(HOST)[0]!;
    const result = await pushBlob(client, { path: "team/app", repo: "team/app" }, { content, chunkBytes: MIB }).then(
      (pushed) => pushed.outcome,
      (error: Error) => error.message.slice(-outcome.length),
    );
    assertEquals([result, waited], [outcome, waits]);
  });
}
