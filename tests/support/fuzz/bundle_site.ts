import { describeError } from "../../../lib/cli/console/describe_error.ts";
import { FolderHandover } from "../../../lib/install/handover/folder_handover.ts";
import { formatHandover } from "../../../lib/install/handover/manifest_file.ts";
import { installBundle, type InstallResult } from "../../../lib/install/install_bundle.ts";
import { PackageRecords } from "../../../lib/install/package_records.ts";
import { formatCanonicalJson } from "../../../lib/kubepkg/version.ts";
import { CorruptError, IncompleteError, NoSpaceError, RefusedError } from "../../../lib/oci/error.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { streamOf } from "../content.ts";
import { type BundleSeeds, tarOf } from "./bundle_seeds.ts";
import { checkStore, hashOfFile, listFiles } from "./check_store.ts";
import type { BundleCase } from "./mutate_bundle.ts";

/** How a case ended, where it ended as it may. */
export type BundleOutcome =
  | "imported"
  | "nothing to do"
  | "CorruptError"
  | "IncompleteError"
  | "NoSpaceError"
  | "RefusedError";

/** Says what a case has shown to be wrong. */
export class FindingError extends Error {
  override readonly name = "FindingError";
}

const ERRORS = [CorruptError, IncompleteError, NoSpaceError, RefusedError];
const HANG_MILLISECONDS = 20_000;
/** What may stay in the folder of temporary files: locks, and what can be gone on with. */
const KEPT = /^(?:[a-z]+\.lock|sha(?:256|512)-[0-9a-f]+\.(?:partial|pieces|pieces\.json))$/;
/** Longest line that is still one that somebody reads. */
const MAX_MESSAGE = 4000;

/**
 * Imports bundles into folders of its own, and checks what is there afterwards. Below its root there is, besides the data
 * folder and the folder of manifests, a folder that nobody may touch.
 */
export class BundleSite {
  readonly #root: string;
  /** What each seed is once it is installed, as JSON. */
  readonly #packages = new Map<string, string>();
  #canary: ReadonlyMap<string, string> = new Map();

  private constructor(root: string) {
    this.#root = root;
    Deno.mkdirSync(`${root}/canary`);
    for (const name of ["planted", "other"]) Deno.writeTextFileSync(`${root}/canary/${name}`, "untouched");
  }

  /** Installs what the cases want to be there before they come. */
  static async create(root: string, { base, seeds }: BundleSeeds): Promise<BundleSite> {
    const site = new BundleSite(root);
    await site.#install(`${root}/before/base`, base, {});
    for (const seed of seeds) {
      const folder = `${root}/before/${seed.name}`;
      if (seed.needsBase) copyFolder(`${root}/before/base`, folder);
      const { kubepkg } = await site.#install(folder, tarOf(seed), {});
      site.#packages.set(seed.name, JSON.stringify(kubepkg));
    }
    site.#canary = site.#readCanary();
    return site;
  }

