import { joinChunks } from "../../lib/bytes/join_chunks.ts";
import { gzipSync } from "node:zlib";
import { type Algorithm, computeDigest, type Digest } from "../../lib/oci/digest.ts";
import { type Descriptor, MEDIA_TYPE } from "../../lib/oci/manifest.ts";
import { parsePlatform, type Platform } from "../../lib/oci/platform.ts";
import type { LargeBlob } from "./large_blob.ts";
import { makeTar } from "./tar.ts";

/** The files of a layer: path → content. */
export type Files = Readonly<Record<string, string | Uint8Array>>;

/** A manifest's bytes and descriptor. */
export interface BuiltManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** An image, an index or an artifact, complete. */
export interface BuiltImage {
  /** Children before the manifests that name them; the last one is `root`. */
  readonly manifests: readonly BuiltManifest[];
  /** Configs and layers. */
  readonly blobs: ReadonlyMap<Digest, Uint8Array<ArrayBuffer>>;
  /** Layers that are too large for memory. */
  readonly largeBlobs: ReadonlyMap<Digest, LargeBlob>;
  readonly root: Descriptor;
}

/** Options of an image. The same options give the same bytes. */
export interface ImageOptions {
  /** The files of the only layer, or of each layer; by default one file. */
  readonly files?: Files | readonly Files[];
  /** By default `linux/amd64`. */
  readonly platform?: string;
  readonly layerCompression?: "gzip" | "zstd" | "none";
  /** Compresses gzip layers; by default the zlib of the tests, which no compressor model describes. */
  readonly gzip?: (bytes: Uint8Array) => Uint8Array<ArrayBuffer>;
  /** The algorithm of every digest in the image except the `diff_ids`, which are always sha256. */
  readonly algorithm?: Algorithm;
  readonly format?: "oci" | "docker";
  readonly annotations?: Readonly<Record<string, string>>;
  /** The command of the image, which has no shell. */
  readonly entrypoint?: readonly string[];
  /** An additional layer on top. */
  readonly largeLayer?: LargeBlob;
}

const encoder = new TextEncoder();
const LAYER_TYPES = {
  oci: "application/vnd.oci.image.layer.v1.tar",
  docker: "application/vnd.docker.image.rootfs.diff.tar",
};

/** Builds an image of real layers that container tools accept. */
export function buildImage(options: ImageOptions = {}): BuiltImage {
  const { algorithm = "sha256", format = "oci", layerCompression = "gzip", annotations } = options;
  const platform = parsePlatform(options.platform ?? "linux/amd64");
  const layers = [options.files ?? { "hello.txt": `hello from ${JSON.stringify(platform)}\n` }].flat();
  const blobs = new Map<Digest, Uint8Array<ArrayBuffer>>();
  const diffIds: Digest[] = [];
  const descriptors: Descriptor[] = [];
  const add = (bytes: Uint8Array<ArrayBuffer>, mediaType: string): Descriptor => {
    const digest = computeDigest(bytes, algorithm);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };
  for (const files of layers) {
    const tar = makeTar(files);
    diffIds.push(computeDigest(tar));
    const layer = layerCompression === "gzip" && options.gzip ? options.gzip(tar) : compress(tar, layerCompression);
    descriptors.push(add(layer, layerType(format, layerCompression)));
  }
  if (options.largeLayer !== undefined) {
    const { digest, size } = options.largeLayer;
    diffIds.push(digest);
    descriptors.push({ mediaType: layerType(format, "none"), digest, size });
  }
  const config = add(
    encoder.encode(JSON.stringify({
      created: "2020-01-01T00:00:00Z",
      ...platform,
      config: { Entrypoint: options.entrypoint ?? ["/hello"] },
      rootfs: { type: "layers", diff_ids: diffIds },
      history: diffIds.map(() => ({ created: "2020-01-01T00:00:00Z", created_by: "tests" })),
    })),
    format === "oci" ? "application/vnd.oci.image.config.v1+json" : "application/vnd.docker.container.image.v1+json",
  );
  const mediaType = format === "oci" ? MEDIA_TYPE.ociManifest : MEDIA_TYPE.dockerManifest;
  const manifest = makeManifest(
    { schemaVersion: 2, mediaType, config, layers: descriptors, ...(annotations && { annotations }) },
    algorithm,
  );
  const largeBlobs = new Map(options.largeLayer && [[options.largeLayer.digest, options.largeLayer]]);
  return { manifests: [manifest], blobs, largeBlobs, root: { ...manifest.descriptor, platform } };
}

/** Options of an index. */
export interface IndexOptions {
  /** Adds an attestation of the first image, for the platform `unknown/unknown`, like BuildKit. */
  readonly attestation?: boolean;
  readonly format?: "oci" | "docker";
  readonly algorithm?: Algorithm;
}

/** Builds an index of images for several platforms, or of indexes. */
export function buildIndex(images: readonly BuiltImage[], options: IndexOptions = {}): BuiltImage {
  const { format = "oci", algorithm = "sha256" } = options;
  const [first] = images;
  const all = options.attestation && first !== undefined ? [...images, buildAttestation(first.root)] : images;
  const mediaType = format === "oci" ? MEDIA_TYPE.ociIndex : MEDIA_TYPE.dockerList;
  return combine(all, makeManifest({ schemaVersion: 2, mediaType, manifests: all.map(({ root }) => root) }, algorithm));
}

