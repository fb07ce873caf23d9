import { createHash } from "node:crypto";
import type { ContentSource } from "../content/source.ts";
import { DigestMismatchError, Verifier } from "../content/verify.ts";
import { imagesOf, type KubePkg, PLATFORMS_ANNOTATION, withImageDigests } from "../kubepkg/kubepkg.ts";
import { KUBEPKG_LIMITS } from "../kubepkg/read_kubepkg.ts";
import {
  type BundlePlan,
  type CarriedManifest,
  planBundle,
  type PlanEntry,
  platformsOf,
  type ResolvedImage,
} from "../kubepkg/plan.ts";
import type { Digest } from "../oci/digest.ts";
import { type Descriptor, MEDIA_TYPE } from "../oci/manifest.ts";
import { parsePlatforms, type Platform } from "../oci/platform.ts";
import { formatReference } from "../oci/reference.ts";
import { ByteReader, openByteSource } from "./byte_reader.ts";
import { blobEntryName, type BundleEntryNames, ENTRY_NAME } from "./entry_name.ts";
import { type ByteSink, formatGzipHead, GzipWriter, sizeOfRest } from "./gzip_writer.ts";
import { ImageResolver, type PlatformChoice } from "./resolve_image.ts";
import { BLOCK_BYTES, formatTarHeader, paddedSize } from "./tar_header.ts";

/** What is going on while a bundle is packed or imported. */
export interface BundleProgress {
  /** Bytes that are done. */
  readonly bytes: number;
  /** Bytes that there will be, where it is known. */
  readonly total?: number;
  /** The entry that is worked on: `blobs/sha256/…`. */
  readonly entry: string;
}

/** How a bundle is packed. */
export interface PackOptions {
  /** Platforms that were asked for by name, before all others. */
  readonly platforms?: readonly Platform[];
  /** Platforms that the device was set to (`$PLATFORMS`), where neither option nor annotation names some. */
  readonly devicePlatforms?: readonly Platform[];
  /** What the site holds, which is left out. */
  readonly have?: ReadonlySet<Digest>;
  /** Whether to hash what is written, which costs as much as all else. */
  readonly hashOutput?: boolean;
  readonly onProgress?: (progress: BundleProgress) => void;
}

/** What was packed. */
export interface PackResult {
  readonly name: string;
  readonly version: string;
  /** Of the file, in bytes. */
  readonly size: number;
  /** Of the file, if it was asked for. */
  readonly tgzDigest?: Digest;
  readonly images: readonly {
    readonly reference: string;
    readonly digest: Digest;
    readonly platforms: readonly string[];
  }[];
  readonly platforms: readonly string[];
  /** How many blobs and manifests the file has, their size in bytes, and how many were left out. */
  readonly blobs: { readonly count: number; readonly size: number; readonly omitted: number };
  /** The package as the bundle has it. */
  readonly kubepkg: KubePkg;
}

const DEFAULT_PLATFORMS: readonly Platform[] = parsePlatforms("linux/amd64,linux/arm64");
const END_BYTES = 2 * BLOCK_BYTES;
const encoder = new TextEncoder();

/**
 * Writes a package with all that it needs as one file. The same package, content and options give the same bytes. When it
 * fails, what was written is worthless.
 *
 * @throws {Error} when an image, a blob or a platform asked for by name is not there
 * @throws {DigestMismatchError} when the content is not what its digest says; it names the image
 */
export async function packBundle(
  kubepkg: KubePkg,
  source: ContentSource,
  options: PackOptions,
  sink: ByteSink,
): Promise<PackResult> {
  const resolver = new ImageResolver(source, choosePlatforms(kubepkg, options));
  const images: ResolvedImage[] = [];
  for (const image of imagesOf(kubepkg)) {
    images.push(await resolver.resolve(image).catch((error) => blame(error, [formatReference(image.reference)])));
  }
  const plan = planBundle(images, options.have);
  const packed = describePackage(kubepkg, images, plan);

  const hash = options.hashOutput ? createHash("sha256") : undefined;
  const hashed: ByteSink = {
    write: (bytes) => {
      hash?.update(bytes);
      return sink.write(bytes);
    },
  };
  const head = formatGzipHead(formatHead(packed, images));
  await hashed.write(head.bytes);
  const gzip = new GzipWriter(hashed, head.state);
  const total = gzip.size + sizeOfRest(sizeOfBody(plan));
  const report = (entry: string) => options.onProgress?.({ bytes: gzip.size, total, entry });

  report(ENTRY_NAME.kubepkg);
  for (const entry of plan.entries) {
    const { digest, size } = entry.descriptor;
    const name = blobEntryName(digest);
    await gzip.write(formatTarHeader(name, size));
    const bytes = entry.type === "manifest" ? resolver.manifests.get(digest) : undefined;
    if (bytes !== undefined) await gzip.write(bytes);
    else {
      await copyBlob(source, entry, async (piece) => (await gzip.write(piece), report(name)))
        .catch((error) => blame(error, namesOf(images.filter(({ root }) => hasBlob(root, digest)))));
    }
    await gzip.write(new Uint8Array(paddedSize(size) - size));
  }
  await gzip.write(new Uint8Array(END_BYTES));
  await gzip.finish();

  return {
    name: packed.metadata.name,
    version: packed.spec.version,
    size: gzip.size,
    ...(hash === undefined ? {} : { tgzDigest: `sha256:${hash.digest("hex")}` as const }),
    images: images.map(({ reference, root }) => ({
      reference: formatReference(reference),
      digest: root.descriptor.digest,
      platforms: platformsOf(root),
    })),
    platforms: packedPlatforms(images),
    blobs: { count: plan.entries.length, size: plan.size, omitted: plan.omitted.length },
    kubepkg: packed,
  };
}

