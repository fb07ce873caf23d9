import { computeDigest } from "../../../../lib/oci/digest.ts";
import { createEndpointSelector } from "../../../../lib/upstream/endpoints.ts";
import { EndpointPool } from "../../../../lib/upstream/endpoint_pool.ts";
import { pushBlob, type PushBlobOptions } from "../../../../lib/upstream/push/push_blob.ts";
import type { UpstreamEvent } from "../../../../lib/upstream/transport/events.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { type PushFault, PushRegistry, type PushRegistryOptions } from "../../../support/push_registry.ts";
import { Random } from "../../../support/random.ts";

const HOST = "registry.example.com";
const CHUNK = 512 * 1024;
const MIB = 1024 * 1024;

function openRegistry(options: PushRegistryOptions = {}, url = `https://${HOST}`) {
  const registry = new PushRegistry(options);
  const events: UpstreamEvent[] = [];
  const waits: number[] = [];
  const pool = new EndpointPool({
    endpointsOf: createEndpointSelector([{ host: HOST, url }]),
    fetch: registry.handler,
    isPush: true,
    random: () => 0,
    sleep: (milliseconds) => {
      waits.push(milliseconds);
      return Promise.resolve();
    },
    onEvent: (event) => events.push(event),
  });
  const { client } = pool.clientsOf(HOST)[0]!;
  const push = async (bytes: Uint8Array<ArrayBuffer>, options: Partial<PushBlobOptions> = {}) => {
    let opened = 0;
    const content = {
      digest: computeDigest(bytes),
      size: bytes.length,
      open: (start: number) => {
        opened++;
        return Promise.resolve(new Blob([bytes.subarray(start)]).stream());
      },
    };
    const result = await pushBlob(client, { path: "team/app", repo: `${HOST}/team/app` }, {
      chunkBytes: CHUNK,
      content,
      ...options,
    });
    assertEquals(registry.blobs.get(`team/app ${content.digest}`), bytes);
    return { ...result, opened };
  };
  return { registry, events, waits, push };
}

const SIZE = 4 * CHUNK + 1000;
const blob = new Random(15).bytes(SIZE);

interface Row {
  readonly what: string;
  readonly options?: PushRegistryOptions;
  readonly faults?: Readonly<Record<number, PushFault>>;
  /** Bytes that are sent more than once. */
  readonly repeated?: number;
  /** Times that the content is opened. */
  readonly opened?: number;
  readonly waits?: number[];
}

const ROWS: readonly Row[] = [
  { what: "absolute Locations" },
  { what: "relative Locations", options: { location: "relative" } },
  { what: "Locations with http of a registry that is asked with https", options: { location: "http" } },
  { what: "OCI-Chunk-Min-Length", options: { minChunk: MIB } },
  {
    what: "a cut in the middle of a chunk: resumes there, without reading the content again",
    faults: { 3: { cutAfter: 100_000 } },
    repeated: CHUNK - 100_000,
    waits: [500],
  },
  {
    what: "a cut in the last chunk",
    faults: { 5: { cutAfter: 400 } },
    repeated: 600,
    waits: [500],
  },
  { what: "an answer that is lost: the chunk is not sent again", faults: { 2: { losesAnswer: true } }, waits: [500] },
  { what: "the answer to the end that is lost", faults: { 5: { losesAnswer: true } }, waits: [500] },
  { what: "a chunk that the runtime has sent twice", faults: { 2: { isRepeated: true } } },
  {
    what: "a chunk that was cut, and that the runtime has sent again: resumes in it",
    faults: { 3: { cutAfter: 100_000, isRepeated: true } },
    repeated: CHUNK - 100_000,
  },
  { what: "an end that the runtime has sent twice: the blob is there", faults: { 5: { isRepeated: true } } },
  {
    what: "a registry that drops the upload (404): begins again",
    faults: { 4: { drops: true } },
    repeated: 4 * CHUNK,
    opened: 2,
    waits: [500],
  },
  {
    what: "a registry that does not know the upload that it has just begun (404), once: begins again, in chunks",
    faults: { 1: { status: 404 } },
    repeated: CHUNK,
    waits: [500],
  },
  {
    what: "503 with Retry-After",
    faults: { 2: { status: 503, headers: { "retry-after": "7" } } },
    repeated: CHUNK,
    waits: [7000],
  },
  {
    what: "429 with Retry-After",
    faults: { 2: { status: 429, headers: { "retry-after": "3" } } },
    repeated: CHUNK,
    waits: [3000],
  },
  {
    what: "416 at the right place: one stream",
    faults: { 2: { status: 416 } },
    repeated: 2 * CHUNK,
    opened: 2,
  },
  {
    what: "chunks that are refused: one stream",
    options: { chunks: "refuse" },
    repeated: CHUNK,
    opened: 2,
  },
  {
    what: "chunks that are ignored: one stream",
    options: { chunks: "ignore" },
    repeated: 2 * CHUNK,
    opened: 2,
  },
  {
    what: "chunks that overwrite each other: one stream",
    options: { chunks: "overwrite" },
    repeated: 2 * CHUNK,
    opened: 2,
  },
  { what: "chunks that must be larger than memory has: one stream", options: { minChunk: 64 * MIB }, opened: 1 },
  {
    what: "413: smaller chunks",
    options: { maxBody: 300_000 },
    repeated: 0,
  },
];

