import { parseNextLink } from "../../../lib/http/link.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { RegistryError } from "../../../lib/oci/error.ts";
import { type Descriptor, MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { type Fault, type FaultUpstream, startFaultUpstream } from "../../support/fault_upstream.ts";
import { freePorts } from "../../support/object_storage.ts";
import { createTestSource, PATH, patternBytes, REGISTRY, REPO } from "../../support/upstream_source.ts";

const BASE = new URL("https://registry.example.com/v2/a/tags/list?n=2");
const LINKS: [name: string, header: string | null, expected: string | undefined][] = [
  ["returns undefined without a header", null, undefined],
  [
    "resolves a relative URL",
    `</v2/a/tags/list?n=2&last=b>; rel="next"`,
    "https://registry.example.com/v2/a/tags/list?n=2&last=b",
  ],
  ["returns an absolute URL", `<https://x.example/y>; rel=next`, "https://x.example/y"],
  [
    "finds the next page among several links",
    `<a>; rel="prev", <?last=b>; title="x"; REL="last next"`,
    "https://registry.example.com/v2/a/tags/list?last=b",
  ],
  [
    "takes a link without a relation",
    `</v2/a/tags/list?last=b>`,
    "https://registry.example.com/v2/a/tags/list?last=b",
  ],
  [
    "takes a link with other parameters alone",
    `<?last=b>; title="x; y"`,
    "https://registry.example.com/v2/a/tags/list?last=b",
  ],
  [
    "takes a link with an empty relation",
    `<?last=b>; rel=""`,
    "https://registry.example.com/v2/a/tags/list?last=b",
  ],
  [
    "takes a link with the relation before one without",
    `<?p=1>, <?p=2>; rel="next"`,
    "https://registry.example.com/v2/a/tags/list?p=2",
  ],
  [
    "takes no link without a relation that is to another place",
    `<https://r.test/?n=3>; title="home", </v2/b/tags?n=3>`,
    undefined,
  ],
  [
    "takes no link without a relation to the list itself",
    `</v2/a/tags/list>, <?n=2>; type="application/json"`,
    undefined,
  ],
  [
    "takes a link without a relation behind a prefix",
    `<https://x.test/proxy/v2/a/tags/list?n=2&last=b>`,
    "https://x.test/proxy/v2/a/tags/list?n=2&last=b",
  ],
  ["takes no link with another relation", `<?p=1>; rel="prev", <?p=0>; rel=first`, undefined],
  ["ignores other relations", `</x>; rel="nextish", </y>; rel="prev"`, undefined],
  ["finds a relation of several types", `</x?last=b>; rel="prev Next"`, "https://registry.example.com/x?last=b"],
  ["does not take a part of a word for a relation", `</x?last=b>; rel="nexts"`, undefined],
];
for (const [name, header, expected] of LINKS) {
  Deno.test(`[73] parseNextLink() ${name}`, () => assertEquals(parseNextLink(header, BASE)?.href, expected));
}

// A list that has more pages must not pass for a whole one.
const UNREADABLE = [
  `<http://[x/?last=b>; rel="next"`,
  `/v2/a/tags/list?last=b; rel="next"`,
  `/v2/a/tags/list; rel=next`,
];
for (const header of UNREADABLE) {
  Deno.test(`[73] parseNextLink() returns null for ${header}`, () => assertEquals(parseNextLink(header, BASE), null));
}

Deno.test("UpstreamSource lists the tags of all pages, sorted", async () => {
  await using upstream = startFaultUpstream({ tagsPerPage: 3 });
  const tags = ["b", "B", "10", "9", "a-b", "a.b", "a", "_"];
  for (const tag of tags) upstream.addImage(PATH, tag);
  assertEquals(await createTestSource(upstream.url).source.listTags(REPO), { tags: [...tags].sort(), isMore: false });
  assertEquals(upstream.requests.map(({ query }) => new URLSearchParams(query).get("last")), [null, "B", "a-b"]);
});

Deno.test("UpstreamSource treats a tag list of null as empty, and ignores invalid tags", async () => {
  await using upstream = startFaultUpstream();
  const { source } = createTestSource(upstream.url);
  upstream.fail({ kind: "tags", status: 200, body: `{"tags":null}`, times: 1 });
  assertEquals(await source.listTags(REPO), { tags: [], isMore: false });
  upstream.fail({ kind: "tags", status: 200, body: `{"name":"team/app"}`, times: 1 });
  assertEquals(await source.listTags(REPO), { tags: [], isMore: false });
  upstream.fail({ kind: "tags", status: 200, body: `{"tags":["a","../b",5,"a"]}` });
  assertEquals(await source.listTags(REPO), { tags: ["a"], isMore: false });
});

// The links of a registry whose list has the pages a, b; the second is at the query of the link.
const NEXT: [name: string, target: string, expected: "followed" | "refused"][] = [
  ["another scheme", "https://{host}/v2/team/app/tags/list?last=a", "followed"],
  ["another name of the registry", "http://registry.internal/v2/team/app/tags/list?last=a", "followed"],
  ["another port", "http://127.0.0.1:9/v2/team/app/tags/list?last=a", "followed"],
  ["a host of an attacker", "//evil.example/v2/team/app/tags/list?last=a", "followed"],
  ["an internal path", "/repository/mirror/v2/team/app/tags/list?last=a", "followed"],
  ["a path without its prefix", "/v2/app/tags/list?last=a", "followed"],
  ["another repository", "/v2/other/tags/list?last=a", "refused"],
  ["a repository whose name ends alike", "/v2/myteam/app/tags/list?last=a", "refused"],
  ["another resource", "/v2/team/app/manifests/1?last=a", "refused"],
  ["an invalid URL", "http://[x/v2/team/app/tags/list?last=a", "refused"],
  ["a query without bound", `?last=a&x=${"x".repeat(5000)}`, "refused"],
];
for (const [name, target, expected] of NEXT) {
  Deno.test(`[67] [73] UpstreamSource takes the query of a Link to ${name}, and asks no other host: ${expected}`, async () => {
    await using upstream = startFaultUpstream();
    for (const tag of ["a", "b"]) upstream.addImage(PATH, tag);
    const link = `<${target.replace("{host}", upstream.host)}>; rel="next"`;
    upstream.fail({ kind: "tags", times: 1, status: 200, body: `{"tags":["a"]}`, headers: { Link: link } });
    const sent: string[] = [];
    const { source, events } = createTestSource(upstream.url, {
      fetch: (request) => {
        sent.push(new URL(request.url).host);
        return fetch(request);
      },
    });
    const isFollowed = expected === "followed";
    assertEquals(
      await source.listTags(REPO),
      isFollowed ? { tags: ["a", "b"], isMore: false } : { tags: ["a"], isMore: false, isPartial: true },
    );
    assertEquals(sent, new Array(isFollowed ? 2 : 1).fill(upstream.host));
    assertEquals(events.some(({ type }) => type === "refused"), !isFollowed);
  });
}

const ENDLESS: [name: string, page: (n: number) => string[], next: (n: number) => string, requests: number][] = [
  ["links to itself", () => ["a"], () => "n=1000", 1],
  ["goes in a circle", (n) => [`a${n % 2}`], (n) => `p=${n % 2}`, 3],
  ["has no new tags", () => ["a"], (n) => `p=${n}`, 4],
  ["has only empty pages", () => [], (n) => `p=${n}`, 3],
  ["has more than 200 pages", (n) => [`a${String(n).padStart(5, "0")}`], (n) => `p=${n}`, 200],
  [
    "has more than 200,000 tags",
    (n) => Array.from({ length: 30_000 }, (_, i) => `a${n}-${String(i).padStart(5, "0")}`),
    (n) => `p=${n}`,
    7,
  ],
];
Deno.test("[89] UpstreamSource keeps a bounded number of tag lists that cannot be paged, also of empty ones", async () => {
  let asked = 0;
  const { source } = createTestSource("http://registry.test", {
    fetch: (request) => {
      asked++;
      return Promise.resolve(Response.json({ tags: new URL(request.url).searchParams.has("last") ? ["a"] : [] }));
    },
  });
  const list = async (i: number) => {
    const before = asked;
    await source.listTags(`${REGISTRY}/team/app${i}`, { after: "b", limit: 1 });
    return asked - before;
  };
  assertEquals([await list(0), await list(0)], [2, 0]);
  for (let i = 1; i <= 2000; i++) await list(i);
  assertEquals([await list(2000), await list(0)], [0, 2]);
});

for (const [name, page, next, requests] of ENDLESS) {
  Deno.test(`[73] [89] UpstreamSource ends a tag list that ${name}, and marks it`, async () => {
    let asked = 0;
    const { source } = createTestSource("http://registry.test", {
      fetch: () => {
        asked++;
        const headers = { link: `</v2/${PATH}/tags/list?${next(asked)}>; rel="next"` };
        return Promise.resolve(Response.json({ tags: page(asked) }, { headers }));
      },
    });
    const listed = await source.listTags(REPO);
    assertEquals([listed?.isPartial, listed?.isMore, asked], [true, false, requests]);
    assertEquals((listed?.tags.length ?? 0) <= 200_000, true);
  });
}

Deno.test("[73] UpstreamSource requests a page of tags with one request, and follows links only as far as needed", async () => {
  await using upstream = startFaultUpstream({ tagsPerPage: 2 });
  for (const tag of ["a", "b", "c", "d", "e"]) upstream.addImage(PATH, tag);
  const { source } = createTestSource(upstream.url);
  assertEquals(await source.listTags(REPO, { limit: 2 }), { tags: ["a", "b"], isMore: true });
  assertEquals(upstream.requests.map(({ query }) => query), [`?n=2&ns=${REGISTRY}`]);
  assertEquals(await source.listTags(REPO, { after: "b", limit: 1 }), { tags: ["c"], isMore: true });
  assertEquals(upstream.count("tags"), 2);
  assertEquals(await source.listTags(REPO, { after: "a", limit: 3 }), { tags: ["b", "c", "d"], isMore: true });
  assertEquals(upstream.count("tags"), 4);
  assertEquals(await source.listTags(REPO, { after: "d", limit: 5 }), { tags: ["e"], isMore: false });
  assertEquals(await source.listTags(REPO, { after: "x" }), { tags: [], isMore: false });
  assertEquals(await source.listTags(REPO, { limit: 0 }), { tags: [], isMore: true });
  assertEquals(await source.listTags(`${REGISTRY}/no/such`, { limit: 2 }), undefined);
});

for (const status of [400, 422]) {
  for (const query of [{}, { limit: 2 }, { after: "a", limit: 1 }]) {
    Deno.test(`[73] UpstreamSource lists ${JSON.stringify(query)} of a registry that refuses n with ${status}`, async () => {
      await using upstream = startFaultUpstream();
      for (const tag of ["a", "b"]) upstream.addImage(PATH, tag);
      // Asked with and without ns.
      upstream.fail({ kind: "tags", times: 2, status });
      const { source } = createTestSource(upstream.url);
      const tags = "after" in query ? ["b"] : ["a", "b"];
      assertEquals(await source.listTags(REPO, query), { tags, isMore: false });
      assertEquals(upstream.requests.map(({ query }) => new URLSearchParams(query).has("n")), [true, true, false]);
    });
  }
}

const ODD: [name: string, list: (query: URLSearchParams) => string[]][] = [
  ["ignores n and last", () => ["a", "B", "c"]],
  ["ignores last", (query) => ["B", "a", "c"].slice(0, Number(query.get("n") ?? 3))],
  [
    "lists without regard to case",
    (query) => ["a", "B", "c"].filter((tag) => tag.toLowerCase() > (query.get("last") ?? "").toLowerCase()),
  ],
  ["lists the newest tag first", () => ["c", "a", "B"]],
];
for (const [name, list] of ODD) {
  Deno.test(`[73] UpstreamSource lists every tag once over all pages of a registry that ${name}, and reads its list once`, async () => {
    let asked = 0;
    let time = 0;
    const { source } = createTestSource("http://registry.test", {
      now: () => time,
      fetch: (request) => {
        asked++;
        const tags = list(new URL(request.url).searchParams);
        const headers = tags.length < 3 && !request.url.includes("all=1")
          ? { link: `<?all=1>; rel="next"` }
          : undefined;
        return Promise.resolve(Response.json({ tags }, { headers }));
      },
    });
    const pages: string[] = [];
    for (let after: string | undefined, isMore = true; isMore;) {
      const page = await source.listTags(REPO, { after, limit: 1 });
      pages.push(...page!.tags);
      [after, isMore] = [page!.tags.at(-1), page!.isMore];
    }
    assertEquals(pages, ["B", "a", "c"]);
    const before = asked;
    assertEquals(before <= 4, true);
    await source.listTags(REPO, { limit: 1 });
    time = 60_000;
    await source.listTags(REPO, { limit: 1 });
    assertEquals(asked > before, true);
  });
}

for (const [name, body] of [["not JSON", "<html>"], ["too large", patternBytes(4 * 1024 * 1024 + 1)]] as const) {
  Deno.test(`UpstreamSource rejects a tag list that is ${name}`, async () => {
    await using upstream = startFaultUpstream();
    upstream.fail({ kind: "tags", status: 200, body });
    const error = await assertRejects(() => createTestSource(upstream.url).source.listTags(REPO), RegistryError);
    assertEquals(error.code, "BAD_GATEWAY");
  });
}

Deno.test("UpstreamSource lists referrers with the referrers API", async () => {
  await using upstream = startFaultUpstream({ referrersApi: true });
  const { manifest } = upstream.addImage(PATH, "1");
  const signature = new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, config: manifest, layers: [] }));
  const referrer = upstream.addManifest(PATH, signature, { subject: manifest.digest });
  const { source } = createTestSource(upstream.url);
  assertEquals(await source.listReferrers(REPO, manifest.digest), { referrers: [referrer] });
  assertEquals(await source.listReferrers(REPO, referrer.digest), { referrers: [] });
  assertEquals(upstream.count("manifest"), 0);
});

