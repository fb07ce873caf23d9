import { ReferrerFinder, type ReferrerFinderOptions } from "../../../lib/bundle/find_referrers.ts";
import { ImageResolver } from "../../../lib/bundle/resolve_image.ts";
import type { ReferrerList } from "../../../lib/content/source.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { RegistryError } from "../../../lib/oci/error.ts";
import { type Descriptor, MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { parsePlatforms } from "../../../lib/oci/platform.ts";
import { parseReference } from "../../../lib/oci/reference.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import {
  buildArtifact,
  buildImage,
  buildIndex,
  type BuiltImage,
  describeBytes,
  packManifest,
} from "../../support/images.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { writeImage } from "../../support/put_image.ts";

const REPO = "registry.test/app";
const [amd64, arm64] = [buildImage({ platform: "linux/amd64" }), buildImage({ platform: "linux/arm64" })];
const INDEX = buildIndex([amd64, arm64]);
const digestOf = ({ root }: BuiltImage) => root.digest;
const signatureTag = ({ root }: BuiltImage) => `${root.digest.replace(":", "-")}.sig`;

/** A store with the index, and what else is given under tags; the tag of an artifact is removed from it again. */
async function createStore(more: Readonly<Record<string, BuiltImage>> = {}): Promise<MemoryStore> {
  const store = new MemoryStore();
  await writeImage(store, `${REPO}:1`, INDEX);
  for (const [tag, image] of Object.entries(more)) await writeImage(store, `${REPO}:${tag}`, image);
  return store;
}

async function find(store: MemoryStore, options: Partial<ReferrerFinderOptions> = {}) {
  const choice = { platforms: parsePlatforms("linux/amd64"), isNamed: true };
  const reference = parseReference(`${REPO}:1`);
  const image = await new ImageResolver(store, choice).resolve({ name: REPO, reference });
  const finder = new ReferrerFinder({ source: store, catalog: store, ...options });
  const { referrers, problems } = await finder.find(image);
  assertEquals(
    referrers.every(({ root }) => finder.manifests.has(root.descriptor.digest)),
    true,
  );
  const found = referrers.map(({ root, subject, tag }) => ({ digest: root.descriptor.digest, subject, tag }));
  return { found: found.sort((a, b) => a.digest < b.digest ? -1 : 1), problems };
}

const listOf = (descriptors: readonly Descriptor[], more: Partial<ReferrerList> = {}) => ({
  listReferrers: () => Promise.resolve({ referrers: [...descriptors], ...more }),
});
const sortByDigest = (lines: readonly { digest: Digest; subject: Digest; tag?: string | undefined }[]) => {
  return lines.map((it) => ({ tag: undefined, ...it })).sort((a, b) => a.digest < b.digest ? -1 : 1);
};

Deno.test("ReferrerFinder finds those of the index and of carried platforms, their own ones, and cosign's tags", async () => {
  const sbom = buildArtifact(INDEX.root, "application/spdx+json");
  const ofAmd64 = buildArtifact(amd64.root, "application/spdx+json");
  const ofArm64 = buildArtifact(arm64.root, "application/spdx+json");
  const ofSbom = buildArtifact(sbom.root, "application/vnd.test.signature");
  const signature = buildImage({ files: { signature: "" } });
  const store = await createStore({
    a: sbom,
    b: ofAmd64,
    c: ofArm64,
    d: ofSbom,
    [signatureTag(INDEX)]: signature,
  });
  const { found, problems } = await find(store);
  assertEquals(problems, []);
  assertEquals(
    found,
    sortByDigest([
      { digest: digestOf(sbom), subject: digestOf(INDEX) },
      { digest: digestOf(ofAmd64), subject: digestOf(amd64) },
      { digest: digestOf(ofSbom), subject: digestOf(sbom) },
      { digest: digestOf(signature), subject: digestOf(INDEX), tag: signatureTag(INDEX) },
    ]),
  );
  const only = new Set([digestOf(sbom)]);
  assertEquals((await find(store, { only })).found.map(({ digest }) => digest), [digestOf(sbom)]);
});

Deno.test("[100] ReferrerFinder ends at a tag that leads back to the image, and after three levels", async () => {
  const first = buildArtifact(INDEX.root, "application/vnd.test.a");
  const second = buildArtifact(first.root, "application/vnd.test.b");
  const third = buildArtifact(second.root, "application/vnd.test.c");
  const fourth = buildArtifact(third.root, "application/vnd.test.d");
  const store = await createStore({ a: first, b: second, c: third, d: fourth, [signatureTag(first)]: first });
  await store.tag(REPO, signatureTag(INDEX), digestOf(INDEX));
  const { found, problems } = await find(store);
  assertEquals(problems, []);
  const digests = found.filter(({ tag }) => tag === undefined).map(({ digest }) => digest);
  assertEquals(digests, [first, second, third].map(digestOf).sort());
});

