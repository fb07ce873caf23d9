import { declaredDeltas } from "../bundle/declared_deltas.ts";
import { declaredSizes } from "../bundle/declared_sizes.ts";
import { describeShortage } from "../bytes/format_size.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { formatRelease } from "../kubepkg/package_id.ts";
import { packageObjects } from "../kubepkg/package_objects.ts";
import { referrersOf } from "../kubepkg/referrers_of.ts";
import { compareRelease, digestOfIdentity, type Verdict } from "../kubepkg/version.ts";
import type { Digest } from "../oci/digest.ts";
import { byForce, IncompleteError, NoSpaceError, RefusedError } from "../oci/error.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import type { TrustVerdict } from "../signature/trust_policy.ts";
import { describeChanges, type ManifestDiff } from "./handover/manifest_file.ts";
import { planObjects } from "./handover/plan_objects.ts";
import { hasBase, listMissingBases } from "./missing_bases.ts";

/** The images that are named for a missing blob, at most. */
const MAX_NAMED_IMAGES = 100;
/** Length of a digest in a message: `sha256:` and 12 hexadecimal digits. */
const SHOWN_DIGEST = 19;

/** The facts that `planImport` decides by. */
export interface PlanImportOptions {
  /** The installed release of the package. */
  readonly installed?: KubePkg;
  /** Allows a downgrade and a changed re-issue, and imports a release again that is already installed. */
  readonly force?: boolean;
  /** The size in bytes of a blob that the store holds in any repository. */
  readonly statBlob: (digest: Digest) => Promise<number | undefined>;
  /**
   * The bytes that this file would write of a blob that is not held, without those already on the disk. `undefined` if
   * the file does not carry the blob because another part does.
   */
  readonly countBytes?: (digest: Digest, size: number) => Promise<number | undefined>;
  /** The free space in bytes; `undefined` if it is not known. */
  readonly freeBytes?: () => Promise<number | undefined>;
  /** Reports whether the content of the release is complete. Called only if the same release is already installed. */
  readonly isInPlace?: () => Promise<boolean>;
  /** Plans the hand-over; without it the objects are compared with those of the installed release. */
  readonly planManifests?: ((kubepkg: KubePkg) => Promise<ManifestPlan>) | undefined;
  /** Returns another reason why the import is not possible; called with the bytes that it writes into the store. */
  readonly findRefusal?: ((kubepkg: KubePkg, bytesToWrite: number) => Promise<Error | undefined>) | undefined;
}

/** What an import would do to the objects in the cluster. */
export interface ManifestPlan {
  readonly manifests: ManifestDiff;
  /** Why the objects cannot be handed over. */
  readonly refusal?: Error;
  /** Records of other packages that cannot be read, a sentence each. */
  readonly warnings?: readonly string[];
}

/** What an import would do, known from the first entry of a bundle. */
export interface ImportPlan {
  readonly name: string;
  readonly namespace: string;
  readonly version: string;
  readonly verdict: Verdict;
  readonly installedVersion?: string;
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
  /** Records of other packages that cannot be read, a sentence each. */
  readonly warnings?: readonly string[];
  /** Why the import is not possible: a `RefusedError`, `NoSpaceError` or `IncompleteError`. */
  readonly refusal?: Error;
}

/** The blobs and manifests that a package needs, counted by where they are. */
export interface PlannedBlobs {
  /** How many have to be written. */
  readonly toWrite: number;
  /** The bytes to write, without those that an interrupted import left on the disk. */
  readonly bytesToWrite: number;
  /** The largest temporary file, in bytes, if layers are rebuilt from deltas. */
  readonly temporaryBytes?: number;
  /** How many the store holds. */
  readonly held: number;
  /** How many are neither in the store nor in this file, but in another part of the bundle. */
  readonly inOtherParts: number;
  /**
   * Those that were left out of the bundle although the store does not hold them, with the images that need them. Also
   * the bases of deltas, and layers whose deltas this program cannot apply.
   */
  readonly missing: readonly { readonly digest: Digest; readonly size: number; readonly images: readonly string[] }[];
}

/**
 * Compares a release with the installed one, and applies the version rule.
 *
 * @throws {RefusedError} for a downgrade or a changed re-issue without `force`
 */
export function checkRelease(
  kubepkg: KubePkg,
  { installed, force }: Pick<PlanImportOptions, "installed" | "force">,
): ReleaseComparison {
  const comparison = compareWithInstalled(kubepkg, { installed });
  const refusal = refuseVersion(kubepkg, comparison, { installed, force });
  if (refusal !== undefined) throw refusal;
  return comparison;
}

