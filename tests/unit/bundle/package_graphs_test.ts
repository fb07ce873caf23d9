import { readPackageGraphs } from "../../../lib/bundle/package_graphs.ts";
import { preparePack } from "../../../lib/bundle/prepare_pack.ts";
import type { KubePkg, StatusDigest } from "../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { buildArtifact, buildImage } from "../../support/images.ts";
import { makeKubePkg } from "../../support/kubepkg.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { writeImage } from "../../support/put_image.ts";

const REPO = "registry.test/app";
const image = buildImage();
const sbom = buildArtifact(image.root, "application/spdx+json");
const signature = buildImage({ files: { signature: "" } });
const TAG = `${image.root.digest.replace(":", "-")}.sig`;

const store = new MemoryStore();
await writeImage(store, `${REPO}:1`, image);
await writeImage(store, `${REPO}:sbom`, sbom);
await writeImage(store, `${REPO}:${TAG}`, signature);
await writeImage(store, `registry.test/other:1`, signature);
const release = parseKubePkg(makeKubePkg({ [`${REPO}:1`]: "" }));
const { kubepkg } = await preparePack(release, store, { referrers: { catalog: store, isCarried: true } });
const isSbom = ({ digest }: StatusDigest) => digest === sbom.root.digest;
const isSignature = ({ digest }: StatusDigest) => digest === signature.root.digest;

const read = (changed: KubePkg) =>
  readPackageGraphs(changed, {
    what: "the bundle",
    readManifest: (repo, digest) => store.readManifest(repo, digest),
    statBlob: (digest) => store.statBlob("", digest),
  });

const change = (isChanged: (line: StatusDigest) => boolean, fields: Partial<StatusDigest>): KubePkg => ({
  ...kubepkg,
  status: { digests: kubepkg.status!.digests!.map((line) => isChanged(line) ? { ...line, ...fields } : line) },
});

Deno.test("preparePack() declares referrers first, with their subjects and tags, and readPackageGraphs() reads them", async () => {
  const lines = kubepkg.status!.digests!;
  assertEquals(
    lines.filter(({ subject }) => subject !== undefined).map(({ digest, subject, tag }) => ({ digest, subject, tag })),
    [
      { digest: sbom.root.digest, subject: image.root.digest, tag: undefined },
      { digest: signature.root.digest, subject: image.root.digest, tag: TAG },
    ].sort((a, b) => a.digest < b.digest ? -1 : 1),
  );
  assertEquals(lines.at(-1)?.digest, image.root.digest);
  const { graphs, missing } = await read(kubepkg);
  assertEquals(missing, []);
  assertEquals(
    graphs.map(({ digest, subject, reference: { tag } }) => ({ digest, isReferrer: subject !== undefined, tag })).slice(
      0,
      1,
    ),
    [
      { digest: image.root.digest, isReferrer: false, tag: "1" },
    ],
  );
  assertEquals(graphs.length, 3);
});

Deno.test("preparePack() declares no referrers unless it is told to carry them", async () => {
  const without = await preparePack(release, store, {});
  const leftOut = await preparePack(release, store, { referrers: { catalog: store, isCarried: false } });
  assertEquals(without.kubepkg.status?.digests?.filter(({ subject }) => subject !== undefined), []);
  assertEquals(leftOut.kubepkg, without.kubepkg);
});

const HOSTILE: readonly [what: string, kubepkg: KubePkg, message: string][] = [
  ["names another subject", change(isSbom, { subject: signature.root.digest }), "names another subject than"],
  ["is about nothing in the package", change(isSbom, { subject: computeDigest("x") }), "is not about a manifest of"],
  ["sets the tag of an image", change(isSignature, { tag: "1" }), `has the tag "1"`],
  ["sets the tag of another subject", change(isSignature, { subject: sbom.root.digest }), "has the tag"],
  ["is a blob", change(isSbom, { type: "blob" }), "is not about a manifest of"],
  ["is in a repository without an image", {
    ...kubepkg,
    status: {
      digests: [
        ...kubepkg.status!.digests!,
        { type: "manifest", name: "registry.test/other", ...pick(image.root) },
        {
          type: "manifest",
          name: "registry.test/other",
          ...pick(signature.root),
          subject: image.root.digest,
          tag: TAG,
        },
      ],
    },
  }, "of which the package has no image"],
];
for (const [what, hostile, message] of HOSTILE) {
  Deno.test(`[100] readPackageGraphs() refuses a referrer that ${what}`, async () => {
    await assertRejects(() => read(hostile), CorruptError, message);
  });
}

Deno.test("[100] readPackageGraphs() of 20,000 lines of referrers costs a walk of each, not of all for each", async () => {
  const line = kubepkg.status!.digests!.find(isSbom)!;
  let looked = 0;
  const lines = Array.from({ length: 20_000 }, () => ({
    ...line,
    get name() {
      looked++;
      return line.name;
    },
  }));
  const { graphs } = await read({ ...kubepkg, status: { digests: [...kubepkg.status!.digests!, ...lines] } });
  assertEquals(graphs.length, 20_003);
  assertEquals(looked < 200_000, true, `${looked}`);
});

function pick({ digest, size }: { digest: typeof image.root.digest; size: number }) {
  return { digest, size };
}