for (const { what, options, faults = {}, repeated, opened = 1, waits = [] } of ROWS) {
  Deno.test(`[98] a blob is pushed: ${what}`, async () => {
    const { registry, push, ...state } = openRegistry(options);
    registry.fault = (number) => faults[number];
    const result = await push(blob, what.startsWith("413") ? { chunkBytes: 2 * MIB } : {});
    assertEquals({ outcome: result.outcome, opened: result.opened, waits: state.waits }, {
      outcome: "sent",
      opened,
      waits,
    });
    if (repeated !== undefined && repeated > 0) assertEquals(result.bytes - SIZE, repeated);
    if (repeated === undefined && opened === 1) assertEquals(result.bytes, SIZE);
  });
}

Deno.test("a blob that the registry has is not sent; one of another repository is mounted; else it is sent", async () => {
  const small = new Random(16).bytes(100);
  const digest = computeDigest(small);
  const rows = [
    { held: "team/app", mounts: true, outcome: "present", requests: ["HEAD blobs"] },
    { held: "base", mounts: true, outcome: "mounted", requests: ["HEAD blobs", "POST blobs/uploads"] },
    {
      held: "base",
      mounts: false,
      outcome: "sent",
      requests: ["HEAD blobs", "POST blobs/uploads", "PUT blobs/uploads"],
    },
  ];
  for (const { held, mounts, outcome, requests } of rows) {
    const { registry, push } = openRegistry({ mounts });
    registry.blobs.set(`${held} ${digest}`, small);
    const result = await push(small, { from: "base" });
    assertEquals([result.outcome, registry.requests], [outcome, requests]);
    assertEquals(result.bytes, outcome === "sent" ? 100 : 0);
  }
  const { push } = openRegistry();
  assertEquals((await push(new Uint8Array(0))).outcome, "sent");
});

Deno.test("[98] a push without progress is given up after five tries, and one with progress is not", async () => {
  const stuck = openRegistry();
  stuck.registry.fault = () => ({ cutAfter: 0 });
  const error = await assertRejects(() => stuck.push(blob), Error, "the connection was cut");
  assertEquals([stuck.waits.length, error.message.startsWith(`Cannot push blob ${computeDigest(blob)} of`)], [4, true]);

  const slow = openRegistry();
  const cuts = Math.floor(SIZE / 100_000);
  slow.registry.fault = (number) => number <= cuts ? { cutAfter: 100_000 } : undefined;
  // Each request brings 100 kB, and then the connection is cut.
  assertEquals((await slow.push(blob)).outcome, "sent");
  assertEquals(slow.waits.length, cuts);
  assertEquals(slow.events.filter(({ type }) => type === "resume").length, slow.waits.length);
});

Deno.test("[98] [90] an upload is not sent to an address that the registry must not lead to", async () => {
  const rows = [
    ["http://other.example.com/up?x=1", "it sends the upload to other.example.com, which does not use https"],
    ["https://169.254.169.254/up", "which no registry uses"],
    ["https://user:pw@registry.example.com/up", "has a user name or a password"],
    ["ftp://registry.example.com/up", "no http or https URL"],
    ["", "has no Location"],
  ] as const;
  for (const [location, reason] of rows) {
    const { handler } = openRegistry().registry;
    const pool = new EndpointPool({
      endpointsOf: createEndpointSelector([{ host: HOST, url: `https://${HOST}` }]),
      fetch: (request) =>
        request.method === "POST"
          ? Promise.resolve(new Response(null, { status: 202, headers: location === "" ? {} : { location } }))
          : handler(request),
      resolveHost: () => Promise.resolve(["203.0.113.5"]),
    });
    const content = { digest: computeDigest(blob), size: SIZE, open: () => Promise.resolve(new Blob([]).stream()) };
    await assertRejects(
      () => pushBlob(pool.clientsOf(HOST)[0]!.client, { path: "a", repo: "a" }, { content }),
      Error,
      reason,
    );
  }
});

for (const status of [400, 404, 405, 411, 415, 416, 422, 501]) {
  // A blob that fits in memory, and one that is sent as a stream.
  for (const size of [5 * MIB, 33 * MIB]) {
    Deno.test(`[98] a registry that answers ${status} to every PATCH gets a blob of ${size / MIB} MiB whole`, async () => {
      const { registry, push, waits } = openRegistry({ patch: status });
      const { outcome } = await push(new Uint8Array(size).fill(7));
      // The first 404 may be that of a registry which was restarted.
      const waited = status === 404 ? [500] : [];
      assertEquals([outcome, waits, registry.requests.at(-1)], ["sent", waited, "PUT blobs/uploads"]);
    });
  }
}

Deno.test("[98] a request that a registry does not have (501) is not repeated", async () => {
  const { registry, push, waits } = openRegistry();
  registry.fault = () => ({ status: 501 });
  await assertRejects(() => push(blob), Error, "the registry answers 501");
  assertEquals(waits, []);
});
