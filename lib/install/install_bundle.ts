import type { BundleDocument } from "../bundle/bundle_document.ts";
import type { ImageGraph } from "../bundle/image_graph.ts";
import { type BundleReader, readBundle } from "../bundle/read_bundle.ts";
import type { BundleSource } from "../bytes/byte_reader.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { formatRelease } from "../kubepkg/package_id.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import type { SignedDocument } from "../signature/trust_policy.ts";
import { BlobImporter } from "./blob_importer.ts";
import { installableRelease, PackageImport, type PlannedContent } from "./import_package.ts";
import { PartImport } from "./import_part.ts";
import type { ImportPlan } from "./import_plan.ts";
import { Installation, type InstallOptions } from "./installation.ts";
import type { InstallResult, PackageOutcome } from "./install_result.ts";
import { readSignedDocument } from "./trust.ts";

/**
 * Installs the packages of a bundle: imports their content, hands their manifests over, and records them. In this order an
 * interrupted installation can be repeated and resumes where it stopped. The bundle is read once, and only if at least one
 * package has to be imported. Each package is installed by itself: one may be refused while another is installed.
 *
 * Blobs are written in the order of the bundle. When all content that a package needs is in the store, its manifests and
 * tags are written, and then its installation is finished. A failure before that changes nothing visible, and a retry
 * skips the content that was written. Of concurrent installations only one at a time changes anything visible, and the
 * version rule is checked again against the result of the one before.
 *
 * One part of several writes only its own content; the part that completes the content finishes the installation. If
 * the same release is already installed, only its missing content is restored.
 *
 * @returns how each package ended, in the order of the bundle. Its error is a `CorruptError` when the bundle is damaged, or
 *   content does not match its digest; a `RefusedError` when the version rule forbids the import; an `IncompleteError` when
 *   content is missing; a `NoSpaceError`; a `StalePartialError` when a partial file of an earlier import was wrong: it is
 *   deleted, and a retry starts over; another one when the manifests cannot be handed over, before anything is written if
 *   that can be known in advance
 * @throws {CorruptError} when the file is not a bundle
 */
export async function installPackages(source: BundleSource, options: InstallOptions): Promise<PackageOutcome[]> {
  const audit = options.dryRun ? undefined : options.audit;
  try {
    const bundle = await readBundle(source, options);
    const work = new BundleImport(bundle, options);
    try {
      const outcomes = await work.run();
      await audit?.end(outcomes);
      return outcomes;
    } finally {
      await work.close();
      await bundle.cancel();
    }
  } catch (error) {
    await audit?.fail(error);
    throw error;
  }
}

/**
 * Plans the installation of a release whose content is sent later. Writes nothing.
 *
 * @param signed the bytes of the document with their signatures
 */
export async function planInstallation(
  { kubepkg, what }: BundleDocument,
  signed: SignedDocument,
  options: InstallOptions,
): Promise<InstallResult> {
  const installation = new Installation(options);
  const release = installableRelease(kubepkg, what);
  const work = new PackageImport(release, { options, installation, document: signed, what });
  return await installation.describe(work.result(await work.plan()));
}

interface PlannedPackage {
  readonly work: PackageImport;
  readonly plan: ImportPlan;
}

class BundleImport {
  readonly #bundle: BundleReader;
  readonly #options: InstallOptions;
  readonly #installation: Installation;
  readonly #outcomes = new Map<KubePkg, PackageOutcome>();
  #part: PartImport | undefined;
  #document: SignedDocument | undefined;

  constructor(bundle: BundleReader, options: InstallOptions) {
    this.#bundle = bundle;
    this.#options = options;
    this.#installation = new Installation(options);
  }