/** Adds an image, and a signature of it that only the referrers tag names. */
function addSigned(upstream: FaultUpstream): { image: Descriptor; signature: Descriptor; tag: string } {
  const { manifest: image, config } = upstream.addImage(PATH, "1");
  const signature = addJson(upstream, { schemaVersion: 2, config, layers: [], subject: image });
  const tag = image.digest.replace(":", "-");
  addJson(upstream, { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [signature] }, tag);
  return { image, signature, tag };
}

function addJson(upstream: FaultUpstream, document: object, tag?: string): Descriptor {
  const mediaType = "manifests" in document ? MEDIA_TYPE.ociIndex : MEDIA_TYPE.ociManifest;
  return upstream.addManifest(PATH, new TextEncoder().encode(JSON.stringify(document)), { tag, mediaType });
}

const HTML = { status: 200, body: "<html><body>Sign in</body></html>", headers: { "Content-Type": "text/html" } };
const NO_API: [name: string, fault: Fault | undefined][] = [
  ["404", undefined],
  ...[301, 400, 401, 403, 405, 406, 410, 500, 501].map((
    status,
  ): [string, Fault] => [`${status}`, { status }]),
  ["a login page", HTML],
  ["a redirect to a login page", { redirectTo: "/signin" }],
  ["a redirect that is not followed", { redirectTo: "http://169.254.169.254/" }],
  ["an empty JSON object", { status: 200, body: "{}" }],
  ["a JSON list", { status: 200, body: "[]" }],
  ["a list in another format", { status: 200, body: `{"referrers":[]}` }],
  ["a manifest", { status: 200, body: `{"schemaVersion":2,"config":{},"layers":[]}` }],
  ["an index with invalid entries", { status: 200, body: `{"schemaVersion":2,"manifests":[1]}` }],
];
for (const [name, fault] of NO_API) {
  Deno.test(`[73] UpstreamSource lists referrers by their tag when the API answers with ${name}`, async () => {
    await using upstream = startFaultUpstream();
    const { image, signature } = addSigned(upstream);
    if (fault !== undefined) upstream.fail({ kind: "referrers", ...fault });
    upstream.fail({ kind: "other", path: "/signin", ...HTML });
    assertEquals(await createTestSource(upstream.url).source.listReferrers(REPO, image.digest), {
      referrers: [signature],
    });
  });
}

