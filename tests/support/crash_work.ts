import type { InstallResult } from "../../lib/install/install_result.ts";
import { PackageRecords } from "../../lib/install/package_records.ts";
import { FolderInUseError, takeDataFolder } from "../../lib/store/data_folder.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { readAll } from "./content.ts";
import { idOf } from "./kubepkg.ts";

// A process that is killed loads only the modules of its work: that is most of its time, and 311 are started.

/** The work of a process that is killed. */
export type CrashWork = "pull" | "import" | "upgrade" | "parts" | "rollback" | "remove";

/** The folders of the work. */
export interface CrashFolders {
  /** Contains the data folder and the folder of hand-over files. */
  readonly root: string;
  /** Contains the bundles. */
  readonly bundles: string;
}

/** The package of the bundles. */
export const PACKAGE = "line4";
/** The image that is pulled. */
export const PULLED = { repo: "registry.test/team/app", tag: "1.0" };

/**
 * Does the work, or the rest of it after a kill.
 *
 * @param report called for each result that is reported to a client or user
 */
export async function doWork(
  work: CrashWork,
  { root, bundles }: CrashFolders,
  report: (what: string) => void = () => {},
): Promise<InstallResult | undefined> {
  if (work === "pull") {
    await pull(`${root}/data`, report);
    return undefined;
  }
  if (work === "parts") {
    for (const number of [1, 2]) {
      await install(root, `${bundles}/1.part${number}.tgz`);
      report(`part ${number} is imported`);
    }
    return undefined;
  }
  if (work === "rollback" || work === "remove") {
    await change(root, work);
    report(`${work} is done`);
    return undefined;
  }
  const result = await install(root, `${bundles}/${work === "import" ? 1 : 2}.tgz`);
  report(`${work} is done`);
  return result;
}

async function pull(data: string, report: (what: string) => void): Promise<void> {
  const { PullThrough } = await import("../../lib/cache/pull_through.ts");
  const [{ FakeUpstream }, { multi }] = [await import("./fake_upstream.ts"), await import("./crash_images.ts")];
  const image = multi(1);
  const manifests = image.manifests.map(({ bytes, descriptor }) => ({ bytes, descriptor }));
  const blobs = [...image.blobs].map(([digest, bytes]) => {
    return { bytes, descriptor: { mediaType: "application/octet-stream", digest, size: bytes.length } };
  });
  const upstream = new FakeUpstream(...manifests, ...blobs);
  upstream.tags.set(PULLED.tag, image.root.digest);
  const blobSizes = new Map(blobs.map(({ descriptor: { digest, size } }) => [digest, size]));
  using _lock = await takeFolderSoon(data);
  const cache = new PullThrough({ store: new DiskStore(data), upstream });
  await cache.resolve(PULLED.repo, PULLED.tag);
  report("the tag is served");
  for (const { descriptor: { digest } } of manifests.toReversed()) {
    await cache.readManifest(PULLED.repo, digest);
    report(`manifest ${digest} is served`);
  }
  for (const { descriptor: { digest } } of blobs) {
    await readAll(await cache.openBlob(PULLED.repo, digest));
    // The client has the blob before it is synced. Only `crpe pull` reports it when it is.
    await cache.fetchBlob(PULLED.repo, { digest, size: blobSizes.get(digest)! });
    report(`blob ${digest} is stored`);
  }
}

async function install(root: string, bundle: string): Promise<InstallResult> {
  const { installBundle } = await import("./install_bundle.ts");
  const { FolderHandover } = await import("../../lib/install/handover/folder_handover.ts");
  const data = `${root}/data`;
  const file = await Deno.open(bundle);
  return await installBundle(file.readable, {
    store: new DiskStore(data),
    records: new PackageRecords(data),
    handover: new FolderHandover(`${root}/manifests`),
  });
}

async function change(root: string, work: "rollback" | "remove"): Promise<void> {
  const data = `${root}/data`;
  const records = new PackageRecords(data);
  // After a removal that was interrupted at its end, nothing is left to do.
  if (await records.read(idOf(PACKAGE)) === undefined) return;
  const { FolderHandover } = await import("../../lib/install/handover/folder_handover.ts");
  const handover = new FolderHandover(`${root}/manifests`, {
    addons: { readState: () => Promise.resolve({ state: "applied" }), listPresent: () => Promise.resolve([]) },
  });
  const options = { records, openHandover: () => handover };
  if (work === "rollback") {
    const { rollBackPackage } = await import("../../lib/install/rollback_package.ts");
    await rollBackPackage(idOf(PACKAGE), { ...options, store: new DiskStore(data), to: "1.0.0" });
  } else {
    const { removePackage } = await import("../../lib/install/remove_package.ts");
    await removePackage(idOf(PACKAGE), { ...options, store: new DiskStore(data) });
  }
}

/** Takes a data folder, of which a process that is just being started may hold a copy of this one's lock. */
export async function takeFolderSoon(data: string): Promise<Disposable | undefined> {
  for (let tries = 1;; tries++) {
    try {
      return await takeDataFolder(data);
    } catch (error) {
      if (!(error instanceof FolderInUseError) || tries === 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
