import type { ImageGraph } from "../bundle/image_graph.ts";
import { type BundleReader, readBundle } from "../bundle/read_bundle.ts";
import type { BundleSource } from "../bytes/byte_reader.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { formatRelease } from "../kubepkg/package_id.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { type BlobCounts, BlobImporter } from "./blob_importer.ts";
import { type ImportOptions, type ImportResult, PackageImport, type PlannedContent } from "./import_package.ts";
import type { PartImport } from "./import_part.ts";
import type { ImportPlan } from "./plan_import.ts";
import { readSignedDocument } from "./trust.ts";
import type { ImportStore } from "./write_bundle_blob.ts";
import type { SignedDocument } from "../signature/trust_policy.ts";

/** How the import of one package of a bundle ended: it has a result, or it failed. */
export type PackageOutcome<Result extends ImportResult = ImportResult> =
  & { readonly name: string; readonly namespace: string; readonly version: string }
  & ({ readonly result: Result; readonly error?: undefined } | {
    readonly result?: undefined;
    readonly error: unknown;
  });

/**
 * Imports a bundle of one package. Blobs are written in the order of the bundle. When all content that the package needs
 * is in the store, the manifests and the tags are written, and then the installation is finished. A failure before that
 * changes nothing visible, and a retry skips the content that was written.
 *
 * One part of several writes only its own content; the part that completes the content finishes the installation. If
 * the same release is already installed, only its missing content is restored.
 *
 * @throws {CorruptError} when the bundle is damaged or has several packages, or content does not match its digest
 * @throws {RefusedError} when the version rule forbids the import
 * @throws {IncompleteError} when content is missing
 * @throws {NoSpaceError} when there is not enough space
 * @throws {StalePartialError} when a partial file of an earlier import was wrong; it is deleted, and a retry starts
 *   over
 */
export async function importBundle(
  source: BundleSource,
  store: ImportStore,
  options: ImportOptions = {},
): Promise<ImportResult> {
  return onlyResult(await importPackages(source, store, { ...options, isSingle: true }));
}

/**
 * Imports all packages of a bundle, each by itself: one may be refused while another is installed. The bundle is read once,
 * and only if at least one package has to be imported.
 *
 * @returns how each package ended, in the order of the bundle
 * @throws as `importBundle` does, when the file is not a bundle, or must have one package and has several
 */
export async function importPackages(
  source: BundleSource,
  store: ImportStore,
  options: ImportOptions & { readonly isSingle?: boolean } = {},
): Promise<PackageOutcome[]> {
  const { what } = options;
  const bundle = await readBundle(source, { what });
  const work = new BundleImport(bundle, store, options);
  try {
    return await work.run(options.isSingle ? [bundle.kubepkg] : bundle.packages);
  } finally {
    await work.close();
    await bundle.cancel();
  }
}

/** Returns the result of the only package. @throws the error of the package */
export function onlyResult<Result extends ImportResult>([outcome]: readonly PackageOutcome<Result>[]): Result {
  if (outcome?.result === undefined) throw outcome?.error;
  return outcome.result;
}

interface PlannedPackage {
  readonly work: PackageImport;
  readonly plan: ImportPlan;
}

const NO_COUNTS: BlobCounts = { written: 0, skipped: 0, bytesWritten: 0 };

class BundleImport {
  readonly #bundle: BundleReader;
  readonly #store: ImportStore;
  readonly #options: ImportOptions;
  readonly #outcomes = new Map<KubePkg, PackageOutcome>();
  #part: PartImport | undefined;
  #document: SignedDocument | undefined;

  constructor(bundle: BundleReader, store: ImportStore, options: ImportOptions) {
    this.#bundle = bundle;
    this.#store = store;
    this.#options = options;
  }

  async run(packages: readonly KubePkg[]): Promise<PackageOutcome[]> {
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
    return packages.map((kubepkg) => this.#outcomes.get(kubepkg)!);
  }

  /** Closes what the import has opened, after success and after failure. */
  async close(): Promise<void> {
    await this.#part?.close();
  }

  // Returns the result if there is nothing to import.
  async #plan(kubepkg: KubePkg, planned: PlannedContent): Promise<PlannedPackage | ImportResult> {
    const { force, dryRun, onPlan } = this.#options;
    const work = new PackageImport(kubepkg, {
      bundle: this.#bundle,
      store: this.#store,
      options: this.#options,
      document: this.#document!,
    });
    this.#part = work.part;
    const plan = await work.plan(planned);
    onPlan?.(plan);
    if (dryRun) return work.result(plan, NO_COUNTS);
    if (plan.refusal !== undefined) throw plan.refusal;
    if (plan.verdict === "same" && !plan.isRepair && !force) {
      // Nothing is installed, but the site knows its signatures from now on.
      if (this.#options.trust !== undefined) {
        await using _lock = await this.#options.installation?.lock?.();
        await work.admit();
      }
      return work.result(plan, NO_COUNTS);
    }
    return { work, plan };
  }

  async #importContent(wanted: ReadonlyMap<KubePkg, PlannedPackage>): Promise<void> {
    const { installation, onRead } = this.#options;
    await installation?.prepare?.();
    const releases = [...wanted.values()].map(({ work }) => work.kubepkg);
    const content = new BlobImporter(this.#bundle, releases, {
      ...this.#options,
      store: this.#store,
      part: this.#part,
    });
    await this.#part?.begin((digest) => content.holds(digest));
    await content.importAll();
    await onRead?.();
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
        await using _lock = await this.#options.installation?.lock?.();
        return await work.install(plan, images, content.countsOf(work.kubepkg));
      });
    }
  }

  async #installPart(
    part: PartImport,
    { work, plan }: PlannedPackage,
    content: BlobImporter,
  ): Promise<ImportResult> {
    const { kubepkg } = work;
    await using _lock = await this.#options.installation?.lock?.();
    // A higher version may have been installed meanwhile, so the version rule is checked before the part is recorded.
    await work.checkRelease();
    const link = async (digest: Digest) => {
      if (this.#bundle.declared?.has(digest)) await this.#store.linkBlob?.(content.repositoryOf(digest), digest);
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
  async #attempt(kubepkg: KubePkg, step: () => Promise<ImportResult | void>): Promise<void> {
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
    return new CorruptError(`Cannot import ${formatRelease(kubepkg)}${from}: ${error.message}`, { cause: error });
  }
}

function nameOf({ metadata: { name, namespace }, spec: { version } }: KubePkg) {
  return { name, namespace, version };
}
