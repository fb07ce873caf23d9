/**
 * Makes the image of a release in a data folder that has its base: on the base, for each platform, one layer.
 *
 *   deno run -A scripts/delivery/make_image.ts --data=DIR --base=IMAGE --image=IMAGE --time=ISO-8601 \
 *     [--label=KEY=VALUE…] --layer=linux/amd64=FILE.tar [--layer=linux/arm64=FILE.tar]
 *
 * The same input gives the same bytes. `crpe save` writes the image as an archive then.
 */
import { createGzip } from "node:zlib";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { parseArgs } from "@std/cli/parse-args";
import { readSmallBlob } from "../../lib/content/read_small_blob.ts";
import { computeDigest, type Digest, parseDigest } from "../../lib/oci/digest.ts";
import { isJsonObject } from "../../lib/oci/json.ts";
import { type Descriptor, type ImageManifest, MEDIA_TYPE, parseManifest } from "../../lib/oci/manifest.ts";
import { formatPlatform, isSamePlatform, parsePlatform, type Platform } from "../../lib/oci/platform.ts";
import { formatReference, parseReference, type Reference, repositoryOf } from "../../lib/oci/reference.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { takeWriteLease } from "../../lib/store/write_lease.ts";

/** What an image is made of. */
export interface ImageInput {
  /** The data folder. */
  readonly data: string;
  /** An image that the data folder has. */
  readonly base: Reference;
  /** The name of the new image. */
  readonly image: Reference;
  /** The time of the commit, in ISO 8601. */
  readonly time: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Uncompressed tars with the executable. */
  readonly layers: readonly { readonly platform: Platform; readonly path: string }[];
}

/** The user `nonroot` of the distroless images. */
const USER = "65532:65532";
const CONFIG_TYPE = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;

const encoder = new TextEncoder();

/**
 * Makes an index of one image for each layer.
 *
 * @returns the digest of the index
 * @throws {Error} when the base is not there, or not for a platform
 */
export async function makeImage({ data, base, image, time, labels, layers }: ImageInput): Promise<Digest> {
  using _lease = await takeWriteLease(data);
  const store = new DiskStore(data);
  const [from, to] = [repositoryOf(base), repositoryOf(image)];
  const root = await readManifest(base.digest ?? base.tag ?? "latest");
  const allLabels = { ...labels, "org.opencontainers.image.base.digest": root.descriptor.digest };
  const manifests: Descriptor[] = [];
  for (const { platform, path } of layers) {
    const { config, layers: below } = await findBase(platform);
    const { layer, diffId } = await addLayer(data, path);
    const newConfig = await putBlob(extendConfig(config, { platform, diffId, time, labels: allLabels }));
    for (const { digest } of [...below, layer]) await store.linkBlob(to, digest);
    const manifest = await putManifest(MEDIA_TYPE.ociManifest, {
      config: { mediaType: CONFIG_TYPE, ...newConfig },
      layers: [...below.map(toOciLayer), layer],
      annotations: allLabels,
    });
    manifests.push({ ...manifest, platform });
  }
  const index = await putManifest(MEDIA_TYPE.ociIndex, { manifests, annotations: allLabels });
  await store.tag(to, image.tag ?? "latest", index.digest);
  return index.digest;

  async function readManifest(tagOrDigest: string) {
    const descriptor = await store.resolve(from, tagOrDigest);
    const bytes = descriptor && await store.readManifest(from, descriptor.digest);
    if (descriptor === undefined || bytes === undefined) {
      throw new Error(`Cannot use ${formatReference(base)}: ${tagOrDigest} is not in ${data}`);
    }
    return { descriptor, manifest: parseManifest(bytes, descriptor.mediaType) };
  }

  async function findBase(
    platform: Platform,
  ): Promise<{ config: Record<string, unknown>; layers: ImageManifest["layers"] }> {
    const candidates = root.manifest.kind === "manifest" ? [root.manifest] : await Promise.all(
      root.manifest.manifests.filter((child) => child.platform && isSamePlatform(child.platform, platform))
        .map(async ({ digest }) => (await readManifest(digest)).manifest),
    );
    for (const manifest of candidates) {
      if (manifest.kind !== "manifest" || manifest.config === undefined) continue;
      const bytes = await readSmallBlob(store, from, { ...manifest.config, limit: MAX_CONFIG_BYTES });
      const config: unknown = JSON.parse(new TextDecoder().decode(bytes));
      if (!isJsonObject(config)) continue;
      const { os, architecture, variant } = config as unknown as Platform;
      // arm64 and arm64/v8 are the same platform.
      const found = formatPlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) });
      if (found === formatPlatform(platform)) return { config, layers: manifest.layers };
    }
    throw new Error(`Cannot use ${formatReference(base)}: it has no image for ${formatPlatform(platform)}`);
  }

  async function putBlob(document: object): Promise<{ digest: Digest; size: number }> {
    const bytes = encoder.encode(JSON.stringify(document));
    const digest = await store.addBlob(new Blob([bytes]).stream());
    await store.linkBlob(to, digest);
    return { digest, size: bytes.length };
  }

  async function putManifest(mediaType: string, document: object): Promise<Descriptor> {
    const bytes = encoder.encode(JSON.stringify({ schemaVersion: 2, mediaType, ...document }));
    const descriptor = { mediaType, digest: computeDigest(bytes), size: bytes.length };
    await store.writeManifest(to, descriptor, bytes);
    return descriptor;
  }
}