/** How a release differs from the installed one. */
export type ReleaseComparison = Pick<ImportPlan, "verdict" | "installedVersion">;

function compareWithInstalled(
  kubepkg: KubePkg,
  { installed }: { installed?: KubePkg | undefined },
): ReleaseComparison {
  const { verdict, installedVersion } = compareRelease(installed, kubepkg);
  return { verdict, ...(installedVersion === undefined ? {} : { installedVersion }) };
}

function refuseVersion(
  kubepkg: KubePkg,
  { verdict, installedVersion }: Pick<ReleaseComparison, "verdict" | "installedVersion">,
  { installed, force }: Pick<PlanImportOptions, "installed" | "force">,
): RefusedError | undefined {
  if (force || installed === undefined || (verdict !== "downgrade" && verdict !== "changed")) return undefined;
  const { version } = kubepkg.spec;
  const refuse = (reason: string, advice: string) =>
    new RefusedError(`Cannot import ${formatRelease(kubepkg)}: ${reason}`, byForce(advice));
  if (verdict === "downgrade") return refuse(`${installedVersion} is installed, which is higher`, "--force allows it");
  const [old, candidate] = [installed, kubepkg].map((it) => digestOfIdentity(it).slice(0, SHOWN_DIGEST));
  const what = installedVersion === version ? "that version" : `${installedVersion}, which is the same version,`;
  return refuse(`${what} is installed with other content (${old}, this is ${candidate})`, "--force replaces it");
}

/** Plans an import before anything is written. If the import is not possible, the plan has a `refusal`. */
export async function planImport(kubepkg: KubePkg, options: PlanImportOptions): Promise<Omit<ImportPlan, "trust">> {
  const { name, namespace } = kubepkg.metadata;
  const referrers = new Set(referrersOf(kubepkg).map(({ digest }) => digest)).size;
  const comparison = compareWithInstalled(kubepkg, options);
  const blobs = await planBlobs(kubepkg, options);
  const isSame = comparison.verdict === "same" && !options.force;
  const isRepair = isSame && !(await options.isInPlace?.() ?? true);
  const freeBytes = await options.freeBytes?.();
  const { manifests, refusal: refusedHandover, warnings = [] } = await planManifests(kubepkg, options);
  const refusal = refuseVersion(kubepkg, comparison, options) ??
    (isSame && !isRepair
      ? undefined
      : refusedHandover ?? refuseSpace(kubepkg, blobs.bytesToWrite + (blobs.temporaryBytes ?? 0), freeBytes) ??
        await options.findRefusal?.(kubepkg, blobs.bytesToWrite) ??
        (blobs.missing.length === 0 ? undefined : missingError(kubepkg, blobs.missing.map(({ digest }) => digest))));
  return {
    name,
    namespace,
    version: kubepkg.spec.version,
    ...comparison,
    isRepair,
    images: imagesOf(kubepkg).map(({ reference }) => formatReference(reference)),
    ...(referrers === 0 ? {} : { referrers }),
    blobs,
    ...(freeBytes === undefined ? {} : { freeBytes }),
    manifests,
    ...(warnings.length === 0 ? {} : { warnings }),
    ...(refusal === undefined ? {} : { refusal }),
  };
}

/** Plans what happens to the objects in the cluster. */
export async function planManifests(
  kubepkg: KubePkg,
  { installed, planManifests }: Pick<PlanImportOptions, "installed" | "planManifests">,
): Promise<ManifestPlan> {
  if (planManifests !== undefined) return await planManifests(kubepkg);
  const before = installed === undefined ? [] : packageObjects(installed);
  const changes = planObjects({ before, after: packageObjects(kubepkg), others: [], pruneData: false });
  return { manifests: describeChanges(changes) };
}

