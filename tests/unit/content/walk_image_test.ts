import { selectPlatforms } from "../../../lib/bundle/archive_images.ts";
import { readGraph } from "../../../lib/bundle/image_graph.ts";
import { ImageNotFoundError, ImageResolver, type PlatformChoice } from "../../../lib/bundle/resolve_image.ts";
import { checkImage } from "../../../lib/cache/completeness.ts";
import { type ManifestEntry, walkImage } from "../../../lib/content/walk_image.ts";
import { traceImage } from "../../../lib/doctor/trace_image.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { parseManifest } from "../../../lib/oci/manifest.ts";
import { parsePlatform } from "../../../lib/oci/platform.ts";
import { parseReference } from "../../../lib/oci/reference.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { listTaggedImages } from "../../../lib/store/list_images.ts";
import { assertEquals } from "../../support/assert.ts";
import { streamOf } from "../../support/content.ts";
import { buildImage, buildIndex, type BuiltImage } from "../../support/images.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const reference = parseReference(`${REPO}:1`);
const amd64 = buildImage({ files: { a: "amd64" } });
const arm64 = buildImage({ platform: "linux/arm64", files: { a: "arm64" } });
const index = buildIndex([amd64, arm64]);
const attested = buildIndex([amd64], { attestation: true });
const nested = buildIndex([index]);

/** A walk that reads from the manifests of an image, and notes what it does. */
async function noteWalk(image: BuiltImage, missing: readonly Digest[] = []): Promise<string[]> {
  const manifests = new Map(image.manifests.map(({ descriptor, bytes }) => [descriptor.digest, bytes]));
  const notes: string[] = [];
  const nameOf = ({ digest }: ManifestEntry) => {
    return { [amd64.root.digest]: "amd64", [arm64.root.digest]: "arm64", [index.root.digest]: "index" }[digest] ??
      "root";
  };
  const result = await walkImage<string>(image.root, {
    read: (entry, depth) => {
      notes.push(`read ${nameOf(entry)} at ${depth}`);
      const bytes = missing.includes(entry.digest) ? undefined : manifests.get(entry.digest);
      return Promise.resolve(bytes && { bytes, manifest: parseManifest(bytes) });
    },
    missing: (entry) => `no ${nameOf(entry)}`,
    visit: async ({ entry, manifests, blobs }, below) => {
      const results: string[] = [];
      for (const child of manifests) results.push(await below(child));
      notes.push(`visited ${nameOf(entry)} with ${blobs.length} blobs: ${results.join(", ")}`);
      return nameOf(entry);
    },
  });
  return [...notes, result];
}

Deno.test("walkImage() visits children before the index that lists them", async () => {
  assertEquals(await noteWalk(nested), [
    "read root at 0",
    "read index at 1",
    "read amd64 at 2",
    "visited amd64 with 2 blobs: ",
    "read arm64 at 2",
    "visited arm64 with 2 blobs: ",
    "visited index with 0 blobs: amd64, arm64",
    "visited root with 0 blobs: index",
    "root",
  ]);
});

Deno.test("walkImage() reads a manifest once that is listed twice", async () => {
  assertEquals(await noteWalk(buildIndex([amd64, amd64])), [
    "read root at 0",
    "read amd64 at 1",
    "visited amd64 with 2 blobs: ",
    "visited root with 0 blobs: amd64, amd64",
    "root",
  ]);
});

Deno.test("walkImage() gives the result for what is missing: an entry, or the root", async () => {
  assertEquals((await noteWalk(index, [arm64.root.digest])).at(-2), "visited index with 0 blobs: amd64, no arm64");
  assertEquals(await noteWalk(index, [index.root.digest]), ["read index at 0", "no index"]);
});

Deno.test("walkImage() reads no more manifests than its limit, and counts all others as missing", async () => {
  const asked: Digest[] = [];
  const manifests = new Map(index.manifests.map(({ descriptor, bytes }) => [descriptor.digest, bytes]));
  const found = await walkImage<number>(index.root, {
    read: ({ digest }) => {
      asked.push(digest);
      const bytes = manifests.get(digest)!;
      return Promise.resolve({ bytes, manifest: parseManifest(bytes) });
    },
    missing: () => 0,
    visit: async ({ manifests }, below) => {
      const counts = await Promise.all(manifests.map((child) => below(child)));
      return counts.reduce((sum, count) => sum + count, 1);
    },
    maxManifests: 2,
  });
  assertEquals([asked, found], [[index.root.digest, amd64.root.digest], 2]);
});

/** What each user says of an image of which the store lacks something. */
interface Verdicts {
  /** `checkImage`: whether the cache serves it without an upstream. One complete image of an index is enough. */
  readonly served: string;
  /** `listTaggedImages`: the platforms whose content is complete. */
  readonly listed: string;
  /** `readGraph`, for import, copy and load: one manifest of an index is enough, but all content of those present. */
  readonly imported: string;
  /** `ImageResolver`, for pack and pull: every manifest of the platforms chosen, and configs that name a platform. */
  readonly packed: Readonly<Record<"all" | "amd64", string>>;
  /** `selectPlatforms`, for save: the manifests that are present, as an index of their own where some are not. */
  readonly saved: string;
  /** `traceImage`, for doctor: one complete platform makes what is missing a warning. */
  readonly traced: string;
}