const missing: Descriptor = { mediaType: MEDIA_TYPE.ociManifest, digest: computeDigest("missing"), size: 7 };
const foreign = buildArtifact(arm64.root, "application/vnd.test.signature");
const withoutBlob = packManifest({
  mediaType: MEDIA_TYPE.ociManifest,
  config: describeBytes("application/vnd.oci.empty.v1+json", new TextEncoder().encode("{}")),
  layers: [describeBytes("text/plain", new TextEncoder().encode("lost"))],
  subject: INDEX.root,
}, [new TextEncoder().encode("{}")]);
const huge = packManifest({
  mediaType: MEDIA_TYPE.ociManifest,
  config: describeBytes("application/vnd.oci.empty.v1+json", new TextEncoder().encode("{}")),
  layers: [{ ...describeBytes("application/spdx+json", new TextEncoder().encode("sbom")), size: 2 ** 31 }],
  subject: INDEX.root,
}, [new TextEncoder().encode("{}"), new TextEncoder().encode("sbom")]);
const text = new TextEncoder().encode("no manifest");
const noManifest = describeBytes("text/plain", text);

const LEFT_OUT: readonly [what: string, descriptor: Descriptor, more: readonly BuiltImage[], problem: string][] = [
  ["that names another subject", foreign.root, [foreign], "its manifest names another subject"],
  ["that is missing", missing, [], "was not found"],
  ["of which a blob is missing", withoutBlob.root, [withoutBlob], "was not found"],
];
for (const [what, descriptor, more, problem] of LEFT_OUT) {
  Deno.test(`[100] ReferrerFinder leaves out a referrer ${what}, and says so`, async () => {
    const store = await createStore(Object.fromEntries(more.map((image, i) => [`t${i}`, image])));
    const good = buildArtifact(INDEX.root, "application/spdx+json");
    await writeImage(store, `${REPO}:good`, good);
    const catalog = listOf([descriptor, good.root]);
    const { found, problems } = await find(store, { catalog });
    assertEquals(found.map(({ digest }) => digest), [digestOf(good)]);
    assertStringIncludes(problems[0]!, `its referrer ${descriptor.digest} is left out: `);
    assertStringIncludes(problems[0]!, problem);
  });
}

Deno.test("[100] ReferrerFinder leaves out an SBOM that is too large, before it reads it", async () => {
  const store = await createStore({ huge });
  const statBlob = store.statBlob.bind(store);
  const layer = computeDigest("sbom");
  store.statBlob = (repo, digest) => digest === layer ? Promise.resolve(2 ** 31) : statBlob(repo, digest);
  const { found, problems } = await find(store);
  assertEquals(found, []);
  assertStringIncludes(problems[0]!, `its referrer ${digestOf(huge)} is left out: the referrers would have more than`);
  assertEquals(store.asked.includes("openBlob"), false);
});

Deno.test("[100] ReferrerFinder leaves out what is no manifest", async () => {
  const store = await createStore();
  const readManifest = store.readManifest.bind(store);
  const resolve = store.resolve.bind(store);
  store.resolve = (repo, name) => name === noManifest.digest ? Promise.resolve(noManifest) : resolve(repo, name);
  store.readManifest = (repo, digest) =>
    digest === noManifest.digest ? Promise.resolve(text) : readManifest(repo, digest);
  const { found, problems } = await find(store, { catalog: listOf([noManifest]) });
  assertEquals([found, problems.length > 0], [[], true]);
  assertStringIncludes(problems[0]!, "Cannot read the manifest");
});

Deno.test("[100] ReferrerFinder takes 1,000 of 10,000 referrers, always the same ones", async () => {
  const artifacts = Array.from({ length: 1100 }, (_, i) => buildArtifact(INDEX.root, "application/vnd.test.a", `${i}`));
  const store = await createStore();
  for (const [i, artifact] of artifacts.entries()) await writeImage(store, `${REPO}:t${i}`, artifact);
  const others = Array.from({ length: 8900 }, (_, i) => ({ ...missing, digest: computeDigest(`${i}`) }));
  const all = [...artifacts.map(({ root }) => root), ...others];
  const { found, problems } = await find(store, { catalog: listOf(all) });
  assertEquals(found.length, 1000);
  assertEquals((await find(store, { catalog: listOf(all.toReversed()) })).found, found);
  assertEquals(problems.length, 21);
  assertEquals(problems.at(-1)?.endsWith("other referrers are left out"), true);
});

Deno.test("[100] ReferrerFinder asks a registry that failed once, and carries what was found before", async () => {
  const sbom = buildArtifact(INDEX.root, "application/spdx+json");
  const store = await createStore({ sbom });
  let asked = 0;
  const catalog = {
    listReferrers: () => {
      if (asked++ > 0) return Promise.reject(new RegistryError("UNAVAILABLE", "Cannot reach registry.test"));
      return Promise.resolve({ referrers: [sbom.root] });
    },
  };
  const { found, problems } = await find(store, { catalog });
  assertEquals([found.length, asked], [1, 2]);
  assertEquals(problems, ["its referrers may be incomplete: Cannot reach registry.test"]);
  const partial = await find(store, { catalog: listOf([sbom.root], { isPartial: true }) });
  assertEquals([partial.found.length, partial.problems.length], [1, 1]);
  const broken = { listReferrers: () => Promise.reject(new TypeError("a bug")) };
  await assertRejects(() => find(store, { catalog: broken }), TypeError, "a bug");
});