async function planBlobs(kubepkg: KubePkg, options: PlanImportOptions): Promise<PlannedBlobs> {
  const { statBlob, countBytes = (_, size) => Promise.resolve(size) } = options;
  const omitted = new Set(kubepkg.status?.omitted ?? []);
  const missing: PlannedBlobs["missing"][number][] = [];
  const blobs = { toWrite: 0, bytesToWrite: 0, held: 0, inOtherParts: 0 };
  const deltas = declaredDeltas([kubepkg]);
  let temporaryBytes = 0;
  const imagesOfDigest = indexImages(kubepkg);
  const missingBases = new Set<Digest>();
  for (const [digest, size] of declaredSizes(kubepkg) ?? []) {
    if (await statBlob(digest) === size) blobs.held++;
    else if (omitted.has(digest)) missing.push({ digest, size, images: imagesOfDigest(digest) });
    else if (deltas.has(digest)) {
      const delta = deltas.get(digest)!;
      const needed = await listMissingBases({ delta, size }, statBlob);
      for (const blob of needed) {
        if (!missingBases.has(blob.digest)) missing.push({ ...blob, images: imagesOfDigest(digest) });
        missingBases.add(blob.digest);
      }
      if (needed.length > 0) continue;
      const isDeltaHeld = await statBlob(delta.delta) === delta.size;
      const bytes = isDeltaHeld ? 0 : await countBytes(delta.delta, delta.size);
      if (bytes === undefined) {
        blobs.inOtherParts++;
        continue;
      }
      blobs.toWrite++;
      // A part carries the delta, not the layer.
      blobs.bytesToWrite += bytes + (await countBytes(digest, size) ?? size);
      temporaryBytes = Math.max(temporaryBytes, delta.plainSize);
    } else {
      const bytes = await countBytes(digest, size);
      if (bytes === undefined) blobs.inOtherParts++;
      else {
        blobs.toWrite++;
        blobs.bytesToWrite += bytes;
      }
    }
  }
  return { ...blobs, ...(temporaryBytes === 0 ? {} : { temporaryBytes }), missing };
}

/** Creates the error for blobs that neither the bundle nor the store has. */
export function missingError(kubepkg: KubePkg, missing: readonly Digest[]): IncompleteError {
  const { status } = kubepkg;
  // The images that need a base of a delta are those of the layer.
  const layers = (status?.deltas ?? []).filter((it) => missing.some((digest) => hasBase(it, digest)));
  const images = imagesThatNeed(kubepkg, new Set([...missing, ...layers.map(({ digest }) => digest)]));
  const shown = missing.slice(0, 10).join(", ") + (missing.length > 10 ? ` and ${missing.length - 10} more` : "");
  const isUsed = (digest: Digest) => status?.deltas?.some((it) => it.digest === digest || hasBase(it, digest));
  const advice = missing.some((digest) => status?.omitted?.includes(digest))
    ? "; pack it without --have or --since"
    : missing.some(isUsed)
    ? "; pack it with --no-delta"
    : "";
  const blobs = missing.length === 1 ? "a blob is" : `${missing.length} blobs are`;
  return new IncompleteError(
    `Cannot import ${formatRelease(kubepkg)}: ${blobs} neither in the bundle nor in the store, needed by ${
      images.join(", ")
    }: ${shown}${advice}`,
    missing,
  );
}

// Returns a function that lists the images that need a digest, at most `MAX_NAMED_IMAGES` of them: otherwise a plan would
// grow with the product of its digests and its images.
function indexImages(kubepkg: KubePkg): (digest: Digest) => string[] {
  const images = new Map(
    [...Map.groupBy(imagesOf(kubepkg), ({ reference }) => repositoryOf(reference))].map(([name, users]) =>
      [name, users.map(({ reference }) => formatReference(reference)).sort().slice(0, MAX_NAMED_IMAGES)] as const
    ),
  );
  const repositories = new Map<Digest, Set<string>>();
  for (const { digest, name } of kubepkg.status?.digests ?? []) {
    repositories.set(digest, (repositories.get(digest) ?? new Set()).add(name));
  }
  return (digest) => {
    const users: string[] = [];
    for (const name of repositories.get(digest) ?? []) {
      if (users.length < MAX_NAMED_IMAGES) users.push(...images.get(name) ?? []);
    }
    return users.sort().slice(0, MAX_NAMED_IMAGES);
  };
}

function imagesThatNeed(kubepkg: KubePkg, digests: ReadonlySet<Digest>): string[] {
  const lines = (kubepkg.status?.digests ?? []).filter(({ digest }) => digests.has(digest));
  const repositories = new Set(lines.map(({ name }) => name));
  return imagesOf(kubepkg).map(({ reference }) => reference)
    .filter((reference) => repositories.size === 0 || repositories.has(repositoryOf(reference))).map(formatReference);
}

/** Checks the free space. @throws {NoSpaceError} when fewer than `needed` bytes are free */
export async function checkSpace(
  kubepkg: KubePkg,
  needed: number,
  { freeBytes }: Pick<PlanImportOptions, "freeBytes">,
): Promise<void> {
  const refusal = refuseSpace(kubepkg, needed, await freeBytes?.());
  if (refusal !== undefined) throw refusal;
}

function refuseSpace(
  kubepkg: KubePkg,
  needed: number,
  free: number | undefined,
): NoSpaceError | undefined {
  if (free === undefined || needed <= free) return undefined;
  return new NoSpaceError(`Cannot import ${formatRelease(kubepkg)}: ${describeShortage(needed, free)}`);
}