const CHOICES: Record<"all" | "amd64", PlatformChoice> = {
  all: { platforms: "all", isNamed: false },
  amd64: { platforms: [parsePlatform("linux/amd64")], isNamed: true },
};
const blobsOf = ({ blobs }: BuiltImage): Digest[] => [...blobs.keys()];
const manifestOf = ({ root }: BuiltImage): Digest[] => [root.digest];

const whole = { listed: "linux/amd64, linux/arm64", packed: { all: "packed", amd64: "packed" }, saved: "whole" };

/** [what, the image, the digests that the store lacks, the verdicts] */
const rows: [string, BuiltImage, Digest[], Verdicts][] = [
  ["everything", index, [], { ...whole, served: "complete", imported: "complete", traced: "manifest ok, blobs ok" }],
  ["everything of a nested index", nested, [], {
    ...whole,
    served: "complete",
    imported: "complete",
    traced: "manifest ok, blobs ok",
  }],
  ["an index without one image", index, [...manifestOf(arm64), ...blobsOf(arm64)], {
    served: "complete",
    listed: "linux/amd64",
    imported: "complete",
    packed: { all: "missing", amd64: "packed" },
    saved: "rewritten",
    traced: "manifest warning, blobs ok",
  }],
  ["an index without the blobs of one image", index, blobsOf(arm64), {
    ...whole,
    served: "complete",
    listed: "linux/amd64",
    imported: "2 missing",
    traced: "manifest ok, blobs warning",
  }],
  ["an index without any image", index, [amd64, arm64].flatMap((it) => [...manifestOf(it), ...blobsOf(it)]), {
    served: "none",
    listed: "incomplete",
    imported: "2 missing",
    packed: { all: "missing", amd64: "missing" },
    saved: "nothing",
    traced: "manifest broken",
  }],
  ["an index with its attestation alone", attested, [...manifestOf(amd64), ...blobsOf(amd64)], {
    served: "none",
    listed: "",
    imported: "complete",
    packed: { all: "missing", amd64: "missing" },
    saved: "rewritten",
    traced: "manifest broken",
  }],
  ["an image without its blobs", amd64, blobsOf(amd64), {
    served: "partial",
    listed: "incomplete",
    imported: "2 missing",
    packed: { all: "missing", amd64: "missing" },
    saved: "whole",
    traced: "manifest ok, blobs broken",
  }],
];
for (const [what, image, missing, expected] of rows) {
  Deno.test(`each user has its own rule for an image with missing content: ${what}`, async () => {
    await using folder = await TestFolder.create();
    const store = new DiskStore(folder.path);
    for (const [digest, bytes] of image.blobs) {
      if (missing.includes(digest)) continue;
      await store.writeBlob(REPO, { mediaType: "", digest, size: bytes.length }, streamOf(bytes));
    }
    for (const { descriptor, bytes } of image.manifests) {
      if (!missing.includes(descriptor.digest)) await store.writeManifest(REPO, descriptor, bytes);
    }
    await store.tag(REPO, "1", image.root.digest);
    assertEquals(await findVerdicts(store, image), expected);
  });
}

async function findVerdicts(store: DiskStore, { root }: BuiltImage): Promise<Verdicts> {
  const [listed] = await listTaggedImages(store);
  const missing = new Set<Digest>();
  const graph = await readGraph({ reference, name: "app", digest: root.digest }, {
    what: "the store",
    readManifest: (repo, digest) => store.readManifest(repo, digest),
    statBlob: (digest) => store.statBlob(REPO, digest),
  }, missing);
  const saved = selectPlatforms(graph, "all");
  const { findings } = await traceImage(`${REPO}:1`, { store });
  const steps = findings.filter(({ step }) => step === "manifest" || step === "blobs");
  return {
    served: (await checkImage(store, REPO, root)).state,
    listed: listed?.isComplete ? listed.platforms.join(", ") : "incomplete",
    imported: missing.size === 0 ? "complete" : `${missing.size} missing`,
    packed: { all: await pack(store, CHOICES.all), amd64: await pack(store, CHOICES.amd64) },
    saved: saved === undefined ? "nothing" : saved.root.digest === root.digest ? "whole" : "rewritten",
    traced: steps.map(({ step, status }) => `${step} ${status}`).join(", "),
  };
}

async function pack(store: DiskStore, choice: PlatformChoice): Promise<string> {
  try {
    await new ImageResolver(store, choice).resolve({ name: "app", reference });
    return "packed";
  } catch (error) {
    if (error instanceof ImageNotFoundError) return "missing";
    throw error;
  }
}
