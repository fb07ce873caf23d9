import type { ImageKeys } from "../../bundle/verify_images.ts";
import { verifyBundleImages } from "../../bundle/verify_bundle_images.ts";
import type { BundleSource } from "../../bytes/byte_reader.ts";
import { readSmallBlob } from "../../content/read_small_blob.ts";
import type { ContentCatalog } from "../../content/source.ts";
import { freeBytesOf } from "../../files/free_bytes.ts";
import { ImportAudit } from "../../install/audit_import.ts";
import { installPackages } from "../../install/install_bundle.ts";
import type { InstallResult } from "../../install/install_result.ts";
import { StalePartialError } from "../../install/write_bundle_blob.ts";
import type { PackageId } from "../../kubepkg/package_id.ts";
import { computeDigest } from "../../oci/digest.ts";
import { cannot, CorruptError, UsageError } from "../../oci/error.ts";
import type { Descriptor } from "../../oci/manifest.ts";
import { formatPlatform } from "../../oci/platform.ts";
import { sweepStale } from "../../store/data_folder.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, HANDOVER_FLAGS, isHandedOver, STORE_FLAGS } from "../command_line/flags.ts";
import { ownPlatform, readSettings } from "../command_line/settings.ts";
import { createWarning, exitStatusOf, printError } from "../console/describe_error.ts";
import { formatSameName } from "../console/handover_text.ts";
import type { Io } from "../console/io.ts";
import { baseName, createProgress, formatItem } from "../console/progress.ts";
import { formatCount } from "../console/quantity.ts";
import { runSeveral, type SeveralItem, ShownError } from "../console/several.ts";
import { reportWriter, warnOfData } from "../wiring/check_data.ts";
import { readImageKeys, readSiteTrust } from "../wiring/read_keys.ts";
import { checkInputs, nameOfBundle, openBundle, openBundleAgain } from "../wiring/open_bundle.ts";
import { openAudit } from "../wiring/open_audit.ts";
import { describeStaleHandover, readHandoverPlace } from "../wiring/open_handover.ts";
import { openPackages } from "../wiring/open_packages.ts";
import { openHandover } from "../wiring/open_releases.ts";
import { formatSummary, summarizeOutcome } from "./import_summary.ts";

/** `crpe import` */
export const COMMAND: CommandDefinition = {
  interrupted: "blobs that were written are kept; run the same command again to resume",
  details: [
    "PKG.tgz is a file, or - for standard input; gzip, zstd or plain tar. A version lower than the installed one, or",
    "the same version with different content, is refused (exit status 3) unless --force is given.",
    "The parts of a split bundle can be imported in any order, over days; the last one installs the package.",
  ].join("\n"),
  flags: [
    ...STORE_FLAGS,
    ...HANDOVER_FLAGS,
    FLAG.trustedKeys,
    FLAG.firstUse,
    FLAG.verifyImages,
    FLAG.pruneData,
    FLAG.imagesDir,
    { ...FLAG.platform, summary: "platforms of the archive in --images-dir [$PLATFORMS, else this machine's]" },
    { name: "dry-run", summary: "print what would be done, write nothing" },
    FLAG.force,
    FLAG.json,
  ],
  usesKubectl: isHandedOver,
  examples: [
    ["crpe import line4@1.0.0.tgz --dry-run", "show what an import would do"],
    [
      "crpe import line4@1.0.0.tgz --manifests-dir=/var/lib/rancher/k3s/server/manifests",
      "import, and hand the manifests to k3s",
    ],
    ["crpe import line4@1.0.0.tgz --trusted-keys=desk.pub", "accept only what the desk has signed"],
    ["ssh desk cat line4@1.0.0.tgz | crpe import -", "import standard input"],
  ],
  run: runImport,
};

