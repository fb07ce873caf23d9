import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import type { Descriptor } from "../oci/manifest.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import { parseEnvelope, parseStatement, type Statement } from "../signature/dsse.ts";
import { isSigstoreBundle } from "../signature/image_signature.ts";
import { BundleEvidence, type BundleReferrer, type EvidenceOptions } from "./bundle_evidence.ts";
import { rootDigest } from "./image_graph.ts";
import { MAX_SBOM_BYTES, parseDocument, parseSbom, type Sbom } from "./parse_sbom.ts";

/** An SBOM of a bundle. */
export interface BundleSbom extends Partial<Sbom> {
  /** The image: its reference, or for the manifest of one platform its repository and digest. */
  readonly image: string;
  readonly platform?: string;
  /** The manifest that the SBOM is about. */
  readonly subject: Digest;
  /** The manifest that the SBOM is attached with. */
  readonly referrer: Digest;
  /** The blob that it is in. */
  readonly digest: Digest;
  /** Size of the blob in bytes. */
  readonly size: number;
  readonly mediaType: string;
  /** Set for an attestation: a signed statement. The signature is not verified. */
  readonly isAttestation?: true;
  /** Why the SBOM could not be read. */
  readonly problem?: string;
}

// SBOM formats by media type or artifact type: `application/spdx+json`, `text/spdx`, `application/vnd.cyclonedx+json`.
const SBOM_TYPE = /^(?:application|text)\/(?:vnd\.)?(?:spdx|cyclonedx)\b/;
const ENVELOPE_TYPES: ReadonlySet<string> = new Set([
  "application/vnd.dsse.envelope.v1+json",
  "application/vnd.in-toto+dsse",
]);
const STATEMENT_TYPE = "application/vnd.in-toto+json";
const PREDICATE = /^https:\/\/(?:spdx\.dev|cyclonedx\.org)\//;
const PREDICATE_ANNOTATIONS = ["predicateType", "in-toto.io/predicate-type", "dev.sigstore.bundle.predicateType"];
// An attestation has the SBOM in Base64, in JSON.
const MAX_BLOB_BYTES = 2 * MAX_SBOM_BYTES;
const LIMITS = { maxBytes: MAX_BLOB_BYTES, maxDepth: 128, maxValues: 2_000_000 };

/** A layer that has an SBOM. */
interface Candidate {
  readonly referrer: BundleReferrer;
  readonly layer: Descriptor;
  readonly kind: "document" | "envelope" | "statement";
}

/**
 * Finds the SBOMs that a bundle carries: referrers of their media types, attestations, and cosign's `.sbom` tags.
 *
 * @param onSbom called with one after the other, so that only one is in memory
 * @throws {CorruptError} when the file is not a bundle, or a blob does not match its digest
 */
export async function listSboms(options: EvidenceOptions, onSbom: (sbom: BundleSbom) => void): Promise<void> {
  const evidence = await BundleEvidence.read(options);
  const candidates = evidence.referrers.flatMap(findCandidates);
  const places = new SbomPlaces(evidence.packages);
  const left = new Map(Map.groupBy(candidates, ({ layer }) => layer.digest));
  const small = candidates.map(({ layer }) => layer).filter(({ size }) => size <= MAX_BLOB_BYTES);
  await evidence.readBlobs(small, (digest, bytes) => {
    for (const candidate of left.get(digest) ?? []) {
      const found = parseCandidate(candidate, bytes);
      if (found !== undefined) onSbom({ ...places.describe(candidate), ...found });
    }
    left.delete(digest);
  });
  for (const candidate of [...left.values()].flat()) {
    const problem = candidate.layer.size > MAX_BLOB_BYTES
      ? `it has more than ${MAX_BLOB_BYTES} bytes`
      : "it is not in this file";
    onSbom({ ...places.describe(candidate), problem });
  }
}

function findCandidates(referrer: BundleReferrer): Candidate[] {
  const { manifest } = referrer;
  if (manifest.kind !== "manifest") return [];
  const type = manifest.artifactType ?? manifest.config?.mediaType ?? "";
  return manifest.layers.flatMap((layer): Candidate[] => {
    const { mediaType } = layer;
    const annotations = { ...manifest.annotations, ...layer.annotations };
    const predicate = PREDICATE_ANNOTATIONS.map((name) => annotations[name]).find((it) => it !== undefined);
    const mayBeSbom = predicate === undefined || PREDICATE.test(predicate);
    if (SBOM_TYPE.test(mediaType)) return [{ referrer, layer, kind: "document" }];
    if (mediaType === STATEMENT_TYPE) return mayBeSbom ? [{ referrer, layer, kind: "statement" }] : [];
    if (ENVELOPE_TYPES.has(mediaType) || isSigstoreBundle(mediaType)) {
      return mayBeSbom ? [{ referrer, layer, kind: "envelope" }] : [];
    }
    const isSbom = SBOM_TYPE.test(type) || referrer.line.tag?.endsWith(".sbom");
    return isSbom ? [{ referrer, layer, kind: "document" }] : [];
  });
}

// Returns `undefined` for an attestation of something else.
function parseCandidate({ kind }: Candidate, bytes: Uint8Array): Partial<BundleSbom> | undefined {
  if (kind === "document") return parseSbom(bytes) ?? { problem: "its format is not known" };
  try {
    const statement = kind === "envelope" ? parseEnvelope(bytes, LIMITS)?.statement : parseEitherStatement(bytes);
    if (statement === undefined || !PREDICATE.test(statement.predicateType)) return undefined;
    // cosign puts a document that is not JSON as a text.
    const { predicate } = statement;
    const sbom = typeof predicate === "string"
      ? parseSbom(new TextEncoder().encode(predicate))
      : parseDocument(predicate);
    return { isAttestation: true, ...sbom ?? { problem: "its format is not known" } };
  } catch (error) {
    if (error instanceof CorruptError) return { problem: "it is not an attestation that can be read" };
    throw error;
  }
}

// Some tools label a signed envelope as the statement in it.
function parseEitherStatement(bytes: Uint8Array): Statement | undefined {
  return parseStatement(bytes, LIMITS) ?? parseEnvelope(bytes, LIMITS)?.statement;
}

/** Describes where SBOMs are from. The images of a package are indexed once, since it may have many. */
class SbomPlaces {
  /** References by repository and digest. */
  readonly #images = new Map<string, string>();
  readonly #platforms = new Map<string, string>();

  constructor(packages: readonly KubePkg[]) {
    for (const kubepkg of packages) {
      for (const image of imagesOf(kubepkg)) {
        const key = `${repositoryOf(image.reference)}@${rootDigest(kubepkg, image)}`;
        this.#images.set(key, this.#images.get(key) ?? formatReference(image.reference));
      }
      for (const { name, digest, platform } of kubepkg.status?.digests ?? []) {
        if (platform !== undefined) this.#platforms.set(`${name}@${digest}`, platform);
      }
    }
  }

  describe({ referrer: { line }, layer }: Candidate): BundleSbom {
    const { name, subject, digest: referrer } = line;
    const key = `${name}@${subject}`;
    const platform = this.#platforms.get(key);
    return {
      image: this.#images.get(key) ?? key,
      platform,
      subject,
      referrer,
      digest: layer.digest,
      size: layer.size,
      mediaType: layer.mediaType,
    };
  }
}
