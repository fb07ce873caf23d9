import { parseNextLink } from "../../../lib/http/link.ts";
import { RegistryError } from "../../../lib/oci/error.ts";
import { MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { startFaultUpstream } from "../../support/fault_upstream.ts";
import { createTestSource, PATH, patternBytes, REPO } from "../../support/upstream_source.ts";

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
  ["ignores other relations", `</x>; rel="nextish", </y>; rel="prev"`, undefined],
  ["ignores a link without a relation", `</x>`, undefined],
];
for (const [name, header, expected] of LINKS) {
  Deno.test(`parseNextLink() ${name}`, () => assertEquals(parseNextLink(header, BASE)?.href, expected));
}

Deno.test("UpstreamSource lists the tags of all pages, sorted", async () => {
  await using upstream = startFaultUpstream({ tagsPerPage: 3 });
  const tags = ["b", "B", "10", "9", "a-b", "a.b", "a", "_"];
  for (const tag of tags) upstream.addImage(PATH, tag);
  assertEquals((await createTestSource(upstream.url).source.listTags(REPO))?.tags, [...tags].sort());
  assertEquals(upstream.requests.map(({ query }) => new URLSearchParams(query).get("last")), [null, "B", "a-b"]);
});

Deno.test("UpstreamSource treats a tag list of null as empty, and ignores invalid tags", async () => {
  await using upstream = startFaultUpstream();
  const { source } = createTestSource(upstream.url);
  upstream.fail({ kind: "tags", status: 200, body: `{"tags":null}`, times: 1 });
  assertEquals((await source.listTags(REPO))?.tags, []);
  upstream.fail({ kind: "tags", status: 200, body: `{"tags":["a","../b",5,"a"]}` });
  assertEquals((await source.listTags(REPO))?.tags, ["a"]);
});

for (
  const target of [
    "http://127.0.0.1:9/v2/team/app/tags/list?last=a",
    "/v2/other/tags/list",
    "//evil.example/v2/team/app/tags/list",
  ]
) {
  Deno.test(`[67] UpstreamSource does not follow a Link to ${target}`, async () => {
    await using upstream = startFaultUpstream();
    upstream.addImage(PATH, "a");
    upstream.fail({ kind: "tags", headers: { Link: `<${target}>; rel="next"` } });
    const { source, events } = createTestSource(upstream.url);
    assertEquals((await source.listTags(REPO))?.tags, ["a"]);
    assertEquals([upstream.count(), events.at(-1)?.type], [1, "refused"]);
  });
}

Deno.test("UpstreamSource ends the tag list at a page that links to itself", async () => {
  await using upstream = startFaultUpstream();
  upstream.addImage(PATH, "a");
  upstream.fail({ kind: "tags", headers: { Link: `</v2/${PATH}/tags/list?n=1000>; rel="next"` } });
  assertEquals((await createTestSource(upstream.url).source.listTags(REPO))?.tags, ["a"]);
  assertEquals(upstream.count("tags"), 2);
});

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
  assertEquals(await source.listReferrers(REPO, manifest.digest), [referrer]);
  assertEquals(await source.listReferrers(REPO, referrer.digest), []);
  assertEquals(upstream.count("manifest"), 0);
});

Deno.test("UpstreamSource lists referrers from the referrers tag when there is no API", async () => {
  await using upstream = startFaultUpstream();
  const { manifest } = upstream.addImage(PATH, "1");
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [manifest] };
  upstream.addManifest(PATH, new TextEncoder().encode(JSON.stringify(index)), {
    tag: manifest.digest.replace(":", "-"),
    mediaType: MEDIA_TYPE.ociIndex,
  });
  const { source } = createTestSource(upstream.url);
  assertEquals(await source.listReferrers(REPO, manifest.digest), [manifest]);
});
