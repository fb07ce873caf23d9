import { computeDigest } from "../../lib/oci/digest.ts";
import { type Descriptor, MEDIA_TYPE } from "../../lib/oci/manifest.ts";
import { assertEquals } from "./assert.ts";
import { ContainerTools } from "./container_tools.ts";
import { Containerd } from "./containerd.ts";
import { makeBytes } from "./content.ts";
import { buildArtifact, buildImage, buildIndex, type BuiltImage, describeBytes, packManifest } from "./images.ts";
import { type Peer, type PeerResult, runPeer } from "./peers.ts";
import { pushImage } from "./put_image.ts";
import { TestFolder } from "./test_folder.ts";

/** Digests of everything that a client pulled: the name of a file, or what was asked → digest. */
export type Pulled = Readonly<Record<string, string>>;

/** A real client, an artifact of the kind that it is used for, and how it pulls that. */
export interface ArtifactClient {
  readonly name: string;
  readonly peers: readonly Peer[];
  /** Pushes the artifact, and what is attached to it, to a registry. @param host `127.0.0.1:40123` */
  readonly publish: (host: string) => Promise<void>;
  /**
   * Pulls the artifact and what is attached to it, without any local state.
   *
   * @param prefix where the repositories are: `127.0.0.1:40123/team`
   */
  readonly pull: (prefix: string) => Promise<Pulled>;
  /** A pull that leaves out some of the content; by default the first pull is a whole one. */
  readonly pullSome?: (prefix: string, upstream: string) => Promise<void>;
  /** What `crpe pull` is given: repository and tag. */
  readonly references: readonly string[];
}

// A chart that `helm package --sign` signed with a key made for it, and that key's public half.
const CHART = new URL("../fixtures/chart/", import.meta.url).pathname;
const text = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

function succeed({ code, stdout, stderr }: PeerResult): string {
  assertEquals(code, 0, stderr || stdout);
  return stdout;
}

/** Hashes every file below a folder. */
async function hashFiles(folder: TestFolder, name: string): Promise<Record<string, string>> {
  const files = await folder.listFiles(name);
  const digests = files.map(async (file) => computeDigest(await Deno.readFile(`${folder.path}/${name}/${file}`)));
  return Object.fromEntries((await Promise.all(digests)).map((digest, i) => [files[i]!, digest]));
}

/** Runs a program with a home of its own. @throws {Error} when it fails */
async function run(peer: Peer, folder: TestFolder, args: readonly string[]): Promise<string> {
  return succeed(await runPeer(peer, args, { cwd: folder.path, env: { HOME: folder.path } }));
}

const helm: ArtifactClient = {
  name: "helm: a chart with its provenance",
  peers: ["helm"],
  async publish(host) {
    await using folder = await TestFolder.create();
    await run("helm", folder, ["push", `${CHART}demo-1.0.0.tgz`, `oci://${host}/team`, "--plain-http"]);
  },
  async pull(prefix) {
    await using folder = await TestFolder.create();
    for (const name of ["verified", "prov", "plain"]) await Deno.mkdir(`${folder.path}/${name}`);
    const chart = [`oci://${prefix}/demo`, "--version=1.0.0", "--plain-http"];
    await run("helm", folder, [
      "pull",
      ...chart,
      "--verify",
      `--keyring=${CHART}pubring.gpg`,
      "--destination=verified",
    ]);
    await run("helm", folder, ["pull", ...chart, "--prov", "--destination=prov"]);
    await run("helm", folder, ["pull", ...chart, "--destination=plain"]);
    const shown = await run("helm", folder, ["show", "chart", ...chart]);
    const pulled = await Promise.all(["verified", "prov", "plain"].map((name) => hashFiles(folder, name)));
    assertEquals(pulled.map((files) => Object.keys(files).length), [2, 2, 1]);
    return { ...pulled[0], shown: computeDigest(shown) };
  },
  async pullSome(prefix) {
    await using folder = await TestFolder.create();
    await run("helm", folder, ["pull", `oci://${prefix}/demo`, "--version=1.0.0", "--plain-http"]);
  },
  references: ["demo:1.0.0"],
};

const ORAS_LAYERS = [makeBytes(9000, 2), text("a second file\n")];
const INLINE = text("inline\n");
const ORAS_CONFIG = text({ speed: 3 });
const WEIGHTS: BuiltImage = packManifest({
  mediaType: MEDIA_TYPE.ociManifest,
  artifactType: "application/vnd.test.model",
  config: describeBytes("application/vnd.test.model.config+json", ORAS_CONFIG),
  layers: [...ORAS_LAYERS, INLINE].map((bytes, i) => ({
    ...describeBytes("application/vnd.test.weights", bytes),
    annotations: { "org.opencontainers.image.title": `file-${i}` },
    ...(bytes === INLINE ? { data: btoa("inline\n") } : {}),
  })),
}, [ORAS_CONFIG, ...ORAS_LAYERS, INLINE]);

