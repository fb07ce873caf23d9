import { describeShortage } from "../bytes/format_size.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { formatRelease } from "../kubepkg/package_id.ts";
import { digestOfIdentity, type ReleaseComparison } from "../kubepkg/version.ts";
import { byForce, cannot, type CrpeError, NoSpaceError, RefusedError } from "../oci/error.ts";
import type { TrustVerdict } from "../signature/trust_policy.ts";
import type { ManifestDiff } from "./handover/manifest_file.ts";
import type { PlannedBlobs } from "./plan_blobs.ts";

/** Length of a digest in a message: `sha256:` and 12 hexadecimal digits. */
const SHOWN_DIGEST = 19;

/** What an import would do to the objects in the cluster. */
export interface ManifestPlan {
  readonly manifests: ManifestDiff;
  /** Why the objects cannot be handed over. */
  readonly refusal?: CrpeError;
  /** Records of other packages that cannot be read, a sentence each. */
  readonly warnings?: readonly string[];
}

/** What an import would do, known from the first entry of a bundle. */
export interface ImportPlan extends ReleaseComparison {
  readonly name: string;
  readonly namespace: string;
  readonly version: string;
  /** The same release is installed, but some of its content is missing: the import restores it. */
  readonly isRepair: boolean;
  readonly images: readonly string[];
  /** How many manifests are attached to the images: signatures, attestations, SBOMs. Absent: none. */
  readonly referrers?: number;
  /** The blobs and manifests that the package needs. */
  readonly blobs: PlannedBlobs;
  /** The free space in bytes, if it is known. */
  readonly freeBytes?: number;
  readonly manifests: ManifestDiff;
  /** Who has signed the package. */
  readonly trust: TrustVerdict;
  /** What the user must know, a sentence each: unreadable records, tags of other packages that move, discarded parts. */
  readonly warnings?: readonly string[];
  /** Why the import is not possible: the error that it would fail with. */
  readonly refusal?: CrpeError;
}

/** Returns why the version rule forbids to install a release without `force`. */
export function refuseVersion(
  kubepkg: KubePkg,
  installed: KubePkg | undefined,
  { verdict, installedVersion }: ReleaseComparison,
): RefusedError | undefined {
  if (installed === undefined || (verdict !== "downgrade" && verdict !== "changed")) return undefined;
  const { version } = kubepkg.spec;
  const refuse = (reason: string, advice: string) =>
    new RefusedError(cannot(`import ${formatRelease(kubepkg)}`, reason), byForce(advice));
  if (verdict === "downgrade") return refuse(`${installedVersion} is installed, which is higher`, "--force allows it");
  const [old, candidate] = [installed, kubepkg].map((it) => digestOfIdentity(it).slice(0, SHOWN_DIGEST));
  const what = installedVersion === version ? "that version" : `${installedVersion}, which is the same version,`;
  return refuse(`${what} is installed with other content (${old}, this is ${candidate})`, "--force replaces it");
}

/** Returns why a package does not fit. @param free the free space in bytes; `undefined` if it is not known */
export function refuseSpace(kubepkg: KubePkg, needed: number, free: number | undefined): NoSpaceError | undefined {
  if (free === undefined || needed <= free) return undefined;
  return new NoSpaceError(cannot(`import ${formatRelease(kubepkg)}`, describeShortage(needed, free)));
}
