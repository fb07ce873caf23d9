import type { ContentStore } from "../../../lib/content/source.ts";
import { traceImage } from "../../../lib/doctor/trace_image.ts";
import { cannot, CrpeError, RegistryError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { buildImage, buildIndex, type BuiltImage } from "../../support/images.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { writeImage } from "../../support/put_image.ts";

const REPO = "quay.io/team/app";
const amd64 = buildImage({ files: { a: "amd64" } });
const arm64 = buildImage({ platform: "linux/arm64", files: { a: "arm64" } });
const index = buildIndex([amd64, arm64], { attestation: true });

async function storeOf(image?: BuiltImage): Promise<MemoryStore> {
  const store = new MemoryStore();
  if (image !== undefined) await writeImage(store, `${REPO}:1`, image);
  return store;
}

/** Creates an upstream with the content of a store. */
function upstreamOf(
  store: MemoryStore,
  { isAllowed = true, failure }: { isAllowed?: boolean; failure?: RegistryError } = {},
) {
  const answer = <T>(value: () => Promise<T>) => failure === undefined ? value() : Promise.reject(failure);
  return {
    allows: () => isAllowed,
    headManifest: (repo: string, tag: string) => answer(() => store.resolve(repo, tag)),
    readManifest: (repo: string, digest: BuiltImage["root"]["digest"]) =>
      answer(() => store.readManifest(repo, digest)),
    statBlob: (repo: string, digest: BuiltImage["root"]["digest"]) => answer(() => store.statBlob(repo, digest)),
  };
}

/** Writes the index and only one of its images, as the import of a bundle does. */
async function writePart(store: ContentStore, { withBlobs }: { withBlobs: boolean }): Promise<void> {
  if (withBlobs) await writeImage(store, `${REPO}:part`, amd64);
  else for (const { descriptor, bytes } of amd64.manifests) await store.writeManifest(REPO, descriptor, bytes);
  const { descriptor, bytes } = index.manifests.at(-1)!;
  await store.writeManifest(REPO, descriptor, bytes);
  await store.tag(REPO, "1", descriptor.digest);
}

const UNREACHABLE = new RegistryError("UNAVAILABLE", cannot("look up x of y from z:1", "the connection was refused"));

const traces: [
  what: string,
  image: string,
  sources: () => Promise<Parameters<typeof traceImage>[1]>,
  steps: string[],
  part: string,
][] = [
  ["an invalid name", "a b", async () => ({ store: await storeOf() }), ["name: broken"], "Cannot".slice(6)],
  [
    "an image in the store, offline",
    `${REPO}:1`,
    async () => ({ store: await storeOf(index) }),
    ["name: ok", "upstream: skipped", "tag: ok", "manifest: ok", "platforms: ok", "blobs: ok"],
    "6 of 6 are in the store",
  ],
  [
    "an image at the upstream",
    `${REPO}:1`,
    async () => ({ store: await storeOf(), upstream: upstreamOf(await storeOf(index)) }),
    ["name: ok", "upstream: ok", "tag: ok", "manifest: ok", "platforms: ok", "blobs: ok"],
    "0 of 6 are in the store, 6 more at the upstream",
  ],
  [
    "a digest",
    `${REPO}@${amd64.root.digest}`,
    async () => ({ store: await storeOf(), upstream: upstreamOf(await storeOf(index)) }),
    ["name: ok", "upstream: ok", "digest: ok", "manifest: ok", "platforms: ok", "blobs: ok"],
    "it names no platform",
  ],
  [
    "a missing image",
    `${REPO}:2`,
    async () => ({ store: await storeOf(index), upstream: upstreamOf(await storeOf(index)) }),
    ["name: ok", "upstream: ok", "tag: broken"],
    "it is not in the store, and quay.io does not have it",
  ],
  [
    "an image whose registry is not allowed",
    `${REPO}:1`,
    async () => ({ store: await storeOf(), upstream: upstreamOf(await storeOf(index), { isAllowed: false }) }),
    ["name: ok", "upstream: warning", "tag: broken"],
    "may not be contacted",
  ],
  [
    "an image in the store while its registry is unreachable",
    `${REPO}:1`,
    async () => ({ store: await storeOf(index), upstream: upstreamOf(await storeOf(), { failure: UNREACHABLE }) }),
    ["name: ok", "upstream: ok", "tag: warning", "manifest: ok", "platforms: ok", "blobs: ok"],
    "asking quay.io failed: the connection was refused",
  ],
  [
    "an image missing from the store while its registry is unreachable",
    `${REPO}:1`,
    async () => ({ store: await storeOf(), upstream: upstreamOf(await storeOf(), { failure: UNREACHABLE }) }),
    ["name: ok", "upstream: ok", "tag: broken"],
    "it is not in the store; asking quay.io failed: the connection was refused",
  ],
  [
    "an image in the store that its registry no longer has",
    `${REPO}:1`,
    async () => ({ store: await storeOf(index), upstream: upstreamOf(await storeOf()) }),
    ["name: ok", "upstream: ok", "tag: warning", "manifest: ok", "platforms: ok", "blobs: ok"],
    "quay.io no longer has it",
  ],
  [
    "one platform of an image",
    `${REPO}:1`,
    async () => {
      const store = await storeOf();
      await writePart(store, { withBlobs: true });
      return { store };
    },
    ["name: ok", "upstream: skipped", "tag: ok", "manifest: warning", "platforms: ok", "blobs: ok"],
    "not linux/arm64",
  ],
  [
    "manifests without their blobs",
    `${REPO}:1`,
    async () => {
      const store = await storeOf();
      await writePart(store, { withBlobs: false });
      return { store };
    },
    ["name: ok", "upstream: skipped", "tag: ok", "manifest: warning", "platforms: ok", "blobs: broken"],
    "is not available",
  ],
];

for (const [what, image, sources, steps, part] of traces) {
  Deno.test(`traceImage() traces ${what}`, async () => {
    const { findings } = await traceImage(image, await sources());
    assertEquals(findings.map(({ step, status }) => `${step}: ${status}`), steps);
    assertStringIncludes(findings.map(({ message }) => message).join("\n"), part);
    for (const { status, advice } of findings) assert(status !== "broken" || advice !== undefined);
  });
}

Deno.test("traceImage() returns the full reference of a name", async () => {
  const store = await storeOf();
  for (
    const [name, reference] of [
      ["nginx", "docker.io/library/nginx:latest"],
      ["registry.lan:5000/a", "registry.lan:5000/a:latest"],
      [`index.docker.io/a/b@${amd64.root.digest}`, `docker.io/a/b@${amd64.root.digest}`],
    ] as const
  ) assertEquals((await traceImage(name, { store })).reference, reference);
});

Deno.test("traceImage() lists the location of all content", async () => {
  const store = await storeOf();
  await writePart(store, { withBlobs: true });
  const { digest, platforms, content } = await traceImage(`${REPO}:1`, {
    store,
    upstream: upstreamOf(await storeOf(index)),
  });
  assertEquals([digest, platforms], [index.root.digest, ["linux/amd64", "linux/arm64"]]);
  const of = (wanted: BuiltImage["root"]["digest"]) => content?.find((each) => each.digest === wanted);
  assertEquals(of(index.root.digest)?.type, "index");
  assertEquals([of(amd64.root.digest)?.isHere, of(arm64.root.digest)?.isHere, of(arm64.root.digest)?.isThere], [
    true,
    false,
    true,
  ]);
  for (const blob of arm64.blobs.keys()) {
    const { type, isHere, isThere, platforms } = of(blob)!;
    assertEquals([type, isHere, isThere, platforms], ["blob", false, true, ["linux/arm64"]]);
  }
});

Deno.test("traceImage() reports a failing store as broken", async () => {
  const store = await storeOf(index);
  store.failure = new CrpeError(cannot("use x", "permission denied"));
  const { findings } = await traceImage(`${REPO}:1`, { store });
  assertEquals(findings.at(-1)?.step, "store");
  assertEquals(findings.at(-1)?.message, "permission denied");
});
