import type { BundleProgress } from "../bundle/bundle_progress.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { packageIdOf } from "../kubepkg/package_id.ts";
import { packageObjects } from "../kubepkg/package_objects.ts";
import type { CrpeError } from "../oci/error.ts";
import type { ImportStore } from "../store/blob_store.ts";
import { Admission } from "./admission.ts";
import type { ImportAudit } from "./audit_import.ts";
import { type HandOverOptions, handOverPackage, isPackageHandedOver, planHandover } from "./hand_over_package.ts";
import type { Handover, HandoverResult } from "./handover/handover.ts";
import { describeChanges } from "./handover/manifest_file.ts";
import { planObjects } from "./handover/plan_objects.ts";
import { type ImageFileResult, ImageFiles, type ImageFilesOptions } from "./image_files.ts";
import type { ImportPlan, ManifestPlan } from "./import_plan.ts";
import type { InstallResult } from "./install_result.ts";
import type { PackageRecords } from "./package_records.ts";
import { createReceipt } from "./receipts.ts";
import { absentIfBroken } from "./records/record_file.ts";
import { signReceipt } from "./signed_receipt.ts";
import type { SiteTrust } from "./trust.ts";

/** Options of `installPackages`. */
export interface InstallOptions {
  readonly store: ImportStore;
  readonly records: PackageRecords;
  /** Names the file in errors. */
  readonly what?: string | undefined;
  /** Allows a downgrade and a changed re-issue, and imports a release again that is already installed. */
  readonly force?: boolean;
  /** Plans the import only; reads nothing but the first entry of the bundle. */
  readonly dryRun?: boolean;
  /** The trusted keys of the site; without them signatures are not required. */
  readonly trust?: SiteTrust | undefined;
  /** The free space in bytes; `undefined` if it is not known. */
  readonly freeBytes?: () => Promise<number | undefined>;
  /** Where the manifests are handed over; without it they are only recorded. */
  readonly handover?: Handover | undefined;
  /** Deletes data that left the package; see `HandoverRequest`. */
  readonly pruneData?: boolean | undefined;
  /** The folder for an archive with the images of each package; see `ImageFiles`. */
  readonly images?: Pick<ImageFilesOptions, "folder" | "platforms"> | undefined;
  /** The name of this machine, for the receipt. */
  readonly node?: string;
  /** Logs the import; without it, and for a dry run, nothing is logged. */
  readonly audit?: ImportAudit | undefined;
  /** The time in milliseconds since 1970, for the receipt. */
  readonly now?: () => number;
  readonly onPlan?: (plan: ImportPlan) => void;
  /** Called with the bytes of `kubepkg.json`, before anything is planned. If it throws, the bundle is refused. */
  readonly checkDocument?: ((document: Uint8Array) => Promise<void>) | undefined;
  /**
   * Called after the bundle was read to its end, before anything of it is visible. If it throws, the bundle is refused.
   */
  readonly onRead?: (() => Promise<void>) | undefined;
  readonly onProgress?: (progress: BundleProgress) => void;
}

/** The steps of the installation of packages, other than writing their content into the store. */
export class Installation {
  /** What a site with trusted keys requires besides signatures. */
  readonly admission: Admission;
  readonly #options: InstallOptions;
  readonly #files: ImageFiles;
  readonly #handing: HandOverOptions | undefined;
  readonly #handedOver = new Map<KubePkg, HandoverResult>();
  readonly #imageFiles = new Map<KubePkg, ImageFileResult | undefined>();
  readonly #setAside = new Map<KubePkg, readonly string[]>();

  constructor(options: InstallOptions) {
    const { store, records, handover, images, trust, force, pruneData } = options;
    this.#options = options;
    this.admission = new Admission(records, trust);
    this.#files = new ImageFiles({ ...images, store, records: records.images, force });
    this.#handing = handover && { handover, records, force, pruneData };
  }

  /** Returns the installed release of a package. */
  async findInstalled(kubepkg: KubePkg): Promise<KubePkg | undefined> {
    const { records, force } = this.#options;
    const installed = records.read(packageIdOf(kubepkg));
    return await (force ? installed.catch(absentIfBroken) : installed);
  }

