import { computeDigest } from "../../lib/oci/digest.ts";
import { type Descriptor, MEDIA_TYPE } from "../../lib/oci/manifest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { assertEquals } from "../support/assert.ts";
import { makeBytes } from "../support/content.ts";
import { runCrpe } from "../support/crpe_process.ts";
import { type FaultUpstream, startFaultUpstream } from "../support/fault_upstream.ts";
import { TestFolder } from "../support/test_folder.ts";

const PATH = "team/thing";
const REPO = `registry.test/${PATH}`;

type Blob = readonly [mediaType: string, bytes: Uint8Array<ArrayBuffer>];

function addBlobs(upstream: FaultUpstream, blobs: readonly Blob[]): Descriptor[] {
  return blobs.map(([mediaType, bytes]) => ({ ...upstream.addBlob(PATH, bytes), mediaType, size: bytes.length }));
}

function addDocument(upstream: FaultUpstream, mediaType: string, fields: object): void {
  const document = new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, mediaType, ...fields }));
  upstream.addManifest(PATH, document, { tag: "1", mediaType });
}

function addArtifact(config: Blob, ...layers: Blob[]): (upstream: FaultUpstream) => Descriptor[] {
  return (upstream) => {
    const blobs = addBlobs(upstream, [config, ...layers]);
    addDocument(upstream, MEDIA_TYPE.ociManifest, { config: blobs[0], layers: blobs.slice(1) });
    return blobs;
  };
}

function addIndex(...blobs: Blob[]): (upstream: FaultUpstream) => Descriptor[] {
  return (upstream) => {
    const manifests = addBlobs(upstream, blobs);
    addDocument(upstream, MEDIA_TYPE.ociIndex, { manifests });
    return manifests;
  };
}

const text = (value: string) => new TextEncoder().encode(value);
const artifacts: [string, (upstream: FaultUpstream) => Descriptor[]][] = [
  [
    "a Helm chart with its provenance",
    addArtifact(
      ["application/vnd.cncf.helm.config.v1+json", text(`{"name":"chart","version":"1.0.0"}`)],
      ["application/vnd.cncf.helm.chart.content.v1.tar+gzip", makeBytes(5000, 1)],
      ["application/vnd.cncf.helm.chart.provenance.v1.prov", text("-----BEGIN PGP SIGNED MESSAGE-----\n")],
    ),
  ],
  [
    "an ORAS artifact with an empty config",
    addArtifact(["application/vnd.oci.empty.v1+json", text("{}")], [
      "application/vnd.test.weights",
      makeBytes(9000, 2),
    ]),
  ],
  [
    "a BuildKit cache, whose index lists layers and a config",
    addIndex(
      ["application/vnd.oci.image.layer.v1.tar+gzip", makeBytes(7000, 3)],
      ["application/vnd.oci.image.layer.v1.tar+zstd", makeBytes(8000, 4)],
      ["application/vnd.buildkit.cacheconfig.v0", text(`{"layers":[]}`)],
    ),
  ],
  ["an empty index", addIndex()],
];
for (const [what, add] of artifacts) {
  Deno.test(`crpe pull brings ${what}`, async () => {
    await using folder = await TestFolder.create();
    await using upstream = startFaultUpstream();
    const blobs = add(upstream);
    const flags = [`--data=${folder.path}/data`, `--upstream=registry.test=${upstream.url}`];
    const { code, stderr } = await runCrpe(["pull", `${REPO}:1`, ...flags], { env: { HOME: folder.path } });
    assertEquals([code, stderr.includes("Cannot")], [0, false], stderr);
    const store = new DiskStore(`${folder.path}/data`);
    for (const { digest } of blobs) {
      const opened = await store.openBlob(REPO, digest);
      assertEquals(computeDigest(new Uint8Array(await new Response(opened?.body as BodyInit).arrayBuffer())), digest);
    }
    const listed = await runCrpe(["images", "--json", `--data=${folder.path}/data`], { env: { HOME: folder.path } });
    assertEquals(
      JSON.parse(listed.stdout).map((image: { isComplete: boolean }) => image.isComplete),
      [true],
      listed.stdout,
    );
  });
}

Deno.test("crpe pull brings an image of which a signature is damaged, without that one", async () => {
  await using folder = await TestFolder.create();
  await using upstream = startFaultUpstream();
  const { manifest: { digest } } = upstream.addImage(PATH, "1", [makeBytes(500, 1)]);
  const [config, layer] = addBlobs(upstream, [["application/vnd.oci.empty.v1+json", text("{}")], [
    "a/b",
    text("signed"),
  ]]);
  for (const [kind, layers] of [["sig", [layer]], ["att", [{ ...layer, digest: computeDigest("gone") }]]] as const) {
    const document = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociManifest, config, layers };
    const tag = `${digest.replace(":", "-")}.${kind}`;
    upstream.addManifest(PATH, text(JSON.stringify(document)), { tag, mediaType: MEDIA_TYPE.ociManifest });
  }
  const flags = [`--data=${folder.path}/data`, `--upstream=registry.test=${upstream.url}`, "--json"];
  const { code, stdout, stderr } = await runCrpe(["pull", `${REPO}:1`, ...flags], { env: { HOME: folder.path } });
  assertEquals(
    [code, JSON.parse(stdout)[0].referrers, /its referrer \S+ is left out/.test(stderr)],
    [0, 1, true],
    stderr,
  );
  assertEquals((await new DiskStore(`${folder.path}/data`).resolve(REPO, "1"))?.digest, digest);
});