const NO_ANSWER: [name: string, fault: Fault][] = [
  ...[502, 503, 504, 520].map((status): [string, Fault] => [`${status}`, { status }]),
  ["a redirect to a server that does not answer", { redirectTo: `http://127.0.0.1:${freePorts(1)[0]}/` }],
  ["a body that is cut off", { status: 200, body: `{"schemaVersion":2`, contentLength: 500 }],
];
for (const [name, fault] of NO_ANSWER) {
  Deno.test(`[73] UpstreamSource lists referrers by their tag, and marks the list, when the API answers with ${name}`, async () => {
    await using upstream = startFaultUpstream();
    const { image, signature } = addSigned(upstream);
    upstream.fail({ kind: "referrers", ...fault });
    assertEquals(await createTestSource(upstream.url).source.listReferrers(REPO, image.digest), {
      referrers: [signature],
      isPartial: true,
    });
  });
}

for (const [status, what] of [[429, "a tag"], [503, "no tag"]] as const) {
  Deno.test(`[73] UpstreamSource reports that the referrers are not known when the API answers with ${status}, and there is ${what}`, async () => {
    await using upstream = startFaultUpstream();
    const image = what === "a tag" ? addSigned(upstream).image : upstream.addImage(PATH, "1").manifest;
    upstream.fail({ kind: "referrers", status });
    await assertRejects(() => createTestSource(upstream.url).source.listReferrers(REPO, image.digest), RegistryError);
  });
}

