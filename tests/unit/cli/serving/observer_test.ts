import type { CacheEvent } from "../../../../lib/cache/cache_event.ts";
import { Log } from "../../../../lib/cli/serving/log.ts";
import { Metrics } from "../../../../lib/cli/serving/metrics.ts";
import { Observer } from "../../../../lib/cli/serving/observer.ts";
import { DigestMismatchError } from "../../../../lib/content/verifier.ts";
import { computeDigest } from "../../../../lib/oci/digest.ts";
import { cannot, RegistryError } from "../../../../lib/oci/error.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { createTestIo } from "../../../support/test_io.ts";

const repo = "registry.test/team/app";
const digest = computeDigest("a blob");
const TIME = "2026-01-02T03:04:05.678Z";

function start({ free = 12_288 }: { free?: number | undefined } = {}) {
  const io = createTestIo();
  const log = new Log(io, { format: "text", isVerbose: false, now: () => Date.parse(TIME) });
  const metrics = new Metrics();
  const observer = new Observer({ log, metrics, cacheMax: 7 * 1024 * 1024, freeBytes: () => Promise.resolve(free) });
  const lines = async () => {
    // The message about free space is logged asynchronously.
    await new Promise((resolve) => setTimeout(resolve, 0));
    log.flush();
    return io.errText.split("\n").filter((line) => line !== "").map((line) => line.replace(`${TIME} `, ""));
  };
  const values = () => metrics.format().split("\n").filter((line) => !line.startsWith("#") && line !== "");
  return { observer, lines, values };
}

const mismatch = new DigestMismatchError(cannot(`accept ${digest}`, "the content has digest sha256:0"));
const given = { repo, digest, size: 1_572_864 };
const cases: [what: string, event: CacheEvent, line: string | undefined, value: string][] = [
  [
    "a digest mismatch",
    { type: "failed", repo, digest, host: "mirror.test:5000", error: mismatch },
    `warning: the download of ${digest} of ${repo} from mirror.test:5000 failed: the content has digest sha256:0`,
    'crpe_upstream_errors_total{host="mirror.test:5000"} 1',
  ],
  [
    "a failed download from an unknown endpoint",
    {
      ...{ type: "failed", repo, digest, host: undefined },
      error: new RegistryError(
        "UNAVAILABLE",
        cannot(`read blob ${digest} of ${repo} from 10.0.0.1:5000`, "it stalled"),
      ),
    },
    `warning: the download of ${digest} of ${repo} from registry.test failed: it stalled`,
    'crpe_upstream_errors_total{host="registry.test"} 1',
  ],
  [
    "a blob over the limit",
    { type: "bypass", ...given, why: "limit" },
    `warning: ${digest} of ${repo}, 1.5 MiB, is served, but not cached: it does not fit within --cache-max 7 MiB`,
    "crpe_blobs_unkept_total 1",
  ],
  [
    "a blob that does not fit on the disk",
    { type: "bypass", ...given, why: "disk" },
    `warning: ${digest} of ${repo}, 1.5 MiB, is served, but not cached: no space left on the device, 12 KiB free`,
    "crpe_blobs_unkept_total 1",
  ],
  [
    "a blob bypassing a read-only store, without a message",
    { type: "bypass", ...given, why: "read-only" },
    undefined,
    "crpe_blobs_unkept_total 1",
  ],
  [
    "a separate request for a range",
    { type: "range", repo },
    undefined,
    'crpe_range_requests_total{host="registry.test"} 1',
  ],
  ["an incomplete image", { type: "incomplete", repo }, undefined, "crpe_manifests_incomplete_total 1"],
  [
    "a completed image",
    { type: "completed", repo, digest, blobs: 2, bytes: 1_572_864 },
    `completed ${digest} of ${repo}: 2 blobs, 1.5 MiB`,
    "crpe_completed_bytes_total 1572864",
  ],
  [
    "an image that cannot be completed",
    { type: "uncompleted", repo, digest, error: new RegistryError("BLOB_UNKNOWN", "Cannot find blob sha256:1") },
    `cannot complete ${digest} of ${repo}: Cannot find blob sha256:1`,
    "crpe_completions_failed_total 1",
  ],
];
for (const [what, event, line, value] of cases) {
  Deno.test(`Observer logs and counts ${what}`, async () => {
    const { observer, lines, values } = start();
    observer.onCacheEvent(event);
    assertEquals(await lines(), line === undefined ? [] : [line]);
    assert(values().includes(value), values().join("\n"));
  });
}

