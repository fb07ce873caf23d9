import { createRegistryHandler } from "../../../lib/registry/handler.ts";
import { assertEquals } from "../../support/assert.ts";
import { arm, artifact, type ErrorBody, image, index, layerDigest, makeStore } from "../../support/registry_fixture.ts";

const HEX = "0123456789abcdef".repeat(4);
const BAD_DIGESTS: readonly string[] = [
  "sha256:",
  "sha256:totallywrong",
  `sha256:${HEX.slice(1)}`,
  `sha256:${HEX}0`,
  `sha256:${HEX.toUpperCase()}`,
  `SHA256:${HEX}`,
  `sha384:${HEX}`,
  `sha512:${HEX}`,
  `md5:${HEX.slice(32)}`,
  `sha256:${HEX}:${HEX}`,
  `sha256%3A${HEX.slice(1)}`,
  ":",
  `:${HEX}`,
];
const PLACES: readonly string[] = [
  "/v2/app/manifests/DIGEST",
  "/v2/app/blobs/DIGEST",
  "/v2/app/referrers/DIGEST",
  "/v2/quay.io/team/app/manifests/DIGEST",
  "/v2/team/app/blobs/DIGEST?ns=quay.io",
  "/mirrors/quay.io/v2/team/app/blobs/DIGEST",
  "/v2/none/referrers/DIGEST",
];

for (const place of PLACES) {
  Deno.test(`createRegistryHandler() answers 400 for an invalid digest, without using the store: ${place}`, async () => {
    const store = await makeStore();
    const handler = createRegistryHandler(store);
    for (const digest of BAD_DIGESTS) {
      for (const method of ["GET", "HEAD"]) {
        const response = await handler(new Request(`http://crpe${place.replace("DIGEST", digest)}`, { method }));
        const text = await response.text();
        assertEquals([response.status, response.headers.get("content-type")], [400, "application/json"], digest);
        if (method === "GET") assertEquals((JSON.parse(text) as ErrorBody).errors[0]?.code, "DIGEST_INVALID", digest);
      }
    }
    assertEquals(store.asked, []);
  });
}

const HAVE_DIGEST: readonly (readonly [path: string, digest: string, headers?: Record<string, string>])[] = [
  ["/v2/app/manifests/1.0", index.root.digest],
  [`/v2/app/manifests/${index.root.digest}`, index.root.digest],
  [`/v2/app/manifests/${image.root.digest}`, image.root.digest],
  ["/v2/app/manifests/docker", arm.root.digest],
  ["/v2/app/manifests/sbom", artifact.root.digest],
  [`/v2/app/blobs/${layerDigest}`, layerDigest],
  [`/v2/app/blobs/${layerDigest}`, layerDigest, { range: "bytes=1-2" }],
  [`/v2/app/blobs/${layerDigest}`, layerDigest, { "if-none-match": `"${layerDigest}"` }],
  [`/mirrors/docker.io/v2/app/blobs/${layerDigest}`, layerDigest],
];

Deno.test("createRegistryHandler() sends the digest of the content in the headers of GET and HEAD", async () => {
  const handler = createRegistryHandler(await makeStore());
  for (const [path, digest, headers = {}] of HAVE_DIGEST) {
    for (const method of ["GET", "HEAD"]) {
      const response = await handler(new Request(`http://crpe${path}`, { method, headers }));
      await response.body?.cancel();
      assertEquals(response.headers.get("docker-content-digest"), digest, `${method} ${path}`);
      assertEquals(response.headers.get("etag"), `"${digest}"`, `${method} ${path}`);
    }
  }
});

const COUNTS: readonly (readonly [query: string, status: number, tags?: number])[] = [
  ["n=0", 200, 0],
  ["n=1", 200, 1],
  ["n=4", 200, 4],
  ["n=5", 200, 4],
  ["n=999999999", 200, 4],
  ["n=9007199254740993", 200, 4],
  ["n=2&last=1.0", 200, 2],
  ["n=2&last=not-there", 200, 2],
  ["last=sig", 200, 0],
  ["n=", 400],
  ["n=-1", 400],
  ["n=1.5", 400],
  ["n=1e3", 400],
  ["n=0x10", 400],
  ["n=%20", 400],
];

Deno.test("createRegistryHandler() limits the number of tags to n, and rejects an invalid n", async () => {
  const handler = createRegistryHandler(await makeStore());
  for (const [query, status, tags] of COUNTS) {
    const response = await handler(new Request(`http://crpe/v2/app/tags/list?${query}`));
    const body = await response.json();
    assertEquals(response.status, status, query);
    if (tags === undefined) assertEquals((body as ErrorBody).errors[0]?.code, "PAGINATION_NUMBER_INVALID", query);
    else assertEquals((body as { tags: string[] }).tags.length, tags, query);
  }
});
