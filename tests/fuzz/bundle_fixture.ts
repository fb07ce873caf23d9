import { describeError } from "../../lib/cli/console/describe_error.ts";
import { FolderHandover } from "../../lib/install/handover/folder_handover.ts";
import { formatManifestFile, handoverFileName } from "../../lib/install/handover/manifest_file.ts";
import { installBundle } from "../support/install_bundle.ts";
import type { InstallResult } from "../../lib/install/install_result.ts";
import type { SiteTrust } from "../../lib/install/trust.ts";
import { PackageRecords } from "../../lib/install/package_records.ts";
import { packageObjects } from "../../lib/kubepkg/package_objects.ts";
import { formatCanonicalJson } from "../../lib/kubepkg/version.ts";
import { CorruptError, IncompleteError, NoSpaceError, RefusedError } from "../../lib/oci/error.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { streamOf } from "../support/content.ts";
import { type BundleSeeds, tarOf } from "./bundle_seeds.ts";
import { checkStore, hashOfFile, listFiles } from "./check_store.ts";
import type { BundleCase } from "./mutate_bundle.ts";

/** The allowed outcomes of a case. */
export type BundleOutcome =
  | "imported"
  | "nothing to do"
  | "CorruptError"
  | "IncompleteError"
  | "NoSpaceError"
  | "RefusedError";

/** A fault of crpe that a case has revealed. */
export class FindingError extends Error {
  override readonly name = "FindingError";
}

const ERRORS = [CorruptError, IncompleteError, NoSpaceError, RefusedError];
const HANG_MILLISECONDS = 20_000;
/** The files that may remain in the ingest folder: locks, and partial files that can be resumed. */
const KEPT = /^(?:[a-z-]+\.lock|sha(?:256|512)-[0-9a-f]+\.(?:partial|pieces|pieces\.json))$/;
/** The longest allowed error message, in characters. */
const MAX_MESSAGE = 4000;

/**
 * Imports bundles into a temporary data folder and manifests folder, and checks the result. Its root also contains a
 * canary folder, which must never change.
 */
export class BundleFixture {
  readonly #root: string;
  /** The package of each installed seed, as JSON. */
  readonly #packages = new Map<string, string>();
  #canary: ReadonlyMap<string, string> = new Map();

  readonly #trust: SiteTrust | undefined;

  private constructor(root: string, trust: SiteTrust | undefined) {
    this.#root = root;
    this.#trust = trust;
    Deno.mkdirSync(`${root}/canary`);
    for (const name of ["planted", "other"]) Deno.writeTextFileSync(`${root}/canary/${name}`, "untouched");
  }

  /** Creates the fixture, and installs the bundles that some cases start from. */
  static async create(root: string, { base, seeds, trust }: BundleSeeds): Promise<BundleFixture> {
    const fixture = new BundleFixture(root, trust);
    await fixture.#install(`${root}/before/base`, base, {});
    for (const seed of seeds) {
      const folder = `${root}/before/${seed.name}`;
      if (seed.needsBase) copyInstalled(`${root}/before/base`, folder);
      const { kubepkg } = await fixture.#install(folder, tarOf(seed), {});
      fixture.#packages.set(seed.name, JSON.stringify(kubepkg));
    }
    fixture.#canary = fixture.#readCanary();
    return fixture;
  }

