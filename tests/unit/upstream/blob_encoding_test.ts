import { gzipSync } from "node:zlib";
import { verifyBytes } from "../../../lib/content/verifier.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { RegistryError } from "../../../lib/oci/error.ts";
import { encodingOf } from "../../../lib/upstream/transport/content_encoding.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { Random } from "../../support/random.ts";
import { createTestSource, patternBytes, readAll, REPO } from "../../support/upstream_source.ts";

const CONFIG = new TextEncoder().encode(
  JSON.stringify({ architecture: "amd64", os: "linux", padding: "x".repeat(500) }),
);
const LAYER = gzipSync(patternBytes(20_000));
const LARGE = patternBytes(5 * 1024 * 1024);
const LARGE_TAR = new Random(70).bytes(9 * 512 * 1024);
LARGE_TAR.set(new TextEncoder().encode("ustar"), 257);
const LARGE_TGZ = gzipSync(LARGE_TAR);

const ENCODINGS: [header: string | undefined, expected: string | undefined][] = [
  [undefined, undefined],
  ["", undefined],
  ["identity", undefined],
  ["Identity, identity", undefined],
  ["none", undefined],
  ["gzip", "gzip"],
  ["X-GZIP", "gzip"],
  ["identity, gzip", "gzip"],
  ["br", "br"],
  ["zstd", "zstd"],
  ["aws-chunked", undefined],
  ["aws-chunked,gzip", "gzip"],
  ["UTF-8", undefined],
  ["8bit", undefined],
  ["gzip, gzip", "gzip, gzip"],
];
for (const [header, expected] of ENCODINGS) {
  Deno.test(`[70] encodingOf() returns ${expected} for ${header}`, () => {
    assertEquals(encodingOf(new Headers(header === undefined ? {} : { "content-encoding": header })), expected);
  });
}

interface Sent {
  readonly bytes: Uint8Array;
  readonly encoding?: string;
  /** Whether no length is sent. */
  readonly isChunked?: boolean;
}

/** Creates a registry with one blob, which it sends in the same way each time. */
function openRegistry({ bytes, encoding, isChunked }: Sent) {
  const seen: string[] = [];
  const { source } = createTestSource("http://registry.test", {
    fetch: (request) => {
      const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get("range") ?? "");
      seen.push(`${request.method} ${range?.[0] ?? ""}`.trim());
      const part = range === null || isChunked ? bytes : bytes.subarray(Number(range[1]), Number(range[2]) + 1);
      const isHead = request.method === "HEAD";
      const headers = {
        ...(encoding === undefined ? {} : { "content-encoding": encoding }),
        ...(isChunked ? {} : { "content-length": String(part.length) }),
        ...(range === null || isChunked ? {} : { "content-range": `bytes ${range[1]}-${range[2]}/${bytes.length}` }),
      };
      const body = new Blob([part as Uint8Array<ArrayBuffer>]).stream();
      return Promise.resolve(
        new Response(isHead ? null : body, { status: range === null || isChunked ? 200 : 206, headers }),
      );
    },
  });
  return { source, seen };
}

