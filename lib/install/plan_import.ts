import { declaredSizes } from "../bundle/read_bundle.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { compareRelease, type Verdict } from "../kubepkg/version.ts";
import type { Digest } from "../oci/digest.ts";
import { IncompleteError, NoSpaceError, RefusedError } from "../oci/error.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import { diffManifests, type ManifestDiff } from "./handover/manifest_file.ts";

/** What an import is decided by. */
export interface PlanImportOptions {
  /** What is installed under the package's name. */
  readonly installed?: KubePkg;
  /** Allows a downgrade and a changed re-issue; and imports again what is installed already. */
  readonly force?: boolean;
  /** The size in bytes of a blob that the store holds in whichever repository. */
  readonly statBlob: (digest: Digest) => Promise<number | undefined>;
  /**
   * How many bytes of a blob that is not held the file would write, less what is there already; `undefined`: the file does
   * not bring it, another part does.
   */
  readonly countBytes?: (digest: Digest, size: number) => Promise<number | undefined>;
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
  readonly blobs: PlannedBlobs;
  /** How many bytes can be written, where it is known. */
  readonly freeBytes?: number;
  readonly manifests: ManifestDiff;
  /** Why the import cannot be: a `RefusedError`, `NoSpaceError` or `IncompleteError`. */
  readonly refusal?: Error;
}

/** The blobs and manifests that a package needs. */
export interface PlannedBlobs {
  /** Those that have to be written, and their size in bytes, less what an earlier try has left of them. */
  readonly toWrite: number;
  readonly bytesToWrite: number;
  /** Those that are there. */
  readonly held: number;
  /** Those that neither are there nor are in this file, but in another part of the bundle. */
  readonly inOtherParts: number;
  /** Those that were left out of the bundle, but are not there; `images` need them. */
  readonly missing: readonly { readonly digest: Digest; readonly size: number; readonly images: readonly string[] }[];
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
  const judged = compareImport(kubepkg, { installed });
  const refusal = refuseVersion(kubepkg, judged, { force });
  if (refusal !== undefined) throw refusal;
  return judged;
}

type JudgedImport = Pick<ImportPlan, "verdict" | "installedVersion" | "manifests">;

function compareImport(kubepkg: KubePkg, { installed }: { installed?: KubePkg | undefined }): JudgedImport {
  const { verdict, installedVersion } = compareRelease(installed, kubepkg);
  const manifests = diffManifests(installed, kubepkg);
  return { verdict, ...(installedVersion === undefined ? {} : { installedVersion }), manifests };
}

function refuseVersion(
  { metadata: { name }, spec: { version } }: KubePkg,
  { verdict, installedVersion }: Pick<JudgedImport, "verdict" | "installedVersion">,
  { force }: { force?: boolean | undefined },
): RefusedError | undefined {
  if (force || (verdict !== "downgrade" && verdict !== "changed")) return undefined;
  return new RefusedError(
    verdict === "downgrade"
      ? `Cannot import ${name}@${version}: ${installedVersion} is installed, which is higher; --force allows it`
      : `Cannot import ${name}@${version}: that version is installed with other content; --force replaces it`,
  );
}

/** Says what an import would do, before anything is written, and whether it may: by `refusal`. */
export async function planImport(kubepkg: KubePkg, options: PlanImportOptions): Promise<ImportPlan> {
  const { name, namespace } = kubepkg.metadata;
  const { manifests, ...judged } = compareImport(kubepkg, options);
  const blobs = await planBlobs(kubepkg, options);
  const isSame = judged.verdict === "same" && !options.force;
  const isRepair = isSame && !(await options.isInPlace?.() ?? true);
  const freeBytes = await options.freeBytes?.();
  const refusal = refuseVersion(kubepkg, judged, options) ??
    (isSame && !isRepair ? undefined : refuseSpace(kubepkg, blobs.bytesToWrite, freeBytes) ??
      (blobs.missing.length === 0 ? undefined : missingError(kubepkg, blobs.missing.map(({ digest }) => digest))));
  return {
    name,
    namespace,
    version: kubepkg.spec.version,
    ...judged,
    isRepair,
    images: imagesOf(kubepkg).map(({ reference }) => formatReference(reference)),
    blobs,
    ...(freeBytes === undefined ? {} : { freeBytes }),
    manifests,
    ...(refusal === undefined ? {} : { refusal }),
  };
}

async function planBlobs(kubepkg: KubePkg, options: PlanImportOptions): Promise<PlannedBlobs> {
  const { statBlob, countBytes = (_, size) => Promise.resolve(size) } = options;
  const omitted = new Set(kubepkg.status?.omitted ?? []);
  const missing: PlannedBlobs["missing"][number][] = [];
  const blobs = { toWrite: 0, bytesToWrite: 0, held: 0, inOtherParts: 0 };
  const imagesOfDigest = indexImages(kubepkg);
  for (const [digest, size] of declaredSizes(kubepkg) ?? []) {
    if (await statBlob(digest) === size) blobs.held++;
    else if (omitted.has(digest)) missing.push({ digest, size, images: imagesOfDigest(digest) });
    else {
      const bytes = await countBytes(digest, size);
      if (bytes === undefined) blobs.inOtherParts++;
      else {
        blobs.toWrite++;
        blobs.bytesToWrite += bytes;
      }
    }
  }
  return { ...blobs, missing };
}

/** The error for blobs that neither the bundle nor the store has. */
export function missingError(kubepkg: KubePkg, missing: readonly Digest[]): IncompleteError {
  const { metadata: { name }, spec: { version }, status } = kubepkg;
  const images = imagesThatNeed(kubepkg, new Set(missing));
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

// The images that need a digest.
function indexImages(kubepkg: KubePkg): (digest: Digest) => string[] {
  const images = Map.groupBy(imagesOf(kubepkg), ({ reference }) => repositoryOf(reference));
  const repositories = new Map<Digest, Set<string>>();
  for (const { digest, name } of kubepkg.status?.digests ?? []) {
    repositories.set(digest, (repositories.get(digest) ?? new Set()).add(name));
  }
  return (digest) => {
    const users = [...repositories.get(digest) ?? []].flatMap((name) => images.get(name) ?? []);
    return users.map(({ reference }) => formatReference(reference)).sort();
  };
}

function imagesThatNeed(kubepkg: KubePkg, digests: ReadonlySet<Digest>): string[] {
  const lines = (kubepkg.status?.digests ?? []).filter(({ digest }) => digests.has(digest));
  const repositories = new Set(lines.map(({ name }) => name));
  return imagesOf(kubepkg).map(({ reference }) => reference)
    .filter((reference) => repositories.size === 0 || repositories.has(repositoryOf(reference))).map(formatReference);
}

/** @throws {NoSpaceError} when `needed` bytes are more than can be written */
export async function checkSpace(
  kubepkg: KubePkg,
  needed: number,
  { freeBytes }: Pick<PlanImportOptions, "freeBytes">,
): Promise<void> {
  const refusal = refuseSpace(kubepkg, needed, await freeBytes?.());
  if (refusal !== undefined) throw refusal;
}

function refuseSpace(
  { metadata: { name }, spec: { version } }: KubePkg,
  needed: number,
  free: number | undefined,
): NoSpaceError | undefined {
  if (free === undefined || needed <= free) return undefined;
  return new NoSpaceError(
    `Cannot import ${name}@${version}: it needs ${needed} bytes, ${free} are free, ${needed - free} are missing`,
  );
}