  async run(): Promise<PackageOutcome[]> {
    const { packages } = this.#bundle;
    const wanted = new Map<KubePkg, PlannedPackage>();
    const planned: PlannedContent = { digests: new Set(), bytes: 0 };
    this.#document = await readSignedDocument(this.#bundle, this.#options.trust);
    await this.#options.checkDocument?.(this.#document.bytes);
    for (const kubepkg of packages) {
      await this.#attempt(kubepkg, async () => {
        const found = await this.#plan(kubepkg, planned);
        if ("work" in found) wanted.set(kubepkg, found);
        else return found;
      });
    }
    if (wanted.size > 0) {
      try {
        await this.#importContent(wanted);
      } catch (error) {
        for (const kubepkg of wanted.keys()) {
          if (!this.#outcomes.has(kubepkg)) this.#fail(kubepkg, error);
        }
      }
    }
    const outcomes: PackageOutcome[] = [];
    for (const kubepkg of packages) {
      const outcome = this.#outcomes.get(kubepkg)!;
      const { result } = outcome;
      outcomes.push(result === undefined ? outcome : { ...outcome, result: await this.#installation.describe(result) });
    }
    return outcomes;
  }

  /** Closes what the import has opened, after success and after failure. */
  async close(): Promise<void> {
    await this.#part?.close();
  }

  // Returns the result if there is nothing to import.
  async #plan(kubepkg: KubePkg, planned: PlannedContent): Promise<PlannedPackage | InstallResult> {
    const { force, dryRun, onPlan, trust, records } = this.#options;
    const { what, part } = this.#bundle;
    const release = installableRelease(kubepkg, what);
    this.#part = part && new PartImport(this.#bundle, release, { ...this.#options, part });
    const work = new PackageImport(release, {
      options: this.#options,
      installation: this.#installation,
      document: this.#document!,
      what,
      part: this.#part,
    });
    const plan = await work.plan(planned);
    onPlan?.(plan);
    if (dryRun) return work.result(plan);
    if (plan.refusal !== undefined) throw plan.refusal;
    if (plan.verdict !== "same" || plan.isRepair || force) return { work, plan };
    // Nothing is installed, but the site knows its signatures from now on.
    if (trust !== undefined) {
      await using _lock = await records.lock();
      await this.#installation.admission.admit(release, this.#document!);
    }
    return await work.skip(plan);
  }

  async #importContent(wanted: ReadonlyMap<KubePkg, PlannedPackage>): Promise<void> {
    await this.#installation.prepare();
    const releases = [...wanted.values()].map(({ work }) => work.kubepkg);
    const content = new BlobImporter(this.#bundle, releases, { ...this.#options, part: this.#part });
    await this.#part?.begin((digest) => content.holds(digest));
    await content.importAll();
    await this.#options.onRead?.();
    await content.rebuildLayers();
    if (this.#part === undefined) return await this.#installAll(wanted, content);
    const [[kubepkg, { work, plan }]] = wanted as unknown as [[KubePkg, PlannedPackage]];
    await this.#attempt(kubepkg, async () => await this.#installPart(this.#part!, { work, plan }, content));
  }

  async #installAll(wanted: ReadonlyMap<KubePkg, PlannedPackage>, content: BlobImporter): Promise<void> {
    const graphs = new Map<KubePkg, ImageGraph[]>();
    for (const [kubepkg, { work }] of wanted) {
      await this.#attempt(kubepkg, async () => void graphs.set(kubepkg, await content.checkComplete(work.kubepkg)));
    }
    if (graphs.size > 0) await content.writeNonManifests([...graphs.values()].flat());
    for (const [kubepkg, images] of graphs) {
      const { work, plan } = wanted.get(kubepkg)!;
      await this.#attempt(kubepkg, async () => {
        await using _lock = await this.#options.records.lock();
        return await work.install(plan, images, content.countsOf(work.kubepkg));
      });
    }
  }

  async #installPart(
    part: PartImport,
    { work, plan }: PlannedPackage,
    content: BlobImporter,
  ): Promise<InstallResult> {
    const { kubepkg } = work;
    const { store, records } = this.#options;
    await using _lock = await records.lock();
    // A higher version may have been installed meanwhile, so the version rule is checked before the part is recorded.
    await work.checkRelease();
    const link = async (digest: Digest) => {
      if (this.#bundle.declared?.has(digest)) await store.linkBlob(content.repositoryOf(digest), digest);
    };
    await part.finish((digest) => content.holds(digest), link);
    // Those whose last piece this part has brought.
    await content.rebuildLayers();
    if (part.state.count > 1 && (await content.listMissing(kubepkg)).length > 0) {
      await part.keepPending();
      return work.result(plan, content.countsOf(kubepkg));
    }
    const graphs = await content.checkComplete(kubepkg);
    await content.writeNonManifests(graphs);
    return await work.install(plan, graphs, content.countsOf(kubepkg));
  }

  /** Runs a step for one package, and records its result, if there is one, or its error. */
  async #attempt(kubepkg: KubePkg, step: () => Promise<InstallResult | void>): Promise<void> {
    try {
      const result = await step();
      if (result !== undefined) this.#outcomes.set(kubepkg, { ...nameOf(kubepkg), result });
    } catch (error) {
      this.#fail(kubepkg, error);
    }
  }

  #fail(kubepkg: KubePkg, error: unknown): void {
    this.#outcomes.set(kubepkg, { ...nameOf(kubepkg), error: this.#withPackage(kubepkg, error) });
  }

  #withPackage(kubepkg: KubePkg, error: unknown): unknown {
    if (!(error instanceof DigestMismatchError)) return error;
    const { what } = this.#options;
    const from = what === undefined ? "" : ` from ${what}`;
    return new CorruptError(cannot(`import ${formatRelease(kubepkg)}${from}`, error.clause), { cause: error });
  }
}

function nameOf({ metadata: { name, namespace }, spec: { version } }: KubePkg) {
  return { name, namespace, version };
}