async function runImport(invocation: Invocation, io: Io): Promise<number> {
  const files = invocation.arguments;
  checkInputs(files, "import");
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  const { data, config, platforms = [ownPlatform()] } = settings;
  const folder = invocation.flag("images-dir");
  if (folder === undefined && invocation.flag("platform") !== undefined) {
    throw new UsageError(cannot("use --platform without --images-dir", "a bundle is imported with all its platforms"));
  }
  const place = readHandoverPlace(invocation);
  const warn = createWarning(io);
  await warnOfData(data, io, { isReading: false });
  reportWriter(data, io);
  const isDryRun = invocation.isSet("dry-run");
  const isHashing = invocation.isSet("force");
  const { store, records } = await openPackages(settings, io, { warn, isHashing, isReading: isDryRun });
  const handover = openHandover(place, invocation, { io, warn });
  const trust = await readSiteTrust(invocation, { records, config });
  const keys = await readImageKeys(invocation);
  if (keys !== undefined && files.includes("-")) await openBundleAgain("-", "--verify-images", io)();
  using _lease = isDryRun ? undefined : await takeWriteLease(data);
  if (!isDryRun) await sweepStale(data);
  const asJson = invocation.isSet("json");
  const audit = await openAudit(data, warn);
  const warnOfStaleHandover = async (id: PackageId) => {
    const stale = await describeStaleHandover(records, id, "use");
    if (stale !== undefined) warn(stale);
  };
  const run = async (where: string, { number, report }: SeveralItem) => {
    const progress = createProgress(io, "import", {
      quiet: invocation.isSet("quiet"),
      item: formatItem(baseName(where), number, files.length),
    });
    const source = await openBundle(where, io);
    const install = (from: BundleSource) =>
      installPackages(from, {
        what: nameOfBundle(where),
        store,
        records,
        handover,
        force: invocation.isSet("force"),
        trust,
        checkDocument: keys && ((document) => checkImages(where, { keys, store, document }, io)),
        pruneData: invocation.isSet("prune-data"),
        images: { folder, platforms },
        dryRun: isDryRun,
        freeBytes: () => freeBytesOf(data),
        node: Deno.hostname(),
        audit: new ImportAudit(audit.log, audit.by),
        onProgress: ({ bytes, total }) => progress.update(bytes, total),
      });
    const outcomes = await install(source).then(async (outcomes) => {
      // A stale partial blob was discarded: a file is read again from the start, which a stream does not allow.
      const isStale = outcomes.some(({ error }) => error instanceof StalePartialError);
      return isStale && !(source instanceof ReadableStream) ? await install(await openBundle(where, io)) : outcomes;
    }).finally(() => progress.finish());
    for (const { result } of outcomes) {
      if (result === undefined) continue;
      if (handover === undefined && result.isImported) await warnOfStaleHandover(result.plan);
      if (result.sameNameIn !== undefined) warn(formatSameName(result.plan, result.sameNameIn));
      for (const path of result.setAside ?? []) warn(`a record that could not be read is now ${path}`);
      for (const warning of [...result.plan.warnings ?? [], ...describeForeignPlatforms(result)]) warn(warning);
      for (const note of [result.handedOver?.note, result.imageFile?.note]) if (note !== undefined) warn(note);
      for (const name of result.imageFile?.skipped ?? []) {
        warn(`${name} is not in ${result.imageFile?.path}: it is for other platforms`);
      }
    }
    // The error of a file's only package is reported below, as that of a file that cannot be read.
    const reported = outcomes.length === 1 && outcomes[0]?.result === undefined ? [] : outcomes;
    for (const outcome of reported) {
      const text = outcome.result && formatSummary(outcome.result, isDryRun, io);
      report(summarizeOutcome(where, outcome, isDryRun), text);
    }
    // A dry run prints everything it found out, also why it would refuse a package, and then fails as the import would.
    throwWorst(
      outcomes.map(({ result, error }) => {
        const refusal = result?.plan.refusal;
        return refusal === undefined || asJson ? error ?? refusal : new ShownError(refusal);
      }),
      io,
    );
  };
  return await runSeveral(files, { invocation, io }, run);
}

/** Verifies the signatures of all images in a bundle of which `document` is the `kubepkg.json`. */
async function checkImages(
  where: string,
  { keys, store, document }: {
    readonly keys: ImageKeys;
    readonly store: ContentCatalog;
    readonly document: Uint8Array;
  },
  io: Io,
): Promise<void> {
  const options = {
    open: openBundleAgain(where, "--verify-images", io),
    what: nameOfBundle(where),
    // An earlier import, or another part, may have brought it.
    readElsewhere: ({ digest, size }: Descriptor) => readSmallBlob(store, "", { digest, size, limit: size }),
  };
  const verified = await verifyBundleImages(options, keys);
  if (isSameText(verified, document)) return;
  throw new CorruptError(cannot(`import ${where}`, "the file was changed while it was read"));
}

function isSameText(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && computeDigest(a) === computeDigest(b);
}

// Another machine of the site may have the platform: this is no error.
function describeForeignPlatforms({ images }: InstallResult): string[] {
  const own = formatPlatform(ownPlatform());
  const foreign = images.filter(({ platforms }) => platforms.length > 0 && !platforms.includes(own));
  const [first] = foreign;
  if (first === undefined) return [];
  const others = foreign.length === 1 ? "" : ` and ${formatCount(foreign.length - 1, "other image")}`;
  return [`this machine is ${own}: it cannot run ${first.reference} (${first.platforms.join(", ")})${others}`];
}

/** Throws the error with the highest exit status, after the others are printed. */
function throwWorst(found: readonly unknown[], io: Io): void {
  const errors = found.filter((error) => error !== undefined);
  if (errors.length === 0) return;
  const statuses = errors.map((error) => exitStatusOf(error instanceof ShownError ? error.reason : error));
  const thrown = statuses.lastIndexOf(Math.max(...statuses));
  for (const [i, error] of errors.entries()) {
    if (i !== thrown && !(error instanceof ShownError)) printError(error, io, false);
  }
  throw errors[thrown];
}
