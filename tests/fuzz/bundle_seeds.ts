import { joinChunks } from "../../lib/bytes/join_chunks.ts";
import { gunzipSync } from "node:zlib";
import { packBundle } from "../support/pack_bundle.ts";
import { parseKubePkg } from "../../lib/kubepkg/parse_kubepkg.ts";
import type { Digest } from "../../lib/oci/digest.ts";
import type { SiteTrust } from "../../lib/install/trust.ts";
import { formatPublicKey, parsePrivateKey } from "../../lib/signature/keys.ts";
import { createSigner, type DocumentSigner } from "../../lib/signature/signature_lines.ts";
import { TrustPolicy } from "../../lib/signature/trust_policy.ts";
import { makeBytes } from "../support/content.ts";
import { buildArtifact, buildImage, buildIndex, type BuiltImage } from "../support/images.ts";
import { makeKubePkg } from "../support/kubepkg.ts";
import { MemoryStore } from "../support/memory_store.ts";
import { writeImage } from "../support/put_image.ts";
import { joinTar, makePart, splitTar, type TarPart } from "./tar_parts.ts";

/** The compression of a bundle's tar. */
export type SeedCompression = "gzip" | "zstd" | "none";

/** A valid bundle that mutated ones are derived from. */
export interface BundleSeed {
  readonly name: string;
  readonly parts: readonly TarPart[];
  readonly compression: SeedCompression;
  /** The file as the packer wrote it; missing when the tar is compressed in another way. */
  readonly file?: Uint8Array<ArrayBuffer>;
  /** Whether it is a delta, which needs the blobs of the base bundle. */
  readonly needsBase: boolean;
}

/** The seeds, and the bundle that is installed before some of them. */
export interface BundleSeeds {
  readonly base: Uint8Array<ArrayBuffer>;
  readonly seeds: readonly BundleSeed[];
  /** The keys that imports require. */
  readonly trust?: SiteTrust;
}

const REPO = "registry.test/line/app";
const TOOL = "registry.test:5000/tool";
const shared = { "shared.bin": makeBytes(3000, 1) };

const one = buildImage({ files: [shared, { "app.bin": makeBytes(700, 2) }] });
const two = buildIndex([
  buildImage({ files: [shared, { "app.bin": makeBytes(150_000, 3) }], layerCompression: "none" }),
  buildImage({ files: { "app.bin": makeBytes(400, 4) }, platform: "linux/arm64", layerCompression: "zstd" }),
], { attestation: true });
const old = buildIndex([buildImage({ files: [shared, { "app.bin": makeBytes(200, 5) }] })], { format: "docker" });
const signature = buildImage({ files: { "signature.json": "{}" } });
const SIGNATURE_TAG = `${one.root.digest.replace(":", "-")}.sig`;
const long = buildImage({ files: { "app.bin": makeBytes(200, 6) }, algorithm: "sha512" });

// RFC 8032 section 7.1, test 2: Ed25519 gives the same signatures each time.
const KEY = "302e020100300506032b6570042204204ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
const pem = `-----BEGIN PRIVATE KEY-----\n${Uint8Array.fromHex(KEY).toBase64()}\n-----END PRIVATE KEY-----\n`;
const key = await parsePrivateKey(pem, { what: "the key of the seeds" });
const sign = createSigner([key]);

/** The public key of signed seeds, as PEM. */
export const TRUSTED_KEY = formatPublicKey(key.public);

/**
 * Packs the seeds; they are the same each time.
 *
 * @param isSigned whether each is signed, and imported with that key as the only trusted one
 */
export async function makeBundleSeeds(isSigned: boolean): Promise<BundleSeeds> {
  const seeds = await makeSeeds(isSigned ? sign : undefined);
  if (!isSigned) return seeds;
  const policy = new TrustPolicy([{ name: "the seeds", keys: [key.public], threshold: 1 }]);
  return { ...seeds, trust: { policy } };
}