  /** Imports a bundle, and checks everything afterwards. @throws {FindingError} when crpe has a fault */
  async run(bundle: BundleCase): Promise<BundleOutcome> {
    const folder = `${this.#root}/case`;
    const installed = { nothing: undefined, base: "base", itself: bundle.seed.name }[bundle.before];
    if (installed !== undefined) copyInstalled(`${this.#root}/before/${installed}`, folder);
    const before = readVisible(folder);
    const source = watchStream(bundle.bytes, bundle.chunkBytes);
    try {
      let outcome: BundleOutcome;
      try {
        const result = await withinTime(this.#install(folder, source.stream, bundle));
        outcome = await this.#checkResult(folder, result, { ...bundle, visible: before });
      } catch (error) {
        if (error instanceof FindingError) throw error;
        outcome = checkError(error);
        expectSame(before, readVisible(folder), `after ${String(error)}`);
      }
      if (!source.isOver()) throw new FindingError("the stream was neither read to its end nor cancelled");
      this.#checkOutside(folder);
      checkStore(`${folder}/data`, fail);
      if (outcome !== "imported" && outcome !== "nothing to do") await this.#checkRetry(folder, bundle);
      return outcome;
    } finally {
      removeFolder(folder);
    }
  }

  /** Checks the files that no case may change. @throws {FindingError} when one has changed */
  checkCanary(): void {
    expectSame(this.#canary, this.#readCanary(), "outside of the data folder");
  }

  async #install(
    folder: string,
    input: ReadableStream<Uint8Array> | Uint8Array<ArrayBuffer>,
    { force, freeBytes }: Partial<BundleCase>,
  ): Promise<InstallResult> {
    // The folder of a cluster exists; crpe does not create it.
    Deno.mkdirSync(`${folder}/manifests`, { recursive: true });
    return await installBundle(input instanceof ReadableStream ? input : streamOf(input), {
      store: new DiskStore(`${folder}/data`),
      records: new PackageRecords(`${folder}/data`),
      handover: new FolderHandover(`${folder}/manifests`),
      trust: this.#trust,
      ...(force === undefined ? {} : { force }),
      ...(freeBytes === undefined ? {} : { freeBytes: () => Promise.resolve(freeBytes) }),
    });
  }

  async #checkResult(
    folder: string,
    result: InstallResult,
    { isSealed, seed, visible }: BundleCase & { readonly visible: ReadonlyMap<string, string> },
  ): Promise<BundleOutcome> {
    if (!result.isImported) {
      expectSame(visible, readVisible(folder), "although there was nothing to do");
      return "nothing to do";
    }
    if ((isSealed || this.#trust !== undefined) && JSON.stringify(result.kubepkg) !== this.#packages.get(seed.name)) {
      fail("the imported package differs from the one that the checksum or the signature covers");
    }
    // A repair adds missing content, and leaves the record alone.
    const kept = await new PackageRecords(`${folder}/data`).read(result.kubepkg.metadata);
    const kubepkg = result.plan.isRepair && kept !== undefined ? kept : result.kubepkg;
    const recorded = await new PackageRecords(`${folder}/data`).read(kubepkg.metadata);
    // Filled-in fields may have another position after they are read again, so the canonical forms are compared.
    if (formatCanonicalJson(recorded) !== formatCanonicalJson(kubepkg)) {
      fail("the record differs from the imported package");
    }
    const name = handoverFileName(kubepkg);
    const text = formatManifestFile(packageObjects(kubepkg), [], 0);
    const files = listFiles(`${folder}/manifests`);
    const others = files.filter((file) => file !== name && !visible.has(`manifests/${file}`));
    if (others.length > 0) fail(`the manifests folder has ${JSON.stringify(others)}`);
    const written = Deno.readTextFileSync(`${folder}/manifests/${name}`);
    // A later hand-over has a number, and may have objects that left the package and are kept.
    if (!written.replace(/^# hand-over \d+\n/, "").startsWith(text)) fail("the hand-over file differs");
    const store = new DiskStore(`${folder}/data`);
    for (const { reference, digest } of result.images) {
      const [, repo = "", tag] = /^(.*?)(?::([^:/@]+))?(?:@.*)?$/.exec(reference) ?? [];
      const found = (await store.resolve(repo, tag ?? digest))?.digest;
      if (found !== digest) fail(`${reference} is ${found}, and not ${digest}`);
    }
    for (const { digest, size } of kubepkg.status?.digests ?? []) {
      if (await store.statBlob("", digest) !== size) fail(`${digest} is not held with ${size} bytes`);
    }
    return "imported";
  }

  // The partial files of a bad bundle must not prevent the import of the good one.
  async #checkRetry(folder: string, { seed, before, isRetried }: BundleCase): Promise<void> {
    if (!isRetried && listNames(`${folder}/data/ingest`).every((name) => name.endsWith(".lock"))) return;
    if (seed.needsBase && before === "nothing") return;
    const install = () => withinTime(this.#install(folder, tarOf(seed), { force: true }));
    try {
      const result = await install().catch((error) => {
        // A wrong partial file is detected only at the end of the blob, when a stream cannot go back.
        if (error instanceof Error && error.name === "StalePartialError") return install();
        throw error;
      });
      if (!result.isImported) fail("the good bundle was not imported afterwards");
    } catch (error) {
      fail(`the good bundle cannot be imported afterwards: ${String(error)}`);
    }
    checkStore(`${folder}/data`, fail);
  }

  #checkOutside(folder: string): void {
    const expected = ["before", "canary", "case"];
    const found = [...Deno.readDirSync(this.#root)].map(({ name }) => name).filter((name) => !expected.includes(name));
    if (found.length > 0) fail(`${JSON.stringify(found)} appeared outside of the folder of the case`);
    const inside = listNames(folder).filter((name) => name !== "data" && name !== "manifests");
    if (inside.length > 0) fail(`${JSON.stringify(inside)} appeared outside of the data folder`);
    const left = listNames(`${folder}/data/ingest`).filter((name) => !KEPT.test(name));
    if (left.length > 0) fail(`${JSON.stringify(left)} remained in the ingest folder`);
  }

  #readCanary(): Map<string, string> {
    return new Map(
      ["canary", "before"].flatMap((folder) => {
        return listFiles(`${this.#root}/${folder}`).map((name): [string, string] => {
          return [`${folder}/${name}`, hashOfFile(`${this.#root}/${folder}/${name}`)];
        });
      }),
    );
  }
}

function fail(message: string): never {
  throw new FindingError(message);
}

function checkError(error: unknown): BundleOutcome {
  const name = ERRORS.find((kind) => error instanceof kind)?.name;
  const text = error instanceof Error ? error.stack ?? error.message : String(error);
  if (name === undefined || !(error instanceof Error)) {
    return fail(`it failed with an unexpected error: ${text}`);
  }
  const message = describeError(error);
  // deno-lint-ignore no-control-regex
  const isLine = /^Cannot [^\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+$/.test(message);
  if (!isLine || message.length > MAX_MESSAGE) {
    fail(`its message cannot be printed as one line: ${JSON.stringify(message)}`);
  }
  return name as BundleOutcome;
}

// Hashes everything that a client, the cluster or a listing command sees.
function readVisible(folder: string): Map<string, string> {
  const isVisible = (name: string) => {
    // A pending package is recorded, but not visible.
    if (name.endsWith("/pending.json")) return false;
    return name.startsWith("manifests/") || name.startsWith("data/kubepkg/") || name.includes("/_manifests/");
  };
  return new Map(
    listFiles(folder).filter(isVisible).map((name) => [name, hashOfFile(`${folder}/${name}`)]),
  );
}

function expectSame(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>, when: string): void {
  const changed = [...new Set([...before.keys(), ...after.keys()])].filter((name) =>
    before.get(name) !== after.get(name)
  );
  if (changed.length > 0) fail(`${JSON.stringify(changed.slice(0, 5))} changed ${when}`);
}

function watchStream(bytes: Uint8Array<ArrayBuffer>, chunkBytes: number) {
  let at = 0;
  let isOver = false;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at < bytes.length) return controller.enqueue(bytes.slice(at, at += chunkBytes));
      isOver = true;
      controller.close();
    },
    cancel() {
      isOver = true;
    },
  }, { highWaterMark: 0 });
  return { stream, isOver: () => isOver };
}

async function withinTime<T>(work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new FindingError("the import timed out")), HANG_MILLISECONDS);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}

// The record of a hand-over has the absolute path of the file. Without its checksum the changed record is valid.
function copyInstalled(from: string, to: string): void {
  copyFolder(from, to);
  for (const name of listFiles(to).filter((name) => name.endsWith("/handover.json"))) {
    const record = Deno.readTextFileSync(`${to}/${name}`);
    Deno.writeTextFileSync(
      `${to}/${name}`,
      record.replace(/^\{"checksum":"[^"]*",/, "{").replaceAll(
        `${Deno.realPathSync(from)}/`,
        `${Deno.realPathSync(to)}/`,
      ),
    );
  }
}

function copyFolder(from: string, to: string): void {
  Deno.mkdirSync(to, { recursive: true });
  for (const { name, isDirectory } of Deno.readDirSync(from)) {
    if (isDirectory) copyFolder(`${from}/${name}`, `${to}/${name}`);
    else Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}

function removeFolder(folder: string): void {
  try {
    Deno.removeSync(folder, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function listNames(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