  /** Plans what happens to the objects in the cluster. Without a hand-over they are compared with `installed`. */
  async planManifests(kubepkg: KubePkg, installed: KubePkg | undefined): Promise<ManifestPlan> {
    if (this.#handing === undefined) {
      const before = installed === undefined ? [] : packageObjects(installed);
      const changes = planObjects({ before, after: packageObjects(kubepkg), others: [], pruneData: false });
      return { manifests: describeChanges(changes) };
    }
    const { plan: { changes, refusal }, warnings } = await planHandover(kubepkg, this.#handing);
    return { manifests: describeChanges(changes), warnings, refusal };
  }

  /** Returns another reason why a package cannot be installed. @param bytesToWrite what the import writes into the store */
  async findRefusal(kubepkg: KubePkg, bytesToWrite: number): Promise<CrpeError | undefined> {
    return await this.admission.findRefusal(kubepkg) ?? await this.#files.findRefusal(kubepkg, bytesToWrite);
  }

  /** Checks, before anything is written, that `finish` can succeed. */
  async prepare(): Promise<void> {
    const { records, handover } = this.#options;
    // A damaged key is an error now, not when everything else is done.
    await records.nodeKey.read();
    await handover?.prepare();
    await this.#files.prepare();
  }

  /** Reports whether `finish` is complete for an installed release. */
  async isFinished(kubepkg: KubePkg): Promise<boolean> {
    return await this.#isHandedOver(kubepkg) && await this.#files.isWritten(kubepkg);
  }

  /** Hands a package over, and records it. The caller holds the installation lock. */
  async finish(kubepkg: KubePkg, { isRepair, trust }: ImportPlan): Promise<void> {
    const { records, force, node = "", now = Date.now } = this.#options;
    if (force) this.#setAside.set(kubepkg, await records.setAsideBroken(packageIdOf(kubepkg)));
    // Before the manifests: what they run is then ready for the next start of k3s.
    if (!isRepair || !await this.#files.isWritten(kubepkg)) {
      this.#imageFiles.set(kubepkg, await this.#files.write(kubepkg));
    }
    // k3s re-applies a manifest file whenever it is rewritten, so an unchanged file is left alone.
    if (this.#handing !== undefined && !(isRepair && await this.#isHandedOver(kubepkg))) {
      this.#handedOver.set(kubepkg, (await handOverPackage(kubepkg, this.#handing)).result);
    }
    // Before the record, which ends the installation: an interrupted one is repeated, and writes the receipt again.
    const receipt = createReceipt(kubepkg, { node, repaired: isRepair, time: now(), trust });
    await records.receipts.write(signReceipt(receipt, await records.nodeKey.ensure()));
    if (!isRepair) await records.write(kubepkg);
    // A repair installs no new release, so another pending release stays pending.
    else await records.pending.removeRelease(kubepkg);
  }

  /** Completes the result of a package with what `finish` did. */
  async describe(result: InstallResult): Promise<InstallResult> {
    const { kubepkg } = result;
    const sameNameIn = await this.#listSameName(kubepkg);
    const setAside = this.#setAside.get(kubepkg) ?? [];
    return {
      ...result,
      handedOver: this.#handedOver.get(kubepkg),
      imageFile: this.#imageFiles.get(kubepkg),
      sameNameIn: sameNameIn.length === 0 ? undefined : sameNameIn,
      setAside: setAside.length === 0 ? undefined : setAside,
    };
  }

  async #isHandedOver(kubepkg: KubePkg): Promise<boolean> {
    return this.#handing === undefined || await isPackageHandedOver(kubepkg, this.#handing);
  }

  // A package whose record cannot be read counts as installed.
  async #listSameName(kubepkg: KubePkg): Promise<string[]> {
    const { records } = this.#options;
    const { name, namespace } = packageIdOf(kubepkg);
    const found: string[] = [];
    for (const id of await records.listIds()) {
      if (id.name !== name || id.namespace === namespace) continue;
      const isInstalled = await records.read(id).then((it) => it !== undefined, () => true);
      if (isInstalled) found.push(id.namespace);
    }
    return found;
  }
}