const EMPTY_INDEX = packManifest({ mediaType: MEDIA_TYPE.ociIndex, manifests: [] }, []);

/** The tag under which registries without the referrers API list the referrers of a manifest. */
const referrersTag = ({ digest }: Descriptor) => digest.replace(":", "-");

const fetchManifest = (name: string) => ["manifest", "fetch", "--plain-http", name];

async function discoverReferrers(folder: TestFolder, prefix: string): Promise<string[]> {
  const found = await run("oras", folder, ["discover", "--plain-http", "--format=json", `${prefix}/model:1`]);
  const referrers: string[] = JSON.parse(found).referrers.map(({ digest }: Descriptor) => digest);
  assertEquals(referrers.length, 1, found);
  return referrers;
}

const oras: ArtifactClient = {
  name: "oras: an artifact of several files, one of them inline, with a referrer, and an empty index",
  peers: ["oras"],
  async publish(host) {
    await using folder = await TestFolder.create();
    const name = `${host}/team/model:1`;
    await pushImage(`http://${host}`, "team/model:1", { image: WEIGHTS });
    await pushImage(`http://${host}`, "team/empty:1", { image: EMPTY_INDEX });
    await folder.write("bom.json", `{"packages":[]}\n`);
    const attach = ["attach", "--plain-http", "--artifact-type=application/spdx+json"];
    await run("oras", folder, [...attach, name, "bom.json:application/spdx+json"]);
    await run("oras", folder, ["push", "--plain-http", `${host}/team/files:1`, "bom.json:text/plain"]);
  },
  async pull(prefix) {
    await using folder = await TestFolder.create();
    await run("oras", folder, ["pull", "--plain-http", "--output=model", `${prefix}/model:1`]);
    await run("oras", folder, ["pull", "--plain-http", "--output=files", `${prefix}/files:1`]);
    const referrers = await discoverReferrers(folder, prefix);
    assertEquals(computeDigest(await run("oras", folder, fetchManifest(`${prefix}/empty:1`))), EMPTY_INDEX.root.digest);
    const copy = ["copy", "--recursive", "--from-plain-http", "--to-oci-layout"];
    await run("oras", folder, [...copy, `${prefix}/model:1`, "layout:1"]);
    const [files, other] = [await hashFiles(folder, "model"), await hashFiles(folder, "files")];
    assertEquals([Object.keys(files), Object.keys(other)], [["file-0", "file-1", "file-2"], ["bom.json"]]);
    return { ...files, ...other, ...await hashFiles(folder, "layout/blobs"), referrer: referrers[0]! };
  },
  // oras fetches no config unless it is told to.
  async pullSome(prefix) {
    await using folder = await TestFolder.create();
    const [referrer] = await discoverReferrers(folder, prefix);
    // The last ones have tags: when they are complete, the referrer is.
    for (const name of [`model@${referrer}`, "model:1", "files:1", "empty:1"]) {
      const pulling = ["pull", "--plain-http", `--output=${name.replace(/\W/g, "-")}`, `${prefix}/${name}`];
      await run("oras", folder, name === "empty:1" ? fetchManifest(`${prefix}/${name}`) : pulling);
    }
  },
  references: ["empty:1", "model:1", `model:${referrersTag(WEIGHTS.root)}`, "files:1"],
};

const PLATFORMS = ["linux/amd64", "linux/arm64"].map((platform) => buildImage({ platform }));
const INDEX = buildIndex(PLATFORMS, { attestation: true });

const crane: ArtifactClient = {
  name: "crane: an index with an attestation",
  peers: ["crane"],
  publish: (host) => pushImage(`http://${host}`, "team/app:1.0", { image: INDEX }),
  async pull(prefix) {
    await using folder = await TestFolder.create();
    const name = `${prefix}/app:1.0`;
    await run("crane", folder, ["pull", "--insecure", "--format=oci", name, "layout"]);
    await run("crane", folder, ["export", "--insecure", "--platform=linux/arm64", name, "files.tar"]);
    // Without the attestation: crane takes its statement for no layer.
    for (const { root } of PLATFORMS) {
      await run("crane", folder, ["validate", "--insecure", `--remote=${prefix}/app@${root.digest}`]);
    }
    const digest = (await run("crane", folder, ["digest", "--insecure", name])).trim();
    assertEquals(digest, INDEX.root.digest);
    const exported = computeDigest(await Deno.readFile(`${folder.path}/files.tar`));
    return { ...await hashFiles(folder, "layout/blobs"), exported, digest };
  },
  references: ["app:1.0"],
};

const skopeo: ArtifactClient = {
  name: "skopeo: all images of an index with an attestation",
  peers: ["skopeo"],
  publish: crane.publish,
  async pull(prefix) {
    await using tools = await ContainerTools.create();
    await using folder = await TestFolder.create();
    succeed(await tools.skopeo(["copy", "--all", `docker://${prefix}/app:1.0`, `dir:${folder.path}/copy`]));
    const files = await hashFiles(folder, "copy");
    assertEquals(files["manifest.json"], INDEX.root.digest);
    return files;
  },
  references: ["app:1.0"],
};

