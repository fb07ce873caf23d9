import type { BundleReader } from "../bundle/read_bundle.ts";
import type { TrustRecords } from "./records/trust_records.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { formatRelease } from "../kubepkg/package_id.ts";
import { CorruptError, UntrustedError } from "../oci/error.ts";
import { parseSignatureLines } from "../signature/signature_lines.ts";
import {
  describeUnverified,
  type SignedDocument,
  type TrustPolicy,
  type TrustVerdict,
} from "../signature/trust_policy.ts";

/** What is known about the origin of a release. */
export interface TrustDecision {
  readonly verdict: TrustVerdict;
  /** Why the policy does not accept the release. */
  readonly refusal?: UntrustedError;
}

/** The annotation with the date of a release, as in the OCI image specification. */
const CREATED = "org.opencontainers.image.created";

/**
 * Reads the signatures of a bundle. Without a policy, lines that cannot be read are an error of the bundle; with one, the
 * bundle is not trusted.
 */
export async function readSignedDocument(
  bundle: BundleReader,
  policy: TrustPolicy | undefined,
): Promise<SignedDocument> {
  const text = await bundle.readSignatures();
  const document = { bytes: bundle.document, text };
  if (text === undefined) return { ...document, signatures: [] };
  try {
    return { ...document, signatures: parseSignatureLines(text, bundle.what) };
  } catch (cause) {
    if (policy === undefined || !(cause instanceof CorruptError)) throw cause;
    throw new UntrustedError(cause.message, { cause });
  }
}

/** Decides whether a release that was installed is trusted now. @param action what would be done with it */
export async function decideRecordedTrust(
  kubepkg: KubePkg,
  { records, policy, action }: {
    readonly records: TrustRecords;
    readonly policy: TrustPolicy | undefined;
    readonly action: string;
  },
): Promise<TrustDecision> {
  const record = await records.read(kubepkg);
  const signatures = record === undefined ? [] : parseSignatureLines(record.signatures, formatRelease(kubepkg));
  const bytes = new TextEncoder().encode(record?.document ?? "");
  return decideTrust(kubepkg, { bytes, signatures }, { policy, action });
}

/** Decides whether a release is trusted. @param action what would be done with it: `import` */
export function decideTrust(
  kubepkg: KubePkg,
  document: SignedDocument,
  { policy, action }: { readonly policy: TrustPolicy | undefined; readonly action: string },
): TrustDecision {
  const unverified = describeUnverified(document.signatures);
  if (policy === undefined) return { verdict: unverified };
  const judged = policy.judge(document, { name: kubepkg.metadata.name, created: dateOf(kubepkg) });
  if (typeof judged !== "string") return { verdict: judged };
  const refusal = new UntrustedError(`Cannot ${action} ${formatRelease(kubepkg)}: ${judged}`);
  return { verdict: unverified, refusal };
}

function dateOf({ metadata: { annotations } }: KubePkg): Date | undefined {
  const date = new Date(annotations?.[CREATED] ?? NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