Deno.test("Observer logs each uncached blob once, and counts every time", async () => {
  const { observer, lines, values } = start();
  const other = computeDigest("another");
  for (const each of [digest, digest, other, digest]) {
    observer.onCacheEvent({ type: "bypass", ...given, digest: each, why: "limit" });
  }
  assertEquals((await lines()).map((line) => line.includes(other)), [false, true]);
  assert(values().includes("crpe_blobs_unkept_total 4"));
});

Deno.test("Observer logs a full disk also when the free space is unknown", async () => {
  const { observer, lines } = start({ free: undefined });
  observer.onCacheEvent({ type: "bypass", ...given, why: "disk" });
  assert((await lines())[0]?.includes("is served, but not cached: no space left on the device"));
});

Deno.test("Observer does not count a local failure as an upstream error", async () => {
  const { observer, lines, values } = start();
  observer.onCacheEvent({ type: "failed", repo, digest, host: "mirror.test", error: new Error("the disk is broken") });
  assertEquals((await lines()).length, 1);
  assertEquals(values().filter((line) => line.startsWith("crpe_upstream_errors_total")), []);
});

Deno.test("Observer logs an error that many clients share once", async () => {
  const { observer, lines } = start();
  const denied = new RegistryError("DENIED", "Cannot read manifest 1 of registry.test/x from registry.test: no login");
  for (let i = 0; i < 3; i++) observer.onUpstreamError(denied, new Request("http://crpe/v2/x/manifests/1?ns=a"));
  observer.onCacheEvent({ type: "failed", repo, digest, host: "mirror.test", error: mismatch });
  observer.onAbort(mismatch);
  observer.onUpstreamError(mismatch, new Request("http://crpe/v2/x/manifests/1"));
  observer.onAbort(new Error("something else"));
  assertEquals((await lines()).map((line) => line.slice(0, 40)), [
    "warning: /v2/x/manifests/1?ns=a: Cannot ",
    "warning: the download of sha256:" + digest.slice(7, 15),
    "error: response aborted: something else",
  ]);
});

Deno.test("Observer counts an unusable response under its upstream host", async () => {
  const { observer, lines, values } = start();
  const error = new RegistryError(
    "BAD_GATEWAY",
    cannot("accept manifest 1 of registry.test/x", "it is said to be another"),
  );
  observer.onUpstreamEvent({ type: "wrong", host: "mirror.test", error });
  observer.onUpstreamError(error, new Request("http://crpe/v2/x/manifests/1"));
  assertEquals(await lines(), [`warning: unusable response from mirror.test: ${error.message}`]);
  assert(values().includes('crpe_upstream_errors_total{host="mirror.test"} 1'));
});

const IMAGE = { digest, references: [`${repo}:1`, `${repo}:2`] };
const evictions: [what: string, image: typeof IMAGE | undefined, lines: string[], values: string[]][] = [
  [
    "an image",
    IMAGE,
    [`evicted ${repo}:1, ${repo}:2, 1.5 MiB`],
    ["crpe_evicted_images_total 1", "crpe_evicted_bytes_total 1572864"],
  ],
  [
    "an untagged image by its digest",
    { ...IMAGE, references: [] },
    [`evicted ${digest}, 1.5 MiB`],
    ["crpe_evicted_images_total 1", "crpe_evicted_bytes_total 1572864"],
  ],
  ["content that no image needs as bytes alone", undefined, [], ["crpe_evicted_bytes_total 1572864"]],
];
for (const [what, image, expected, counted] of evictions) {
  Deno.test(`Observer records the eviction of ${what}`, async () => {
    const { observer, lines, values } = start();
    observer.onEvict(image, 1_572_864);
    assertEquals([await lines(), values()], [expected, counted]);
  });
}
