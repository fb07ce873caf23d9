import type { ContentCatalog } from "../../../lib/content/source.ts";
import { RegistryError } from "../../../lib/oci/error.ts";
import { createRegistryHandler } from "../../../lib/registry/handler.ts";
import { assertEquals } from "../../support/assert.ts";
import { UNKNOWN_DIGEST } from "../../support/content.ts";
import { blob, layer, layerDigest, makeStore, noBody, testAnswers } from "../../support/registry_fixture.ts";

const blobHeaders = {
  "content-type": "application/octet-stream",
  "content-length": String(layer.length),
  "docker-content-digest": layerDigest,
  etag: `"${layerDigest}"`,
  "accept-ranges": "bytes",
  "content-range": undefined,
  "cache-control": "no-transform",
};

testAnswers([
  { what: "a blob", path: blob, status: 200, has: blobHeaders, body: layer, asked: ["openBlob"] },
  {
    what: "a blob with HEAD, without opening it",
    path: blob,
    method: "HEAD",
    status: 200,
    has: blobHeaders,
    body: noBody,
    asked: ["statBlob"],
  },
  {
    what: "a blob with HEAD, ignoring Range",
    path: blob,
    method: "HEAD",
    headers: { range: "bytes=5-" },
    status: 200,
    has: blobHeaders,
  },
  {
    what: "304 for a blob that the client already has",
    path: blob,
    headers: { "if-none-match": `"${layerDigest}"`, range: "bytes=0-1" },
    status: 304,
    has: { etag: `"${layerDigest}"` },
    body: noBody,
    asked: ["statBlob"],
  },
  {
    what: "a blob that the client does not have",
    path: blob,
    headers: { "if-none-match": '"x"' },
    status: 200,
    body: layer,
  },
  {
    what: "a range",
    path: blob,
    headers: { range: "bytes=5-9" },
    status: 206,
    has: { ...blobHeaders, "content-length": "5", "content-range": `bytes 5-9/${layer.length}` },
    body: layer.slice(5, 10),
  },
  {
    what: "a range from the start",
    path: blob,
    headers: { range: "bytes=0-" },
    status: 206,
    has: { "content-range": `bytes 0-${layer.length - 1}/${layer.length}` },
    body: layer,
  },
  {
    what: "a range to the end",
    path: blob,
    headers: { range: `bytes=${layer.length - 1}-` },
    status: 206,
    body: layer.slice(-1),
  },
  {
    what: "a range past the end",
    path: blob,
    headers: { range: `bytes=10-${2 ** 60}` },
    status: 206,
    body: layer.slice(10),
  },
  {
    what: "the last bytes",
    path: blob,
    headers: { range: "bytes=-7" },
    status: 206,
    has: { "content-range": `bytes ${layer.length - 7}-${layer.length - 1}/${layer.length}` },
    body: layer.slice(-7),
  },
  {
    what: "416 for a range that starts at the end",
    path: blob,
    headers: { range: `bytes=${layer.length}-` },
    status: 416,
    has: { "content-range": `bytes */${layer.length}` },
    code: "RANGE_INVALID",
  },
  {
    what: "416 for the last 0 bytes",
    path: blob,
    headers: { range: "bytes=-0" },
    status: 416,
    has: { "content-range": `bytes */${layer.length}` },
  },
  {
    what: "416 for a start of 400 digits [56]",
    path: blob,
    headers: { range: `bytes=${"9".repeat(400)}-` },
    status: 416,
  },
  {
    what: "the whole blob for two ranges",
    path: blob,
    headers: { range: "bytes=0-1,3-4" },
    status: 200,
    has: blobHeaders,
    body: layer,
  },
  {
    what: "the whole blob for 10,000 ranges [56]",
    path: blob,
    headers: { range: `bytes=${"0-1,".repeat(9_999)}0-1` },
    status: 200,
    body: layer,
  },
  {
    what: "the whole blob for an unknown range unit [56]",
    path: blob,
    headers: { range: "nibbles=0-1" },
    status: 200,
    body: layer,
  },
  {
    what: "the whole blob for an invalid range [56]",
    path: blob,
    headers: { range: "bytes=9-1" },
    status: 200,
    body: layer,
  },
  {
    what: "a range when If-Range matches",
    path: blob,
    headers: { range: "bytes=0-1", "if-range": `"${layerDigest}"` },
    status: 206,
    body: layer.slice(0, 2),
  },
  {
    what: "the whole blob when If-Range does not match",
    path: blob,
    headers: { range: "bytes=0-1", "if-range": '"x"' },
    status: 200,
    body: layer,
  },
  { what: "404 for an unknown blob", path: `/v2/app/blobs/${UNKNOWN_DIGEST}`, status: 404, code: "BLOB_UNKNOWN" },
  {
    what: "404 for an unknown blob with HEAD",
    path: `/v2/app/blobs/${UNKNOWN_DIGEST}`,
    method: "HEAD",
    status: 404,
    body: noBody,
  },
  {
    what: "400 for an invalid digest of a blob",
    path: "/v2/app/blobs/sha256:..",
    status: 400,
    code: "DIGEST_INVALID",
    asked: [],
  },
  { what: "404 for the state of an upload", path: "/v2/app/blobs/uploads/1", status: 404, code: "NOT_FOUND" },
]);

const failures: [string, Error, number][] = [
  ["an unexpected error", new Error("the disk is gone"), 500],
  ["an error of the store", new RegistryError("UNAVAILABLE", "Cannot read the manifest"), 503],
];
for (const [what, error, status] of failures) {
  for (const [kind, headers] of [["a blob", {}], ["a range", { range: "bytes=5-9" }]] as [string, HeadersInit][]) {
    Deno.test(`createRegistryHandler() closes ${kind} that it opened when its type cannot be read: ${what}`, async () => {
      const store = await makeStore();
      const catalog: ContentCatalog = Object.assign(store, { typeOfManifest: () => Promise.reject(error) });
      const response = await createRegistryHandler(catalog)(new Request(`http://crpe${blob}`, { headers }));
      await response.body?.cancel();
      assertEquals({ status: response.status, asked: store.asked }, { status, asked: ["openBlob"] });
      assertEquals({ open: store.openBodies, cancelled: store.cancelledBodies }, { open: 0, cancelled: 1 });
    });
  }
}
