import type { ContentStore } from "../content/source.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { formatPackageId, type PackageId, packageIdOf } from "../kubepkg/package_id.ts";
import { identityOf } from "../kubepkg/version.ts";
import { cannot, CrpeError, RefusedError } from "../oci/error.ts";
import { handOverPackage, planHandover, readHandedOver } from "./hand_over_package.ts";
import type { Handover, HandoverResult } from "./handover/handover.ts";
import type { HandoverPlace } from "./handover/handover_records.ts";
import { describeChanges, type ManifestDiff } from "./handover/manifest_file.ts";
import { type ImageFileResult, ImageFiles } from "./image_files.ts";
import { decideRecordedTrust, type SiteTrust } from "./trust.ts";
import { readInstalledImages, writeImages } from "./package_images.ts";
import type { PackageRecords } from "./package_records.ts";
import { listOtherPackages } from "./read_other_packages.ts";
import { createReceipt } from "./receipts.ts";
import { signReceipt } from "./signed_receipt.ts";
import { giveBackTags } from "./shared_tags.ts";

/** Options of `rollBackPackage`. */
interface RollbackOptions {
  readonly store: ContentStore;
  readonly records: PackageRecords;
  /** The version to roll back to; by default the version that was installed before. */
  readonly to?: string | undefined;
  /** Opens the hand-over for the recorded place; `undefined` if the manifests are not handed over. */
  readonly openHandover: (recorded: HandoverPlace | undefined) => Handover | undefined;
  /** The name of this machine, for the receipt. */
  readonly node?: string | undefined;
  /** The time in milliseconds since 1970, for the receipt. */
  readonly now?: (() => number) | undefined;
  /** The trusted keys of the site. The version must still be trusted by them. */
  readonly trust?: SiteTrust | undefined;
  /** See `HandoverRequest`. */
  readonly force?: boolean | undefined;
  readonly pruneData?: boolean | undefined;
}

/** The result of a rollback. */
export interface RollbackResult {
  readonly name: string;
  readonly namespace: string;
  /** The version that was installed; it stays in the history. */
  readonly from: string;
  /** The version that is installed now. */
  readonly to: string;
  /** False if that version was already installed. */
  readonly isChanged: boolean;
  readonly handedOver?: HandoverResult;
  /** The archive with the images of the package. */
  readonly imageFile?: ImageFileResult;
  /** What the rollback did to the objects in the cluster. */
  readonly manifests?: ManifestDiff;
  /** Records of other packages that cannot be read, a sentence each. */
  readonly warnings?: readonly string[];
}

/**
 * Installs an earlier version of a package again from the content of the store. As in an installation, the order is:
 * manifests, tags, hand-over, record. The version that was installed goes into the history.
 *
 * @throws {Error} when the package is not installed
 * @throws {UntrustedError} when the version is not trusted
 * @throws {RefusedError} when the version is not in the history, or something in the cluster or the folder belongs to
 *   others
 * @throws {IncompleteError} when content of the version is missing; nothing was changed
 */
export async function rollBackPackage(id: PackageId, options: RollbackOptions): Promise<RollbackResult> {
  const { store, records, to } = options;
  await using _lock = await records.lock();
  const name = formatPackageId(id);
  const installed = await records.read(id);
  if (installed === undefined) throw new CrpeError(cannot(`roll ${name} back`, "it is not installed"));
  const from = installed.spec.version;
  const target = chooseVersion(installed, await records.listHistory(id), to);
  if (target === installed) return { ...id, from, to: from, isChanged: false };
  const version = target.spec.version;
  const { refusal, firstKeys, verdict: trust } = await decideRecordedTrust(target, records.trust, {
    trust: options.trust,
    action: "roll back to",
  });
  if (refusal !== undefined) throw refusal;
  if (firstKeys !== undefined) await options.trust?.firstUse?.write(id, firstKeys);
  const graphs = await readInstalledImages(store, target, `roll ${name} back to ${version}`);
  const { force, pruneData } = options;
  const before = await readHandedOver(id, { records, force });
  const handover = options.openHandover(before === "lost" ? undefined : before?.place);
  await handover?.prepare();
  const nodeKey = await records.nodeKey.ensure();
  const handing = handover === undefined ? undefined : { handover, records, force, pruneData };
  // A refusal comes before the first tag is written.
  const planned = handing && await planHandover(target, handing);
  if (planned?.plan.refusal !== undefined) throw planned.plan.refusal;
  await writeImages(store, graphs, () => listOtherPackages(records, id));
  await giveBackTags(id, { releases: [installed], current: target }, { records, store });
  const imageFile = await new ImageFiles({ store, records: records.images, force }).write(target);
  const handedOver = handing === undefined ? undefined : await handOverPackage(target, handing);
  // Before the record, as for an import.
  const { node = "", now = Date.now } = options;
  const receipt = createReceipt(target, { node, repaired: false, time: now(), trust });
  await records.receipts.write(signReceipt(receipt, nodeKey));
  await records.write(target);
  const warnings = planned?.warnings ?? [];
  return {
    ...id,
    from,
    to: version,
    isChanged: true,
    handedOver: handedOver?.result,
    manifests: handedOver && describeChanges(handedOver.plan.changes),
    imageFile,
    warnings: warnings.length === 0 ? undefined : warnings,
  };
}

/** Lists the installed release and its history, the latest first. Identical releases are listed once. */
export function listVersions(installed: KubePkg, history: readonly KubePkg[]): KubePkg[] {
  const found = new Map<string, KubePkg>();
  for (const kubepkg of [installed, ...history.toReversed()]) {
    const id = identityOf(kubepkg);
    if (!found.has(id)) found.set(id, kubepkg);
  }
  return [...found.values()];
}

// The default is the latest release that differs from the installed one, so a second rollback undoes the first.
function chooseVersion(installed: KubePkg, history: readonly KubePkg[], to: string | undefined): KubePkg {
  const [, ...others] = listVersions(installed, history);
  const target = to === undefined ? others[0] : findVersion([...others, installed], to);
  if (target !== undefined) return target;
  const name = formatPackageId(packageIdOf(installed));
  if (to === undefined) {
    throw new RefusedError(cannot(`roll ${name} back`, `${installed.spec.version} is the only version that is kept`));
  }
  const kept = [...new Set([installed, ...others].map(({ spec: { version } }) => version))].join(", ");
  throw new RefusedError(cannot(`roll ${name} back to ${to}`, `it is not kept; there are ${kept}`));
}

// A leading `v` does not count, unless releases are kept that differ in nothing else.
function findVersion(kept: readonly KubePkg[], to: string): KubePkg | undefined {
  const bare = (version: string) => version.replace(/^v/, "");
  return kept.find(({ spec: { version } }) => version === to) ??
    kept.find(({ spec: { version } }) => bare(version) === bare(to));
}