  /** @throws {FindingError} when something happened that must not */
  async run(bundle: BundleCase): Promise<BundleOutcome> {
    const folder = `${this.#root}/case`;
    const there = { nothing: undefined, base: "base", itself: bundle.seed.name }[bundle.before];
    if (there !== undefined) copyFolder(`${this.#root}/before/${there}`, folder);
    const before = readVisible(folder);
    const source = watchStream(bundle.bytes, bundle.chunkBytes);
    try {
      let outcome: BundleOutcome;
      try {
        const result = await withinTime(this.#install(folder, source.stream, bundle));
        outcome = await this.#checkResult(folder, result, bundle, before);
      } catch (error) {
        if (error instanceof FindingError) throw error;
        outcome = checkError(error);
        expectSame(before, readVisible(folder), `after ${String(error)}`);
      }
      if (!source.isOver()) throw new FindingError("the stream was neither read to its end nor cancelled");
      this.#checkAround(folder);
      checkStore(`${folder}/data`, fail);
      if (outcome !== "imported" && outcome !== "nothing to do") await this.#checkRetry(folder, bundle);
      return outcome;
    } finally {
      removeFolder(folder);
    }
  }

  /** Checks what cannot be told to be one case's doing. @throws {FindingError} */
  checkCanary(): void {
    expectSame(this.#canary, this.#readCanary(), "outside of the data folder");
  }

  async #install(
    folder: string,
    input: ReadableStream<Uint8Array> | Uint8Array<ArrayBuffer>,
    { force, freeBytes }: Partial<BundleCase>,
  ): Promise<InstallResult> {
    return await installBundle(input instanceof ReadableStream ? input : streamOf(input), {
      store: new DiskStore(`${folder}/data`),
      records: new PackageRecords(`${folder}/data`),
      handover: new FolderHandover(`${folder}/manifests`),
      ...(force === undefined ? {} : { force }),
      ...(freeBytes === undefined ? {} : { freeBytes: () => Promise.resolve(freeBytes) }),
    });
  }

  async #checkResult(
    folder: string,
    result: InstallResult,
    { isSealed, seed }: BundleCase,
    before: ReadonlyMap<string, string>,
  ): Promise<BundleOutcome> {
    if (!result.isImported) {
      expectSame(before, readVisible(folder), "although there was nothing to do");
      return "nothing to do";
    }
    if (isSealed && JSON.stringify(result.kubepkg) !== this.#packages.get(seed.name)) {
      fail("another package was imported than the one that the check sum is of");
    }
    // Where only what was lacking came, the record stays what it was.
    const kept = await new PackageRecords(`${folder}/data`).read(result.kubepkg.metadata);
    const kubepkg = result.plan.isRepair && kept !== undefined ? kept : result.kubepkg;
    const recorded = await new PackageRecords(`${folder}/data`).read(kubepkg.metadata);
    // A field that was filled in stands in another place once it was read again.
    if (formatCanonicalJson(recorded) !== formatCanonicalJson(kubepkg)) fail("the record is not what was imported");
    const { name, text } = formatHandover(kubepkg);
    const files = listFiles(`${folder}/manifests`);
    const others = files.filter((file) => file !== name && !before.has(`manifests/${file}`));
    if (others.length > 0) fail(`the folder of manifests has ${JSON.stringify(others)}`);
    if (Deno.readTextFileSync(`${folder}/manifests/${name}`) !== text) fail("the hand-over file is another");
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

  // What a bad bundle has left (the start of a blob, to be gone on with) must not spoil the good one.
  async #checkRetry(folder: string, { seed, before, isRetried }: BundleCase): Promise<void> {
    if (!isRetried && listNames(`${folder}/data/ingest`).every((name) => name.endsWith(".lock"))) return;
    if (seed.needsBase && before === "nothing") return;
    const install = () => withinTime(this.#install(folder, tarOf(seed), { force: true }));
    try {
      const result = await install().catch((error) => {
        // That the start of a blob was a bad one's is only known at the blob's end, when a stream is past it.
        if (error instanceof Error && error.name === "StalePartialError") return install();
        throw error;
      });
      if (!result.isImported) fail("the good bundle was not imported afterwards");
    } catch (error) {
      fail(`the good bundle cannot be imported afterwards: ${String(error)}`);
    }
    checkStore(`${folder}/data`, fail);
  }

  #checkAround(folder: string): void {
    const expected = ["before", "canary", "case"];
    const found = [...Deno.readDirSync(this.#root)].map(({ name }) => name).filter((name) => !expected.includes(name));
    if (found.length > 0) fail(`${JSON.stringify(found)} came beside the folder of the case`);
    const inside = listNames(folder).filter((name) => name !== "data" && name !== "manifests");
    if (inside.length > 0) fail(`${JSON.stringify(inside)} came beside the data folder`);
    const left = listNames(`${folder}/data/ingest`).filter((name) => !KEPT.test(name));
    if (left.length > 0) fail(`${JSON.stringify(left)} were left in the folder of temporary files`);
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
    return fail(`it failed with an error that nobody knows: ${text}`);
  }
  const message = describeError(error);
  // deno-lint-ignore no-control-regex
  const isLine = /^Cannot [^\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+$/.test(message);
  if (!isLine || message.length > MAX_MESSAGE) fail(`its message is no line to be shown: ${JSON.stringify(message)}`);
  return name as BundleOutcome;
}

// All that a client, the cluster or a command that lists would see.
function readVisible(folder: string): Map<string, string> {
  const isVisible = (name: string) => {
    // A package of which only some parts came is known, and not seen.
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
  const timer = setTimeout(() => reject(new FindingError("it did not end")), HANG_MILLISECONDS);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
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
