import {
  checkPackage,
  describeEmptyPackage,
  describeIncompleteImages,
  describeMissingImages,
  listMissingImages,
  listMissingInPack,
  type PackageWarning,
} from "../../bundle/check_package.ts";
import { addImages } from "../../bundle/image_list.ts";
import type { PreparedPack } from "../../bundle/prepare_pack.ts";
import { addMissingImages, type ImageMismatch } from "../../kubepkg/compare_images.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../kubepkg/parse_kubepkg.ts";
import { cannot, RefusedError, UsageError } from "../../oci/error.ts";
import { describeError, toOneLine } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { limitLines, printWarnings } from "../console/warning_text.ts";
import type { K3sImages } from "../wiring/read_k3s_images.ts";
import type { PackageFlags } from "../wiring/read_release.ts";

/** A package that was checked, and is ready to be written. */
export interface PreparedPackage {
  readonly pack: PreparedPack;
  readonly warnings: readonly PackageWarning[];
  /** Names that were added to `spec.images`. */
  readonly added: readonly string[];
}

/** How a package is checked. */
interface PrepareOptions {
  /** Whether images that the objects use are added to `spec.images`. */
  readonly addsImages: boolean;
  /** Whether warnings are errors. */
  readonly isStrict: boolean;
  /** Images to add. */
  readonly k3s: K3sImages | undefined;
  /** Resolves the images. */
  readonly prepare: (kubepkg: KubePkg) => Promise<PreparedPack>;
}

/** The package of `--k3s` without a KubePkg: only images. @throws {UsageError} without `--k3s` */
export function makeImagePackage(k3s: Pick<K3sImages, "version"> | undefined, flags: PackageFlags): KubePkg {
  if (k3s === undefined) throw new UsageError(cannot("run pack", "KUBEPKG is missing"));
  const { name = "k3s-images", version = k3s.version, namespace } = flags;
  return parseKubePkg({
    apiVersion: "octohelm.tech/v1alpha1",
    kind: "KubePkg",
    metadata: { name, namespace },
    spec: { version },
  });
}

/**
 * Checks a package, adds images to it, and resolves its images. Prints what is added; what is wrong is returned, or, when
 * the images cannot be resolved, printed.
 */
export async function preparePackage(given: KubePkg, options: PrepareOptions, io: Io): Promise<PreparedPackage> {
  const { addsImages, isStrict, k3s, prepare } = options;
  const checked = checkPackage(given);
  const added: string[] = [];
  let { kubepkg } = checked;
  const addMissing = (mismatches: readonly ImageMismatch[]) => {
    const result = addMissingImages(kubepkg, mismatches);
    kubepkg = result.kubepkg;
    added.push(...result.added.map(({ name }) => name));
    printAdded(result.added.map(({ name, mismatch: { uses: [use] } }) => `${name}, used by ${use?.object}`), io);
    return result.added.length > 0;
  };
  if (k3s !== undefined) {
    const result = addImages(kubepkg, k3s.images);
    kubepkg = result.kubepkg;
    added.push(...result.added);
    io.err(`crpe: added ${result.added.length} system images of k3s ${k3s.version} to spec.images\n`);
  }
  if (addsImages) addMissing(listMissingImages(kubepkg, checked));
  try {
    let pack = await prepare(kubepkg);
    // Which digests the tags have is known only now.
    if (addsImages && addMissing(listMissingInPack(pack, checked))) pack = await prepare(kubepkg);
    const images = describeMissingImages(listMissingInPack(pack, checked));
    const warnings = [...describeEmptyPackage(pack), ...images, ...describeIncompleteImages(pack), ...checked.warnings];
    return { pack, warnings, added };
  } catch (error) {
    const warnings = [...describeMissingImages(listMissingImages(kubepkg, checked)), ...checked.warnings];
    if (!isStrict || warnings.length === 0) {
      printWarnings(warnings.map(({ message }) => message), "warning", io);
      throw error;
    }
    throw refuse(given, [...warnings.map(({ message }) => message), describeError(error)], io);
  }
}

/** Prints the warnings of all packages. @throws {RefusedError} when there are any and they count as errors */
export function refuseWarnings(prepared: readonly PreparedPackage[], isStrict: boolean, io: Io): void {
  const messages = prepared.flatMap(({ warnings }) => warnings.map(({ message }) => message));
  if (!isStrict) printWarnings(messages, "warning", io);
  else if (messages.length > 0) throw refuse(prepared[0]!.pack.kubepkg, messages, io);
}

function refuse({ metadata, spec }: KubePkg, messages: readonly string[], io: Io): RefusedError {
  printWarnings(messages, "error", io);
  return new RefusedError(
    cannot(
      `pack ${metadata.name}@${spec.version}`,
      `${messages.length} ${messages.length === 1 ? "problem was" : "problems were"} found`,
      "mend the package, or pack it without --strict",
    ),
  );
}

function printAdded(lines: readonly string[], io: Io): void {
  for (const line of limitLines(lines)) io.err(`crpe: added to spec.images: ${toOneLine(line)}\n`);
}
