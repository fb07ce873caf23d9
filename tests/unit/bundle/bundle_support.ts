import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { gzipSync } from "node:zlib";
import { BLOCK_BYTES, formatTarHeader, paddedSize } from "../../../lib/archive/tar_header.ts";
import { blobEntryName } from "../../../lib/bundle/entry_names.ts";
import type { PackResult } from "../../../lib/bundle/pack_bundle.ts";
import { packBundle, type PackOptions } from "../../support/pack_bundle.ts";
import { readBundle } from "../../../lib/bundle/read_bundle.ts";
import { API_VERSION, type KubePkg } from "../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import type { ContentSource, ContentStore } from "../../../lib/content/source.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { parsePlatform } from "../../../lib/oci/platform.ts";
import { parseReference, repositoryOf } from "../../../lib/oci/reference.ts";
import { type Content, makeBlob, streamOf } from "../../support/content.ts";
import { MEMORY_FOLDER } from "../../support/test_folder.ts";

const encoder = new TextEncoder();

/** An image with its content. */
export interface TestImage {
  /** The index, or the manifest of a single-platform image. */
  readonly root: Content;
  /** Children before parents, the root last. */
  readonly manifests: readonly Content[];
  readonly blobs: readonly Content[];
}

/** Makes a JSON document as content. */
export function makeDocument(mediaType: string, value: unknown, algorithm: "sha256" | "sha512" = "sha256"): Content {
  const bytes = encoder.encode(JSON.stringify(value));
  return { bytes, descriptor: { mediaType, digest: computeDigest(bytes, algorithm), size: bytes.length } };
}

/** Makes an image for one platform. */
export function makeImage(platform: string, layers: readonly Content[] = [makeBlob(3000, platform.length)]): TestImage {
  const { os, architecture, variant } = parsePlatform(platform);
  const rootfs = { type: "layers", diff_ids: layers.map(({ descriptor }) => descriptor.digest) };
  const config = makeDocument("application/vnd.oci.image.config.v1+json", { os, architecture, variant, rootfs });
  const root = makeDocument(MEDIA_TYPE.ociManifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: config.descriptor,
    layers: layers.map(({ descriptor }) => ({ ...descriptor, mediaType: "application/vnd.oci.image.layer.v1.tar" })),
  });
  return { root, manifests: [root], blobs: [config, ...layers] };
}

/** Makes an index over images with their platforms. `undefined` makes an entry without a platform. */
export function makeMultiImage(entries: readonly (readonly [string | undefined, TestImage])[]): TestImage {
  const root = makeDocument(MEDIA_TYPE.ociIndex, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociIndex,
    manifests: entries.map(([platform, { root }]) => {
      return { ...root.descriptor, ...(platform === undefined ? {} : { platform: parsePlatform(platform) }) };
    }),
  });
  const images = entries.map(([, image]) => image);
  return {
    root,
    manifests: [...images.flatMap(({ manifests }) => manifests), root],
    blobs: images.flatMap(({ blobs }) => blobs),
  };
}

/** Makes an image for two platforms that share a layer. */
export function makeUsualImage(seed = 1): TestImage {
  const shared = makeBlob(5000, 100);
  return makeMultiImage([
    ["linux/amd64", makeImage("linux/amd64", [shared, makeBlob(200_000, seed)])],
    ["linux/arm64", makeImage("linux/arm64", [shared, makeBlob(1000, seed + 1)])],
  ]);
}

/** Writes images into a store under their references. */
export async function fillStore<Store extends ContentStore>(
  store: Store,
  images: Readonly<Record<string, TestImage>>,
): Promise<Store> {
  for (const [name, image] of Object.entries(images)) {
    const reference = parseReference(name);
    for (const { bytes, descriptor } of image.blobs) {
      await store.writeBlob(repositoryOf(reference), descriptor, streamOf(bytes));
    }
    for (const { bytes, descriptor } of image.manifests) {
      await store.writeManifest(repositoryOf(reference), descriptor, bytes);
    }
    if (reference.tag !== undefined) {
      await store.tag(repositoryOf(reference), reference.tag, image.root.descriptor.digest);
    }
  }
  return store;
}

/** Makes a package of images. An image without a digest is resolved when it is packed. */
export function makeKubePkg(images: Readonly<Record<string, string>>, version = "0.0.1", more: object = {}): KubePkg {
  return parseKubePkg({
    apiVersion: API_VERSION,
    kind: "KubePkg",
    metadata: { name: "demo" },
    spec: {
      version,
      images,
      manifests: { "web.default.service": { apiVersion: "v1", kind: "Service", metadata: { name: "web" } } },
    },
    ...more,
  });
}

/** Packs into memory. */
export async function pack(
  kubepkg: KubePkg,
  store: ContentSource,
  options: PackOptions = {},
): Promise<{ bytes: Uint8Array<ArrayBuffer>; result: PackResult }> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const result = await packBundle(kubepkg, store, {
    ...options,
    output: { write: (bytes) => void parts.push(bytes.slice()) },
  });
  return { bytes: joinChunks(parts), result };
}

/** A file of a tar. */
export type TestFile = readonly [name: string, content: string | Uint8Array];

/** Makes a tar of regular files. */
export function makeTar(files: readonly TestFile[], end = 2 * BLOCK_BYTES): Uint8Array<ArrayBuffer> {
  const parts = files.flatMap(([name, content]) => {
    const bytes = typeof content === "string" ? encoder.encode(content) : content;
    return [formatTarHeader(name, bytes.length), bytes, new Uint8Array(paddedSize(bytes.length) - bytes.length)];
  });
  return joinChunks([...parts, new Uint8Array(end)]);
}

/** Makes a gzip-compressed tar. */
export function makeTgz(files: readonly TestFile[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(gzipSync(makeTar(files)));
}

/** Makes the bundle entry of a content. */
export function fileOf({ bytes, descriptor }: Content): TestFile {
  return [blobEntryName(descriptor.digest), bytes];
}

/** Lists `kubepkg.json` and all content of an image, in the layout of bundles of the earlier tools. */
export function filesOf(kubepkg: unknown, image: TestImage): TestFile[] {
  return [["kubepkg.json", JSON.stringify(kubepkg)], ...[...image.blobs, ...image.manifests].map(fileOf)]
    .filter(([name], i, all) => all.findIndex(([other]) => other === name) === i) as TestFile[];
}

/** Lists the digests of the blobs in a bundle, in order. */
export async function digestsIn(bytes: Uint8Array<ArrayBuffer>): Promise<Digest[]> {
  const bundle = await readBundle(streamOf(bytes));
  const found: Digest[] = [];
  for (let blob = await bundle.next(); blob !== undefined; blob = await bundle.next()) found.push(blob.digest);
  return found;
}

/** Runs a program and returns its standard output. @throws {Error} when it fails */
export async function run(command: string, args: readonly string[], cwd?: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args: [...args], ...(cwd ? { cwd } : {}) })
    .output();
  if (!success) throw new Error(`${command}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** Runs `work` with a temporary folder. */
export async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ dir: MEMORY_FOLDER });
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
