import { readBounded } from "../../bytes/read_bounded.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../kubepkg/parse_kubepkg.ts";
import { computeDigest, type Digest } from "../../oci/digest.ts";
import { cannot, CorruptError } from "../../oci/error.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";
import { isKubeObject } from "../handover/handover_records.ts";
import { type ContentRef, isManifestFileName, type SharedContent } from "./release_secret.ts";

/** The content of a release, compressed and split. */
interface EncodedContent {
  readonly ref: ContentRef;
  readonly parts: readonly Uint8Array<ArrayBuffer>[];
}

// A Secret has at most 1 MiB of data (Kubernetes, core/v1 MaxSecretSize), and etcd takes 1.5 MiB with base64 and metadata.
const MAX_PART_BYTES = 960 * 1024;
/** The most Secrets that the content of one release is split over. */
export const MAX_PARTS = 16;
const MAX_CONTENT_BYTES = 64 * 1024 * 1024;
const LIMITS = { maxBytes: MAX_CONTENT_BYTES, maxDepth: 160 };

/** The digest of the content as `encodeContent` writes it. */
export function digestOfContent(content: SharedContent): Digest {
  return computeDigest(formatContent(content));
}

/** Compresses content and splits it into parts that fit into a Secret each. @returns `undefined` when it is too large */
export async function encodeContent(
  content: SharedContent,
  { maxPart = MAX_PART_BYTES, maxParts = MAX_PARTS } = {},
): Promise<EncodedContent | undefined> {
  const bytes = new TextEncoder().encode(formatContent(content));
  if (bytes.length > MAX_CONTENT_BYTES) return undefined;
  const packed = await readBounded(
    new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip")),
    "the content",
    MAX_CONTENT_BYTES + 1024 * 1024,
  );
  const count = Math.ceil(packed.length / maxPart);
  if (count > maxParts) return undefined;
  const parts = Array.from({ length: count }, (_, i) => packed.slice(i * maxPart, (i + 1) * maxPart));
  return { ref: { digest: computeDigest(bytes), size: bytes.length, parts: count }, parts };
}

/**
 * Reads content from its parts.
 *
 * @param what names it in errors
 * @throws {CorruptError} when it is not what `ref` says
 */
export async function decodeContent(
  parts: readonly Uint8Array<ArrayBuffer>[],
  { digest, size }: ContentRef,
  what: string,
): Promise<SharedContent> {
  if (size > MAX_CONTENT_BYTES) throw new CorruptError(cannot(`use ${what}`, `it has ${size} bytes`));
  const bytes = await readBounded(
    new Blob([...parts]).stream().pipeThrough(new DecompressionStream("gzip")),
    what,
    size,
  ).catch((cause) => {
    throw new CorruptError(cannot(`use ${what}`, "its compressed content is damaged"), { cause });
  });
  if (bytes.length !== size || computeDigest(bytes) !== digest) {
    throw new CorruptError(cannot(`use ${what}`, `its content does not match its digest ${digest}`));
  }
  const json = parseJson(bytes, what, LIMITS);
  const { kubepkg, kept, revision, fileName } = isJsonObject(json) ? json : {};
  if (!Array.isArray(kept) || !kept.every(isKubeObject) || !isManifestFileName(fileName)) {
    throw new CorruptError(cannot(`use ${what}`, "it is not content that crpe wrote"));
  }
  return {
    kubepkg: parseKubePkg(kubepkg, what),
    kept,
    revision: Number.isSafeInteger(revision) && (revision as number) > 0 ? revision as number : 0,
    fileName,
  };
}

// The list of digests is left out: it is about images, and only the records of an installed package need it.
function formatContent({ kubepkg, kept, revision, fileName }: SharedContent): string {
  const { status: _, ...document }: KubePkg = kubepkg;
  return JSON.stringify({ kubepkg: document, kept, revision, fileName });
}