const ENTRY = { mediaType: MEDIA_TYPE.ociManifest, digest: computeDigest("sig"), size: 3 };
const PARTIAL: [name: string, entry: unknown][] = [
  ["null", null],
  ["an unknown hash function", { ...ENTRY, digest: `sha3-384:${"a".repeat(96)}` }],
  ["no size", { ...ENTRY, size: undefined }],
];
for (const [name, entry] of PARTIAL) {
  Deno.test(`[73] UpstreamSource lists the other referrers when the API has an entry with ${name}, and marks the list`, async () => {
    await using upstream = startFaultUpstream();
    const { image } = addSigned(upstream);
    upstream.fail({
      kind: "referrers",
      status: 200,
      body: JSON.stringify({ schemaVersion: 2, manifests: [entry, ENTRY] }),
    });
    assertEquals(await createTestSource(upstream.url).source.listReferrers(REPO, image.digest), {
      referrers: [ENTRY],
      isPartial: true,
    });
  });
}

const SEVERAL = Array.from({ length: 10_001 }, (_, i) => ({ ...ENTRY, digest: computeDigest(`${i}`) }));
const UNUSABLE: [name: string, pages: unknown[][], listed: readonly unknown[], asked: string[]][] = [
  ["only entries that cannot be used", [[1, null]], [], ["API", "tag"]],
  ["pages of entries that cannot be used", [[1], [null]], [], ["API", "API", "tag"]],
  ["a first page of entries that cannot be used", [[1], [ENTRY]], [ENTRY], ["API", "API"]],
  ["more than 10,000 entries", [SEVERAL], SEVERAL.slice(0, 10_000), ["API"]],
];
for (const [name, pages, listed, expected] of UNUSABLE) {
  Deno.test(`[73] UpstreamSource marks a list of referrers with ${name}, where there is no tag`, async () => {
    const asked: string[] = [];
    const { source } = createTestSource("http://registry.test", {
      fetch: ({ url }) => {
        const { pathname, searchParams } = new URL(url);
        asked.push(pathname.includes("/referrers/") ? "API" : "tag");
        if (!pathname.includes("/referrers/")) return Promise.resolve(new Response(null, { status: 404 }));
        const page = Number(searchParams.get("p") ?? 0);
        const headers: HeadersInit = page + 1 < pages.length ? { link: `<?p=${page + 1}>; rel="next"` } : {};
        return Promise.resolve(Response.json({ schemaVersion: 2, manifests: pages[page] }, { headers }));
      },
    });
    const { referrers, isPartial } = await source.listReferrers(REPO, computeDigest("x"));
    assertEquals([referrers.length, referrers.at(-1), isPartial], [listed.length, listed.at(-1), true]);
    assertEquals(asked, expected);
  });
}