const SIGNATURE = buildImage({ files: { "signature": "signed\n" } });
const SBOM_TYPE = "application/spdx+json";
const SBOM = buildArtifact(INDEX.root, SBOM_TYPE, "a bill of materials");
const SIGNATURE_TAG = `${referrersTag(INDEX.root)}.sig`;

const regctl: ArtifactClient = {
  name: "regctl: an index with digest tags and referrers",
  peers: ["regctl"],
  async publish(host) {
    await crane.publish(host);
    await pushImage(`http://${host}`, `team/app:${SIGNATURE_TAG}`, { image: SIGNATURE });
    const manifests = [{ ...SBOM.root, artifactType: SBOM_TYPE }];
    const list = packManifest({ mediaType: MEDIA_TYPE.ociIndex, manifests }, []);
    const referrers = { ...SBOM, manifests: [...SBOM.manifests, ...list.manifests], root: list.root };
    await pushImage(`http://${host}`, `team/app:${referrersTag(INDEX.root)}`, { image: referrers });
  },
  async pull(prefix) {
    await using folder = await TestFolder.create();
    const host = `--host=reg=${prefix.split("/")[0]},tls=disabled`;
    const copy = ["image", "copy", "--digest-tags", "--referrers"];
    await run("regctl", folder, [host, ...copy, `${prefix}/app:1.0`, `ocidir://${folder.path}/layout:1.0`]);
    const blobs = await hashFiles(folder, "layout/blobs");
    const digests = Object.values(blobs);
    const wanted = [INDEX, SIGNATURE, SBOM].map(({ root }) => root.digest);
    assertEquals(wanted.filter((digest) => !digests.includes(digest)), []);
    return blobs;
  },
  references: ["app:1.0", `app:${SIGNATURE_TAG}`, `app:${referrersTag(INDEX.root)}`],
};

const BASE = { "base.txt": "the base layer\n" };
const BASE_IMAGE = buildImage({ files: BASE });
const ON_BASE = buildImage({ files: [BASE, { "top.txt": "the top layer\n" }] });
const CACHED_LAYERS = [makeBytes(7000, 3), makeBytes(8000, 4)];
const CACHE_CONFIG = text({ layers: [{ blob: computeDigest(CACHED_LAYERS[0]!), parent: -1 }], records: [] });
const LAYERS = CACHED_LAYERS.map((bytes) => describeBytes("application/vnd.oci.image.layer.v1.tar+gzip", bytes));
const CONFIG = describeBytes("application/vnd.buildkit.cacheconfig.v0", CACHE_CONFIG);
const CACHE_BLOBS = [...CACHED_LAYERS, CACHE_CONFIG];
// BuildKit writes an index whose entries are no manifests or, with `image-manifest=true`, a manifest.
const CACHES = {
  index: packManifest({ mediaType: MEDIA_TYPE.ociIndex, manifests: [...LAYERS, CONFIG] }, CACHE_BLOBS),
  manifest: packManifest({ mediaType: MEDIA_TYPE.ociManifest, config: CONFIG, layers: LAYERS }, CACHE_BLOBS),
};
const IMAGES = { "on-base:1": ON_BASE, "cache:index": CACHES.index, "cache:manifest": CACHES.manifest };

/** Fetches into a new containerd, and lists its content. */
async function fetchByContainerd(names: readonly string[]): Promise<string[]> {
  await using containerd = await Containerd.start();
  for (const name of names) {
    succeed(await containerd.ctr(["content", "fetch", "--plain-http", "--all-platforms", name]));
  }
  return succeed(await containerd.ctr(["content", "ls", "--quiet"])).trim().split("\n").sort();
}

const containerd: ArtifactClient = {
  name: "containerd: an image of which it had the base layer, and BuildKit caches",
  peers: ["containerd", "ctr"],
  async publish(host) {
    await pushImage(`http://${host}`, "team/base:1", { image: BASE_IMAGE });
    for (const [name, image] of Object.entries(IMAGES)) await pushImage(`http://${host}`, `team/${name}`, { image });
  },
  async pull(prefix) {
    const digests = await fetchByContainerd(Object.keys(IMAGES).map((name) => `${prefix}/${name}`));
    const wanted = Object.values(IMAGES).flatMap(({ root, blobs }) => [root.digest, ...blobs.keys()]);
    assertEquals(wanted.filter((digest) => !digests.includes(digest)), []);
    return Object.fromEntries(digests.map((digest) => [digest, digest]));
  },
  async pullSome(prefix, upstream) {
    await fetchByContainerd([`${upstream}/team/base:1`, ...Object.keys(IMAGES).map((name) => `${prefix}/${name}`)]);
  },
  references: Object.keys(IMAGES),
};

/** Every client, with its artifact. */
export const ARTIFACT_CLIENTS: readonly ArtifactClient[] = [helm, oras, crane, regctl, skopeo, containerd];
