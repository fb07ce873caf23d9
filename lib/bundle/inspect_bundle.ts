import type { BundleSource } from "../bytes/byte_reader.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg, StatusDigest } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { isJsonObject } from "../oci/json.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import { verifyDetached } from "../signature/detached_signature.ts";
import type { Algorithm } from "../signature/keys.ts";
import { parseSignatureLines } from "../signature/signature_lines.ts";
import type { SignedDocument } from "../signature/trust_policy.ts";
import { declaredSizes } from "./declared_sizes.ts";
import { readBundle } from "./read_bundle.ts";

/** The description of a package of a bundle, from its `kubepkg.json`. */
export interface BundleInfo {
  readonly name: string;
  readonly namespace: string;
  readonly version: string;
  readonly platforms: readonly string[];
  readonly images: readonly ImageInfo[];
  /** The Kubernetes objects, sorted by key. */
  readonly manifests: readonly {
    readonly key: string;
    readonly kind: string;
    readonly namespace?: string;
    readonly name: string;
  }[];
  /** Number and total size in bytes of the blobs and manifests that the package needs. */
  readonly blobs: { readonly count: number; readonly size: number };
  /** Number and total size of those that were left out because the site holds them. */
  readonly omitted: { readonly count: number; readonly size: number };
  /** Set for a bundle with deltas: their number and total size, and the total size of the layers that they make. */
  readonly deltas?: { readonly count: number; readonly size: number; readonly layerSize: number };
  /** Set for a part of a split bundle. `size` is that of the content in this part, in bytes. */
  readonly part?: { readonly id: Digest; readonly number: number; readonly count: number; readonly size: number };
}

/** An image of a bundle. */
interface ImageInfo {
  readonly reference: string;
  readonly digest?: Digest;
  readonly platforms: readonly string[];
  /** Total size in bytes of what the image's repository needs. A shared layer counts for each image. */
  readonly size: number;
  /** How many manifests are attached to images of its repository: signatures, attestations, SBOMs. Absent: none. */
  readonly referrers?: number;
}

/** A signature of a bundle. */
export interface SignatureInfo {
  readonly keyId: string;
  readonly algorithm?: Algorithm;
  /** Whether it is a signature by the public key that its line names; absent if the line names none. */
  readonly isValid?: boolean;
}

/** The packages of a bundle, and who has signed it. */
interface InspectedBundle {
  readonly packages: readonly KubePkg[];
  readonly infos: readonly BundleInfo[];
  readonly document: SignedDocument;
  readonly signatures: readonly SignatureInfo[];
}

/**
 * Describes the packages of a bundle, in its order; one unless the bundle holds a list. Reads only its first entries.
 *
 * @param what name of the bundle in errors
 * @throws {CorruptError} when the file is not a bundle
 */
export async function inspectBundle(source: BundleSource, what?: string): Promise<readonly BundleInfo[]> {
  return (await inspectSigned(source, what)).infos;
}

/** The same with the signatures of the bundle. @throws {CorruptError} also when these cannot be read */
export async function inspectSigned(source: BundleSource, what?: string): Promise<InspectedBundle> {
  const bundle = await readBundle(source, { what });
  try {
    const text = await bundle.readSignatures();
    const signatures = text === undefined ? [] : parseSignatureLines(text, bundle.what);
    return {
      packages: bundle.packages,
      infos: bundle.packages.map(describeBundle),
      document: { bytes: bundle.document, text, signatures },
      signatures: signatures.map(({ keyId, signature, publicKey }) => ({
        keyId,
        algorithm: publicKey?.algorithm,
        isValid: publicKey && verifyDetached(bundle.document, signature, publicKey),
      })),
    };
  } finally {
    await bundle.cancel();
  }
}

/** Describes the package of a bundle. */
export function describeBundle(kubepkg: KubePkg): BundleInfo {
  const { name, namespace } = kubepkg.metadata;
  const digests = kubepkg.status?.digests ?? [];
  const sizes = declaredSizes(kubepkg) ?? new Map<Digest, number>();
  const omitted = new Set(kubepkg.status?.omitted ?? []);
  return {
    name,
    namespace,
    version: kubepkg.spec.version,
    platforms: platformsIn(digests),
    images: imagesOf(kubepkg).map(({ reference, digest }) => {
      const own = digests.filter((line) => line.name === repositoryOf(reference));
      const needed = new Set(own.map((line) => line.digest));
      const referrers = new Set(own.filter(({ subject }) => subject !== undefined).map((line) => line.digest)).size;
      return {
        reference: formatReference(reference),
        digest,
        platforms: platformsIn(own),
        size: [...needed].reduce((sum, each) => sum + (sizes.get(each) ?? 0), 0),
        referrers: referrers === 0 ? undefined : referrers,
      };
    }),
    manifests: Object.entries(kubepkg.spec.manifests).sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0)
      .map(([key, { kind, metadata }]) => {
        const { name, namespace } = isJsonObject(metadata) ? metadata : {};
        return {
          key,
          kind,
          namespace: typeof namespace === "string" ? namespace : undefined,
          name: typeof name === "string" ? name : key,
        };
      }),
    blobs: { count: sizes.size, size: sumOf(sizes, () => true) },
    omitted: { count: omitted.size, size: sumOf(sizes, (digest) => omitted.has(digest)) },
    ...describeDeltas(kubepkg, sizes),
    ...describePart(kubepkg, sizes),
  };
}

function describeDeltas({ status }: KubePkg, sizes: ReadonlyMap<Digest, number>): Pick<BundleInfo, "deltas"> {
  const { deltas = [] } = status ?? {};
  if (deltas.length === 0) return {};
  const layers = new Set(deltas.map(({ digest }) => digest));
  const size = deltas.reduce((sum, delta) => sum + delta.size, 0);
  return { deltas: { count: deltas.length, size, layerSize: sumOf(sizes, (digest) => layers.has(digest)) } };
}

function describePart({ status }: KubePkg, sizes: ReadonlyMap<Digest, number>): Pick<BundleInfo, "part"> {
  if (status?.part === undefined) return {};
  const { id, number, count, carries } = status.part;
  const all = new Map([...sizes, ...(status.deltas ?? []).map(({ delta, size }) => [delta, size] as const)]);
  const size = carries.reduce((sum, { digest, length }) => sum + (length ?? all.get(digest) ?? 0), 0);
  return { part: { id, number, count, size } };
}

function platformsIn(digests: readonly StatusDigest[]): string[] {
  const names = digests.filter(({ type }) => type === "manifest").map(({ platform }) => platform);
  return [...new Set(names.filter((name) => name !== undefined))].sort();
}

function sumOf(sizes: ReadonlyMap<Digest, number>, isCounted: (digest: Digest) => boolean): number {
  let sum = 0;
  for (const [digest, size] of sizes) if (isCounted(digest)) sum += size;
  return sum;
}