Deno.test("[73] UpstreamSource marks a list of referrers whose second page cannot be read", async () => {
  await using upstream = startFaultUpstream();
  const headers = { Link: `<?p=2>; rel="next"` };
  const body = JSON.stringify({ schemaVersion: 2, manifests: [ENTRY] });
  upstream.fail({ kind: "referrers", status: 200, body, headers, times: 1 });
  assertEquals(await createTestSource(upstream.url).source.listReferrers(REPO, computeDigest("x")), {
    referrers: [ENTRY],
    isPartial: true,
  });
});

Deno.test("[73] UpstreamSource keeps the first page of referrers when the second one answers 503", async () => {
  const { source } = createTestSource("http://registry.test", {
    fetch: ({ url }) => {
      if (new URL(url).searchParams.has("p")) return Promise.resolve(new Response(null, { status: 503 }));
      const headers = { link: `<?p=2>; rel="next"` };
      return Promise.resolve(Response.json({ schemaVersion: 2, manifests: [ENTRY] }, { headers }));
    },
  });
  assertEquals(await source.listReferrers(REPO, computeDigest("x")), { referrers: [ENTRY], isPartial: true });
});

const EMPTY: [name: string, body: string][] = [
  ["an empty list", `{"schemaVersion":2,"manifests":[]}`],
  ["null", `{"schemaVersion":2,"manifests":null}`],
];
for (const [name, body] of EMPTY) {
  Deno.test(`[74] UpstreamSource believes the referrers API that answers with ${name}`, async () => {
    await using upstream = startFaultUpstream();
    const { image } = addSigned(upstream);
    upstream.fail({ kind: "referrers", status: 200, body });
    assertEquals(await createTestSource(upstream.url).source.listReferrers(REPO, image.digest), { referrers: [] });
  });
}

