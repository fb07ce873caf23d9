import { RegistryError } from "../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { startFaultUpstream } from "../../support/fault_upstream.ts";
import { createTestSource, PATH, REGISTRY, REPO } from "../../support/upstream_source.ts";

/** How a method is answered: at once, never, when the other one was sent or answered, or with a status. */
interface Answering {
  readonly waits?: "for ever" | "until the GET is sent" | "until the HEAD is answered";
  readonly status?: number;
}

const ROWS: readonly (readonly [
  what: string,
  answering: { readonly HEAD: Answering; readonly GET: Answering },
  result: "found" | "missing" | string,
  aborted: readonly string[],
])[] = [
  ["a HEAD that is never answered", { HEAD: { waits: "for ever" }, GET: {} }, "found", ["HEAD"]],
  [
    "a HEAD that needs more than half of the time, as does the GET",
    { HEAD: { waits: "until the GET is sent" }, GET: { waits: "for ever" } },
    "found",
    ["GET"],
  ],
  [
    "a HEAD that is refused after half of the time",
    { HEAD: { waits: "until the GET is sent", status: 405 }, GET: { waits: "until the HEAD is answered" } },
    "found",
    [],
  ],
  [
    "a HEAD that is never answered, of what does not exist",
    { HEAD: { waits: "for ever" }, GET: { status: 404 } },
    "missing",
    ["HEAD"],
  ],
  [
    "a HEAD that is answered, of what a GET does not get in time",
    { HEAD: { waits: "until the GET is sent" }, GET: { status: 429 } },
    "found",
    [],
  ],
  [
    "a HEAD that is never answered, where a GET is denied",
    { HEAD: { waits: "for ever" }, GET: { status: 403 } },
    "the registry denies access",
    ["HEAD"],
  ],
  [
    "a registry that does not answer",
    { HEAD: { waits: "for ever" }, GET: { waits: "for ever" } },
    "did not answer within 0.4 s",
    ["HEAD", "GET"],
  ],
];

/** A registry that answers HEAD and GET like this, and what it was asked. */
async function createSite({ HEAD, GET }: { readonly HEAD: Answering; readonly GET: Answering }) {
  await using upstream = startFaultUpstream();
  const image = upstream.addImage(PATH, "1");
  const [layer] = image.layers;
  const [sent, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const until = {
    "for ever": new Promise<void>(() => {}),
    "until the GET is sent": sent.promise,
    "until the HEAD is answered": answered.promise,
  };
  const asked: string[] = [];
  const aborted: string[] = [];
  // The GET beside a HEAD does not wait for a slot of its own.
  const { source, events } = createTestSource([{ host: REGISTRY, url: "http://slow.test", maxConnections: 1 }], {
    timeouts: { connect: 400 },
    retry: { maxTries: 1 },
    fetch: async (request) => {
      const { method } = request;
      const { pathname: path } = new URL(request.url);
      // The probe of an endpoint that did not answer.
      if (path === "/v2/") return new Response();
      asked.push(method);
      const isHead = method === "HEAD";
      if (!isHead) sent.resolve();
      const { waits, status = 200 } = isHead ? HEAD : GET;
      if (waits !== undefined) {
        const ended = Promise.withResolvers<void>();
        const end = () => {
          aborted.push(method);
          ended.reject(request.signal.reason);
        };
        request.signal.addEventListener("abort", end);
        await Promise.race([until[waits], ended.promise]);
        request.signal.removeEventListener("abort", end);
      }
      if (isHead) answered.resolve();
      if (status !== 200) return new Response(null, { status });
      if (path.includes("/manifests/")) {
        const { mediaType, digest, size } = image.manifest;
        const headers = { "content-type": mediaType, "docker-content-digest": digest, "content-length": `${size}` };
        return new Response(isHead ? null : image.manifestBytes as Uint8Array<ArrayBuffer>, { headers });
      }
      return isHead
        ? new Response(null, { headers: { "content-length": `${layer!.size}` } })
        : new Response("x", { status: 206, headers: { "content-range": `bytes 0-0/${layer!.size}` } });
    },
  });
  return { source, events, asked, aborted, manifest: image.manifest, layer: layer! };
}

type Site = Awaited<ReturnType<typeof createSite>>;

const ASKS:
  readonly (readonly [what: string, ask: (site: Site) => Promise<unknown>, found: (site: Site) => unknown])[] = [
    ["a tag", ({ source }) => source.headManifest(REPO, "1"), ({ manifest }) => manifest],
    ["a tag, urgently", ({ source }) => source.headManifest(REPO, "1", { isUrgent: true }), ({ manifest }) => manifest],
    ["a blob", ({ source, layer }) => source.statBlob(REPO, layer.digest), ({ layer }) => layer.size],
  ];

for (const [what, answering, result, aborted] of ROWS) {
  Deno.test(`[71] UpstreamSource sends one GET beside ${what}`, async () => {
    await Promise.all(ASKS.map(async ([asking, ask, found]) => {
      const site = await createSite(answering);
      if (result === "found") assertEquals(await ask(site), found(site), asking);
      else if (result === "missing") assertEquals(await ask(site), undefined, asking);
      else await assertRejects(() => ask(site), RegistryError, result);
      assertEquals([site.asked, site.aborted], [["HEAD", "GET"], aborted], asking);
      // A request that is not needed any longer does not count as a failure of the endpoint.
      const failed = site.events.filter(({ type }) => type === "error");
      assertEquals(failed.length, result === "found" || result === "missing" ? 0 : 1, asking);
    }));
  });
}

const never = ({ signal }: Request) =>
  new Promise<Response>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
const LOGINS: readonly (readonly [what: string, token: typeof never, tries: number, message: string])[] = [
  ["does not answer", never, 1, "did not answer within 0.2 s"],
  ["stalls", () => Promise.resolve(new Response(new ReadableStream())), 1, "fewer than 1024 bytes"],
  ["fails", () => Promise.resolve(new Response(null, { status: 500 })), 5, "answers 500"],
];
for (const [what, answer, tries, message] of LOGINS) {
  Deno.test(`[71] UpstreamSource sends no GET after a HEAD whose token server ${what}`, async () => {
    await using upstream = startFaultUpstream({ auth: { type: "bearer" } });
    const image = upstream.addImage(PATH, "1");
    const asks = [
      (source: Site["source"]) => source.headManifest(REPO, "1"),
      (source: Site["source"]) => source.statBlob(REPO, image.layers[0]!.digest),
    ];
    for (const ask of asks) {
      const asked: string[] = [];
      const { source } = createTestSource(upstream.url, {
        timeouts: { connect: 200, stall: 100 },
        fetch: (request) => {
          const isToken = new URL(request.url).pathname.startsWith("/token");
          asked.push(isToken ? "token" : request.method);
          return isToken ? answer(request) : fetch(request);
        },
      });
      await assertRejects(() => ask(source), RegistryError, message);
      assertEquals(asked, ["HEAD", ...Array(tries).fill("token")]);
    }
  });
}
