import type { BundleDocument } from "../bundle/bundle_document.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { formatRelease, packageIdOf } from "../kubepkg/package_id.ts";
import { cannot, CorruptError, UntrustedError } from "../oci/error.ts";
import { verifyDetached } from "../signature/detached_signature.ts";
import type { PublicKey } from "../signature/keys.ts";
import { parseSignatureLines } from "../signature/signature_lines.ts";
import { describeUnverified, type SignedDocument, TrustPolicy, type TrustVerdict } from "../signature/trust_policy.ts";
import type { FirstUseKeys } from "./records/first_use_keys.ts";
import type { TrustRecords } from "./records/trust_records.ts";

/** Whom a site trusts. */
export interface SiteTrust {
  /** The trusted keys that the site names. */
  readonly policy?: TrustPolicy | undefined;
  /** The keys of first imports; for packages that the policy has no entry for. */
  readonly firstUse?: FirstUseKeys | undefined;
}

/** What is known about the origin of a release. */
export interface TrustDecision {
  readonly verdict: TrustVerdict;
  /** Why the site does not accept the release. */
  readonly refusal?: UntrustedError;
  /** The keys to record with the installation, because it is the first one of the package. */
  readonly firstKeys?: readonly PublicKey[];
}

/** What a decision is made for. */
interface TrustQuestion {
  /** `undefined`: signatures are not required. */
  readonly trust: SiteTrust | undefined;
  /** What would be done with the release: `import`. */
  readonly action: string;
}

/** The annotation with the date of a release, as in the OCI image specification. */
const CREATED = "org.opencontainers.image.created";

/**
 * Reads the signatures of a bundle. If the site requires signatures, a bundle with lines that cannot be read is not trusted;
 * otherwise it is damaged.
 */
export async function readSignedDocument(
  bundle: BundleDocument,
  trust: SiteTrust | undefined,
): Promise<SignedDocument> {
  const bytes = bundle.document;
  try {
    const text = await bundle.readSignatures();
    return { bytes, text, signatures: text === undefined ? [] : parseSignatureLines(text, bundle.what) };
  } catch (cause) {
    if (trust === undefined || !(cause instanceof CorruptError)) throw cause;
    throw new UntrustedError(cause, { cause });
  }
}

/** Decides whether a release that was installed is trusted now. */
export async function decideRecordedTrust(
  kubepkg: KubePkg,
  records: TrustRecords,
  question: TrustQuestion,
): Promise<TrustDecision> {
  const record = await records.read(kubepkg);
  const signatures = record === undefined ? [] : parseSignatureLines(record.signatures, formatRelease(kubepkg));
  return await decideTrust(kubepkg, { bytes: new TextEncoder().encode(record?.document ?? ""), signatures }, question);
}

/** Decides whether a release is trusted. */
export async function decideTrust(
  kubepkg: KubePkg,
  document: SignedDocument,
  { trust, action }: TrustQuestion,
): Promise<TrustDecision> {
  const unverified = describeUnverified(document.signatures);
  if (trust === undefined) return { verdict: unverified };
  const judged = await judge(kubepkg, document, trust);
  if (typeof judged !== "string") return judged;
  const refusal = new UntrustedError(cannot(`${action} ${formatRelease(kubepkg)}`, judged));
  return { verdict: unverified, refusal };
}

async function judge(
  kubepkg: KubePkg,
  document: SignedDocument,
  { policy = new TrustPolicy([]), firstUse }: SiteTrust,
): Promise<TrustDecision | string> {
  const { name } = kubepkg.metadata;
  const subject = { name, created: dateOf(kubepkg) };
  if (firstUse === undefined || policy.isFor(name)) return toDecision(policy.judge(document, subject));
  const keys = await firstUse.read(packageIdOf(kubepkg));
  if (keys === undefined) return judgeFirst(document);
  const recorded = new TrustPolicy([{ name: "the first import", keys, threshold: keys.length }]);
  return toDecision(recorded.judge(document, subject));
}

function judgeFirst({ bytes, signatures }: SignedDocument): TrustDecision | string {
  if (signatures.length === 0) return "it is not signed; the first import of a package records the key that signed it";
  const firstKeys = signatures.flatMap(({ signature, publicKey }) => {
    return publicKey !== undefined && verifyDetached(bytes, signature, publicKey) ? [publicKey] : [];
  });
  if (firstKeys.length < signatures.length) return "a signature is wrong, or its line has no public key to record";
  const keys = firstKeys.map(({ id, algorithm }) => ({ id, algorithm, entry: "the first import" }));
  return { verdict: { state: "trusted", keys }, firstKeys };
}

function toDecision(judged: TrustVerdict | string): TrustDecision | string {
  return typeof judged === "string" ? judged : { verdict: judged };
}

function dateOf({ metadata: { annotations } }: KubePkg): Date | undefined {
  const date = new Date(annotations?.[CREATED] ?? NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