/** Builds an artifact that refers to a subject: a signature, or a bill of materials. */
export function buildArtifact(subject: Descriptor, artifactType: string, content = "an artifact"): BuiltImage {
  const layer = encoder.encode(content);
  const empty = encoder.encode("{}");
  const { mediaType, digest, size } = subject;
  const manifest = makeManifest({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    artifactType,
    config: { mediaType: "application/vnd.oci.empty.v1+json", digest: computeDigest(empty), size: empty.length },
    layers: [{ mediaType: "text/plain", digest: computeDigest(layer), size: layer.length }],
    subject: { mediaType, digest, size },
  });
  return {
    manifests: [manifest],
    blobs: new Map([[computeDigest(empty), empty], [computeDigest(layer), layer]]),
    largeBlobs: new Map(),
    root: manifest.descriptor,
  };
}

/** Describes a blob. */
export function describeBytes(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: computeDigest(bytes), size: bytes.length };
}

/** Builds an artifact from the fields of its manifest and its blobs. */
export function packManifest(
  fields: { readonly mediaType: string; readonly [field: string]: unknown },
  blobs: readonly Uint8Array<ArrayBuffer>[],
): BuiltImage {
  const manifest = makeManifest({ schemaVersion: 2, ...fields });
  return {
    manifests: [manifest],
    blobs: new Map(blobs.map((bytes) => [computeDigest(bytes), bytes])),
    largeBlobs: new Map(),
    root: manifest.descriptor,
  };
}

function buildAttestation(subject: Descriptor): BuiltImage {
  const statement = encoder.encode(JSON.stringify({ _type: "https://in-toto.io/Statement/v0.1" }));
  const config = encoder.encode(JSON.stringify({
    architecture: "unknown",
    os: "unknown",
    config: {},
    rootfs: { type: "layers", diff_ids: [computeDigest(statement)] },
  }));
  const manifest = makeManifest({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: describeBytes("application/vnd.oci.image.config.v1+json", config),
    layers: [describeBytes("application/vnd.in-toto+json", statement)],
  });
  const platform: Platform = { architecture: "unknown", os: "unknown" };
  const annotations = {
    "vnd.docker.reference.digest": subject.digest,
    "vnd.docker.reference.type": "attestation-manifest",
  };
  return {
    manifests: [manifest],
    blobs: new Map([config, statement].map((bytes) => [computeDigest(bytes), bytes])),
    largeBlobs: new Map(),
    root: { ...manifest.descriptor, platform, annotations },
  };
}

function combine(parts: readonly BuiltImage[], top: BuiltManifest): BuiltImage {
  // Two images may share a manifest, such as one architecture under two names.
  const manifests = new Map(parts.flatMap((part) => part.manifests).map((each) => [each.descriptor.digest, each]));
  return {
    manifests: [...manifests.values(), top],
    blobs: new Map(parts.flatMap(({ blobs }) => [...blobs])),
    largeBlobs: new Map(parts.flatMap(({ largeBlobs }) => [...largeBlobs])),
    root: top.descriptor,
  };
}

function makeManifest(
  manifest: { readonly mediaType: string; readonly [field: string]: unknown },
  algorithm?: Algorithm,
): BuiltManifest {
  const bytes = encoder.encode(JSON.stringify(manifest));
  const digest = computeDigest(bytes, algorithm);
  return { bytes, descriptor: { mediaType: manifest.mediaType, digest, size: bytes.length } };
}

function layerType(format: "oci" | "docker", compression: "gzip" | "zstd" | "none"): string {
  const base = LAYER_TYPES[format];
  if (compression === "none") return base;
  return format === "oci" ? `${base}+${compression}` : `${base}.${compression}`;
}

function compress(tar: Uint8Array<ArrayBuffer>, compression: "gzip" | "zstd" | "none"): Uint8Array<ArrayBuffer> {
  if (compression === "none") return tar;
  return compression === "gzip" ? new Uint8Array(gzipSync(tar)) : storeAsZstd(tar);
}

// One frame of raw blocks (RFC 8878, 3.1.1) is a valid zstd file, and needs no compressor.
function storeAsZstd(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, 0xfd2fb528, true);
  view.setUint8(4, 0xe0); // single segment, content size of 8 bytes
  view.setBigUint64(5, BigInt(bytes.length), true);
  const parts: Uint8Array[] = [header];
  const blockSize = 128 * 1024;
  for (let at = 0; at === 0 || at < bytes.length; at += blockSize) {
    const block = bytes.subarray(at, at + blockSize);
    const isLast = at + blockSize >= bytes.length ? 1 : 0;
    const word = block.length << 3 | isLast;
    parts.push(new Uint8Array([word & 0xff, word >> 8 & 0xff, word >> 16 & 0xff]), block);
  }
  return joinChunks(parts);
}
