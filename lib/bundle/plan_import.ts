import { diffManifests, type ManifestDiff } from "../kubepkg/handover.ts";
import { imagesOf, type KubePkg } from "../kubepkg/kubepkg.ts";
import { compareRelease, type Verdict } from "../kubepkg/version.ts";
import type { Digest } from "../oci/digest.ts";
import { IncompleteError, NoSpaceError, RefusedError } from "../oci/error.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import { declaredSizes } from "./read_bundle.ts";

/** What an import is decided by. */
export interface PlanImportOptions {
  /** What is installed under the package's name. */
  readonly installed?: KubePkg;
  /** Allows a downgrade and a changed re-issue; and imports again what is installed already. */
  readonly force?: boolean;
  /** The size in bytes of a blob that the store holds in whichever repository. */
  readonly statBlob: (digest: Digest) => Promise<number | undefined>;
  /** How many bytes can be written; `undefined` where that is not known. */
  readonly freeBytes?: () => Promise<number | undefined>;
  /** Asked where the same is installed already: whether all of it is still there. */
  readonly isInPlace?: () => Promise<boolean>;
}

/** What an import would do, known from the first entry of a bundle alone. */
export interface ImportPlan {
  readonly name: string;
  readonly namespace: string;
  readonly version: string;
  readonly verdict: Verdict;
  readonly installedVersion?: string;
  /** The same is installed already, but something of it is gone: an import brings it back. */
  readonly isRepair: boolean;
  readonly images: readonly string[];
  /** Blobs and manifests that have to be written, with their size in bytes, and those that are there. */
  readonly blobs: { readonly toWrite: number; readonly bytesToWrite: number; readonly held: number };
  readonly manifests: ManifestDiff;
}

/**
 * Decides on an import by what is installed.
 *
 * @throws {RefusedError} for a downgrade or a changed re-issue that is not forced
 */
export function judgeImport(
  kubepkg: KubePkg,
  { installed, force }: Pick<PlanImportOptions, "installed" | "force">,
): Pick<ImportPlan, "verdict" | "installedVersion" | "manifests"> {
  const { name } = kubepkg.metadata;
  const { verdict, installedVersion, candidateVersion: version, needsForce } = compareRelease(installed, kubepkg);
  if (needsForce && !force) {
    throw new RefusedError(
      verdict === "downgrade"
        ? `Cannot import ${name}@${version}: ${installedVersion} is installed, which is higher; --force allows it`
        : `Cannot import ${name}@${version}: that version is installed with other content; --force replaces it`,
    );
  }
  const manifests = diffManifests(installed, kubepkg);
  return { verdict, ...(installedVersion === undefined ? {} : { installedVersion }), manifests };
}

/**
 * Decides on an import before anything is written.
 *
 * @throws {RefusedError} for a downgrade or a changed re-issue that is not forced
 * @throws {NoSpaceError} when the blobs would not fit
 * @throws {IncompleteError} when blobs that were left out of the bundle are not held
 */
export async function planImport(kubepkg: KubePkg, options: PlanImportOptions): Promise<ImportPlan> {
  const { name, namespace } = kubepkg.metadata;
  const { manifests, ...judged } = judgeImport(kubepkg, options);
  const omitted = new Set(kubepkg.status?.omitted ?? []);
  const missing: Digest[] = [];
  const blobs = { toWrite: 0, bytesToWrite: 0, held: 0 };
  const sizes = declaredSizes(kubepkg) ?? new Map<Digest, number>();
  for (const [digest, size] of sizes) {
    if (await options.statBlob(digest) === size) blobs.held++;
    else if (omitted.has(digest)) missing.push(digest);
    else {
      blobs.toWrite++;
      blobs.bytesToWrite += size;
    }
  }
  const isSame = judged.verdict === "same" && !options.force;
  const isRepair = isSame && !(await options.isInPlace?.() ?? true);
  if (!isSame || isRepair) {
    await checkSpace(kubepkg, blobs.bytesToWrite, options);
    if (missing.length > 0) throw missingError(kubepkg, missing);
  }
  return {
    name,
    namespace,
    version: kubepkg.spec.version,
    ...judged,
    isRepair,
    images: imagesOf(kubepkg).map(({ reference }) => formatReference(reference)),
    blobs,
    manifests,
  };
}

/** The error for blobs that neither the bundle nor the store has. */
export function missingError(kubepkg: KubePkg, missing: readonly Digest[]): IncompleteError {
  const { metadata: { name }, spec: { version }, status } = kubepkg;
  const lacking = new Set(missing);
  const repositories = new Set(
    (status?.digests ?? []).filter(({ digest }) => lacking.has(digest)).map((it) => it.name),
  );
  const images = imagesOf(kubepkg).map(({ reference }) => reference)
    .filter((reference) => repositories.size === 0 || repositories.has(repositoryOf(reference))).map(formatReference);
  const shown = missing.slice(0, 10).join(", ") + (missing.length > 10 ? ` and ${missing.length - 10} more` : "");
  const isDelta = missing.some((digest) => status?.omitted?.includes(digest));
  const blobs = missing.length === 1 ? "a blob is" : `${missing.length} blobs are`;
  return new IncompleteError(
    `Cannot import ${name}@${version}: ${blobs} neither in the bundle nor in the store, needed by ${
      images.join(", ")
    }: ${shown}${isDelta ? "; pack it without --have or --since" : ""}`,
    missing,
  );
}

/** @throws {NoSpaceError} when `needed` bytes are more than can be written */
export async function checkSpace(
  { metadata: { name }, spec: { version } }: KubePkg,
  needed: number,
  { freeBytes }: Pick<PlanImportOptions, "freeBytes">,
): Promise<void> {
  const free = await freeBytes?.();
  if (free === undefined || needed <= free) return;
  throw new NoSpaceError(
    `Cannot import ${name}@${version}: it needs ${needed} bytes, ${free} are free, ${needed - free} are missing`,
  );
}