interface Extension {
  readonly platform: Platform;
  readonly diffId: Digest;
  readonly time: string;
  readonly labels: Readonly<Record<string, string>>;
}

// The config of an image (OCI image specification, "Image Configuration") with one more layer.
function extendConfig(base: Record<string, unknown>, { platform, diffId, time, labels }: Extension): object {
  const { config, rootfs, history } = base;
  const inherited: Record<string, unknown> = isJsonObject(config) ? config : {};
  const { diff_ids: below = [] } = (rootfs ?? {}) as { diff_ids?: Digest[] };
  const environment = Array.isArray(inherited.Env) ? inherited.Env as string[] : [];
  const ownNames = ["PATH=", "STORAGE_ROOT="];
  return {
    created: time,
    ...platform,
    config: {
      ...inherited,
      User: USER,
      ExposedPorts: { "6060/tcp": {}, "36060/tcp": {} },
      Env: [
        ...environment.filter((line) => !ownNames.some((name) => line.startsWith(name))),
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/",
        "STORAGE_ROOT=/data",
      ],
      Entrypoint: ["/crpe"],
      Cmd: ["registry"],
      Volumes: { "/data": {} },
      WorkingDir: "/data",
      Labels: { ...(isJsonObject(inherited.Labels) ? inherited.Labels : {}), ...labels },
    },
    rootfs: { type: "layers", diff_ids: [...below, diffId] },
    history: [
      ...(Array.isArray(history) ? history : below.map(() => ({ created: time, created_by: "base" }))),
      { created: time, created_by: "scripts/release", comment: "crpe" },
    ],
  };
}

// Layers of docker's format have the same bytes.
function toOciLayer({ mediaType, digest, size }: Descriptor): Descriptor {
  const compression = /[.+](gzip|zstd)$/.exec(mediaType)?.[1];
  return { mediaType: compression === undefined ? LAYER_TYPE : `${LAYER_TYPE}+${compression}`, digest, size };
}

async function addLayer(data: string, path: string): Promise<{ layer: Descriptor; diffId: Digest }> {
  const hash = createHash("sha256");
  let size = 0;
  using file = await Deno.open(path);
  async function* hashed() {
    for await (const chunk of file.readable) {
      hash.update(chunk);
      yield chunk;
    }
  }
  const zipped = Readable.from(hashed()).pipe(createGzip({ level: 6 }));
  const body = (Readable.toWeb(zipped) as unknown as ReadableStream<Uint8Array>).pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        size += chunk.length;
        controller.enqueue(chunk);
      },
    }),
  );
  const digest = await new DiskStore(data).addBlob(body);
  const layer = { mediaType: `${LAYER_TYPE}+gzip`, digest, size };
  return { layer, diffId: parseDigest(`sha256:${hash.digest("hex")}`) };
}

if (import.meta.main) {
  const flags = parseArgs(Deno.args, {
    string: ["data", "base", "image", "time", "label", "layer"],
    collect: ["label", "layer"],
  }) as unknown as Readonly<Record<"data" | "base" | "image" | "time", string>> & {
    readonly label: readonly string[];
    readonly layer: readonly string[];
  };
  const split = (text: string): [string, string] => {
    const [before = "", ...after] = text.split("=");
    return [before, after.join("=")];
  };
  const digest = await makeImage({
    data: flags.data,
    base: parseReference(flags.base),
    image: parseReference(flags.image),
    time: flags.time,
    labels: Object.fromEntries(flags.label.map(split)),
    layers: flags.layer.map(split).map(([platform, path]) => ({ platform: parsePlatform(platform), path })),
  });
  console.log(digest);
}