const BLOBS: [name: string, blob: Uint8Array, sent: Sent][] = [
  ["a config without a length", CONFIG, { bytes: CONFIG, isChunked: true }],
  ["a large layer without a length", LARGE, { bytes: LARGE, isChunked: true }],
  ["a config with the encoding none", CONFIG, { bytes: CONFIG, encoding: "none" }],
  ["a config with the encoding identity, identity", CONFIG, { bytes: CONFIG, encoding: "identity, identity" }],
  ["a config that the registry compresses", CONFIG, { bytes: gzipSync(CONFIG), encoding: "gzip" }],
  ["a config that the registry compresses, without a length", CONFIG, {
    bytes: gzipSync(CONFIG),
    encoding: "gzip",
    isChunked: true,
  }],
  ["a layer that is compressed itself, which the storage declares", LAYER, { bytes: LAYER, encoding: "gzip" }],
  ["a layer that is compressed itself, which the storage declares, without a length", LAYER, {
    bytes: LAYER,
    encoding: "gzip",
    isChunked: true,
  }],
  ["a compressed layer that the registry compresses again, without a length", LAYER, {
    bytes: gzipSync(LAYER),
    encoding: "gzip",
    isChunked: true,
  }],
  ["a large layer that is compressed itself, which the storage declares, without a length", LARGE_TGZ, {
    bytes: LARGE_TGZ,
    encoding: "gzip",
    isChunked: true,
  }],
  ["a large compressed layer that the registry compresses again, without a length", LARGE_TGZ, {
    bytes: gzipSync(LARGE_TGZ),
    encoding: "gzip",
    isChunked: true,
  }],
  ["a large layer that the registry compresses, without a length", LARGE_TAR, {
    bytes: gzipSync(LARGE_TAR),
    encoding: "gzip",
    isChunked: true,
  }],
  ["a layer that the storage declares to be zstd, without a length", LARGE, {
    bytes: LARGE,
    encoding: "zstd",
    isChunked: true,
  }],
  ["a layer with the encoding aws-chunked, without a length", LARGE, {
    bytes: LARGE,
    encoding: "aws-chunked",
    isChunked: true,
  }],
  ["a compressed layer that the registry compresses again", LAYER, { bytes: gzipSync(LAYER), encoding: "gzip" }],
];
for (const [name, blob, sent] of BLOBS) {
  Deno.test(`[70] UpstreamSource yields the stored bytes of ${name}, with a size from the manifest`, async () => {
    const { source, seen } = openRegistry(sent);
    const digest = computeDigest(blob);
    const opened = await source.openBlobWith(REPO, digest, { size: blob.length });
    assertEquals([opened?.size, opened?.length, opened?.host], [blob.length, blob.length, "registry.test"]);
    verifyBytes(await readAll(opened!.body), digest);
    assertEquals(seen, ["GET"]);
  });

  // Only the size tells an encoding that is part of the content from one that the registry applied.
  if (["gzip", "zstd"].includes(sent.encoding ?? "") && sent.bytes === blob) continue;
  Deno.test(`[70] UpstreamSource yields the stored bytes of ${name}, with a size that it finds out, or none`, async () => {
    const { source } = openRegistry(sent);
    const digest = computeDigest(blob);
    const opened = await source.openBlobWith(REPO, digest, {});
    verifyBytes(await readAll(opened!.body), digest);
    // Where a length is sent with an encoding, it is that of the bytes sent.
    assertEquals([undefined, blob.length].includes(opened?.size), true);
  });
}

Deno.test("[70] UpstreamSource yields a blob of which nothing states the size, and says so", async () => {
  const { source } = openRegistry({ bytes: LARGE, isChunked: true });
  const digest = computeDigest(LARGE);
  const opened = await source.openBlobWith(REPO, digest, {});
  assertEquals([opened?.size, opened?.start, opened?.length], [undefined, 0, undefined]);
  verifyBytes(await readAll(opened!.body), digest);
  const cancelled = await source.openBlobWith(REPO, digest, {});
  await cancelled!.body.cancel();
});

Deno.test("[70] UpstreamSource yields a range of a layer that is compressed itself, which the storage declares", async () => {
  const { source, seen } = openRegistry({ bytes: LAYER, encoding: "gzip" });
  const opened = await source.openBlobWith(REPO, computeDigest(LAYER), {
    size: LAYER.length,
    range: { start: 5, end: 99 },
  });
  assertEquals(await readAll(opened!.body), new Uint8Array(LAYER.subarray(5, 100)));
  assertEquals(seen, ["GET bytes=5-99"]);
});

Deno.test("[70] UpstreamSource refuses a blob of another size before it yields a byte", async () => {
  const { source } = openRegistry({ bytes: CONFIG });
  const error = await assertRejects(
    () => source.openBlobWith(REPO, computeDigest(CONFIG), { size: CONFIG.length + 1 }),
    RegistryError,
  );
  assertEquals([error.code, error.status], ["BAD_GATEWAY", 502]);
});