async function makeSeeds(sign: DocumentSigner | undefined): Promise<BundleSeeds> {
  const pack = (...[images, version, have]: [Parameters<typeof packImages>[0], string, ReadonlySet<Digest>?]) => {
    return packImages(images, version, { have, sign });
  };
  const earlier = (file: Uint8Array, hasDigests: boolean) => makeEarlier(partsOf(file), { hasDigests, sign });
  const base = await pack({ [`${REPO}:1`]: old }, "0.9.0");
  const single = await pack({ [`${REPO}:1`]: one }, "1.0.0");
  const multi = await pack({ [`${REPO}:1`]: two, [`${TOOL}:2`]: one }, "1.0.0");
  const delta = await pack({ [`${REPO}:1`]: old, [`${TOOL}:2`]: one }, "1.1.0", new Set(digestsOf(old)));
  const sha512 = await pack({ [`${REPO}:1`]: long }, "1.0.0");
  const attached = {
    [`${REPO}:sbom`]: buildArtifact(one.root, "application/spdx+json"),
    [`${REPO}:${SIGNATURE_TAG}`]: signature,
  };
  const referrers = await packImages({ [`${REPO}:1`]: one }, "1.0.0", { sign, attached });
  const seed = (name: string, file: Uint8Array<ArrayBuffer>, more: Partial<BundleSeed> = {}): BundleSeed => {
    return { name, parts: partsOf(file), compression: "gzip", needsBase: false, file, ...more };
  };
  return {
    base,
    seeds: [
      seed("one image", single),
      seed("two platforms", multi),
      seed("zstd", multi, { compression: "zstd", file: undefined }),
      seed("plain tar", single, { compression: "none", file: undefined }),
      seed("earlier generation", single, { parts: earlier(single, false), file: undefined }),
      seed("earlier, with digests", multi, { parts: earlier(multi, true), file: undefined }),
      seed("delta", delta, { needsBase: true }),
      seed("sha512", sha512),
      seed("referrers", referrers),
    ],
  };
}

async function packImages(
  images: Readonly<Record<string, BuiltImage>>,
  version: string,
  { have, sign, attached = {} }: {
    have?: ReadonlySet<Digest> | undefined;
    sign: DocumentSigner | undefined;
    attached?: Readonly<Record<string, BuiltImage>>;
  },
): Promise<Uint8Array<ArrayBuffer>> {
  const store = new MemoryStore();
  for (const [reference, image] of Object.entries({ ...images, ...attached })) {
    await writeImage(store, reference, image);
  }
  const names = Object.fromEntries(Object.keys(images).map((reference) => [reference, ""]));
  const parts: Uint8Array[] = [];
  const kubepkg = parseKubePkg(makeKubePkg(names, { version, data: { version } }));
  await packBundle(kubepkg, store, {
    ...(have === undefined ? {} : { have }),
    sign,
    referrers: { catalog: store, isCarried: true },
    output: { write: (bytes) => void parts.push(bytes.slice()) },
  });
  return joinChunks(parts);
}

function partsOf(file: Uint8Array): TarPart[] {
  return splitTar(new Uint8Array(gunzipSync(file)));
}

// A bundle of the earlier generation has no files of an OCI image layout. Its digests are either in the status and not
// in the spec, or nowhere.
function makeEarlier(
  [first, ...rest]: readonly TarPart[],
  { hasDigests, sign }: { hasDigests: boolean; sign: DocumentSigner | undefined },
): TarPart[] {
  const kubepkg = JSON.parse(new TextDecoder().decode(first!.content));
  if (hasDigests) {
    for (const name of Object.keys(kubepkg.spec.images)) kubepkg.spec.images[name] = "";
  } else delete kubepkg.status;
  const text = new TextEncoder().encode(JSON.stringify(kubepkg));
  const signatures = sign === undefined ? [] : [makePart(`${first!.name}.sig`, new TextEncoder().encode(sign(text)))];
  return [makePart(first!.name, text), ...signatures, ...rest.filter(({ name }) => name.startsWith("blobs/"))];
}

function digestsOf({ manifests, blobs }: BuiltImage): Digest[] {
  return [...manifests.map(({ descriptor }) => descriptor.digest), ...blobs.keys()];
}

/** Joins the parts of a seed into a tar. */
export function tarOf({ parts }: Pick<BundleSeed, "parts">): Uint8Array<ArrayBuffer> {
  return joinTar(parts);
}