function choosePlatforms(kubepkg: KubePkg, { platforms, devicePlatforms }: PackOptions): PlatformChoice {
  const annotated = parsePlatforms(kubepkg.metadata.annotations?.[PLATFORMS_ANNOTATION] ?? "");
  for (const named of [platforms ?? [], annotated, devicePlatforms ?? []]) {
    if (named.length > 0) return { platforms: named, isNamed: true };
  }
  return { platforms: DEFAULT_PLATFORMS, isNamed: false };
}

function describePackage(kubepkg: KubePkg, images: readonly ResolvedImage[], plan: BundlePlan): KubePkg {
  const digests = new Map(images.map(({ reference, root }) => [formatReference(reference), root.descriptor.digest]));
  const platforms = packedPlatforms(images);
  const { tgzDigest: _, omitted: __, part: ___, ...status } = kubepkg.status ?? {};
  const filled = withImageDigests(kubepkg, ({ reference }) => digests.get(formatReference(reference)) as Digest);
  const annotations = platforms.length === 0
    ? kubepkg.metadata.annotations
    : { ...kubepkg.metadata.annotations, [PLATFORMS_ANNOTATION]: platforms.join(",") };
  return {
    ...filled,
    metadata: { ...filled.metadata, ...(annotations === undefined ? {} : { annotations }) },
    status: { ...status, digests: plan.digests, ...(plan.omitted.length === 0 ? {} : { omitted: plan.omitted }) },
  };
}

// The documents that say what the file is: a few kilobytes that compress well, and are read first.
function formatHead(kubepkg: KubePkg, images: readonly ResolvedImage[]): Uint8Array {
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: images.map(formatIndexEntry) };
  const documents: [BundleEntryNames, unknown][] = [
    [ENTRY_NAME.kubepkg, kubepkg],
    [ENTRY_NAME.layout, { imageLayoutVersion: "1.0.0" }],
    [ENTRY_NAME.index, index],
  ];
  const parts = documents.flatMap(([name, value]) => {
    const bytes = encoder.encode(`${JSON.stringify(value, undefined, 2)}\n`);
    // What could not be read again must not be written.
    if (bytes.length > KUBEPKG_LIMITS.maxBytes) {
      throw new Error(`Cannot pack: ${name} would have ${bytes.length} bytes, ${KUBEPKG_LIMITS.maxBytes} are allowed`);
    }
    return [formatTarHeader(name, bytes.length), bytes, new Uint8Array(paddedSize(bytes.length) - bytes.length)];
  });
  const head = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    head.set(part, at);
    at += part.length;
  }
  return head;
}

function formatIndexEntry({ reference, root }: ResolvedImage): Descriptor {
  const { mediaType, digest, size } = root.descriptor;
  return {
    mediaType,
    digest,
    size,
    annotations: {
      ...(reference.tag === undefined ? {} : { "org.opencontainers.image.ref.name": reference.tag }),
      "io.containerd.image.name": formatReference(reference),
    },
  };
}

function sizeOfBody({ entries }: BundlePlan): number {
  return entries.reduce((sum, { descriptor: { digest, size } }) => {
    return sum + formatTarHeader(blobEntryName(digest), size).length + paddedSize(size);
  }, END_BYTES);
}

// The next piece is on its way while this one is hashed and written.
async function copyBlob(
  source: ContentSource,
  { descriptor: { digest, size }, repository }: PlanEntry,
  write: (piece: Uint8Array) => Promise<void>,
): Promise<void> {
  const opened = await source.openBlob(repository, digest);
  if (opened === undefined) throw new Error(`Cannot pack ${repository}: its blob ${digest} was not found`);
  const reader = new ByteReader(openByteSource(opened.body), digest);
  const readAhead = () => {
    const next = reader.read(Infinity);
    next.catch(() => {});
    return next;
  };
  try {
    const verifier = new Verifier(digest, size);
    for (let next = readAhead(), piece = await next; piece !== undefined; piece = await next) {
      next = readAhead();
      verifier.update(piece);
      await write(piece);
    }
    verifier.finish();
  } catch (error) {
    await reader.cancel(error);
    throw error;
  }
}

function blame(error: unknown, names: readonly string[]): never {
  if (!(error instanceof DigestMismatchError)) throw error;
  throw new DigestMismatchError(
    `Cannot pack ${names.join(", ")}: ${error.message}; run crpe verify to see what is broken`,
  );
}

function namesOf(images: readonly ResolvedImage[]): string[] {
  return images.map(({ reference }) => formatReference(reference));
}

function hasBlob({ blobs, children }: CarriedManifest, digest: Digest): boolean {
  return blobs.some((blob) => blob.digest === digest) || children.some((child) => hasBlob(child, digest));
}

function packedPlatforms(images: readonly ResolvedImage[]): string[] {
  return [...new Set(images.flatMap(({ root }) => platformsOf(root)))].sort();
}