Deno.test("[73] UpstreamSource does not take the children of an image for its referrers", async () => {
  await using upstream = startFaultUpstream();
  const child = upstream.addImage(PATH, "1").manifest;
  const other = upstream.addImage(PATH, "2").manifest;
  const platform = { os: "linux", architecture: "amd64" };
  const image = addJson(upstream, { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [child] }, "image");
  const { source } = createTestSource(upstream.url);
  // An image that is tagged with its own digest.
  upstream.addManifest(PATH, upstream.bytesOf(PATH, image.digest), {
    tag: image.digest.replace(":", "-"),
    mediaType: MEDIA_TYPE.ociIndex,
  });
  assertEquals(await source.listReferrers(REPO, image.digest), { referrers: [] });
  // An index of another image under that tag, and an entry for the subject itself.
  const mixed = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [{ ...other, platform }, child] };
  addJson(upstream, mixed, child.digest.replace(":", "-"));
  assertEquals(await source.listReferrers(REPO, child.digest), { referrers: [] });
});

Deno.test("[89] UpstreamSource does not read a list of referrers without end", async () => {
  let asked = 0;
  const { source } = createTestSource("http://registry.test", {
    fetch: () => {
      const headers = { link: `<?p=${++asked}>; rel="next"` };
      return Promise.resolve(Response.json({ schemaVersion: 2, manifests: [] }, { headers }));
    },
  });
  assertEquals(await source.listReferrers(REPO, computeDigest("x")), { referrers: [], isPartial: true });
  assertEquals(asked, 20);
});
