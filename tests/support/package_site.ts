import type { InstallResult } from "../../lib/install/install_result.ts";
import { PackageRecords } from "../../lib/install/package_records.ts";
import { removePackage, type RemoveResult } from "../../lib/install/remove_package.ts";
import { rollBackPackage } from "../../lib/install/rollback_package.ts";
import type { Digest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { streamOf } from "./content.ts";
import { installBundle } from "./install_bundle.ts";
import { idOf } from "./kubepkg.ts";
import { TestFolder } from "./test_folder.ts";

/** A data folder in which packages are installed, without a hand-over. */
export class PackageSite implements AsyncDisposable {
  readonly data: string;
  readonly store: DiskStore;
  readonly records: PackageRecords;
  readonly #folder: TestFolder;

  private constructor(folder: TestFolder) {
    this.#folder = folder;
    this.data = folder.path;
    this.store = new DiskStore(this.data);
    this.records = new PackageRecords(this.data);
  }

  static async create(): Promise<PackageSite> {
    return new PackageSite(await TestFolder.create());
  }

  async install(bundle: Uint8Array<ArrayBuffer>): Promise<InstallResult> {
    return await installBundle(streamOf(bundle), this);
  }

  async remove(name: string, { dryRun = false } = {}): Promise<RemoveResult> {
    const { records, store } = this;
    return await removePackage(idOf(name), { records, store, openHandover: () => undefined, dryRun });
  }

  async rollBack(name: string): Promise<void> {
    const { records, store } = this;
    await rollBackPackage(idOf(name), { records, store, openHandover: () => undefined });
  }

  /** The digest of a tag, as another process sees it. */
  async digestOf(repository: string, tag: string): Promise<Digest | undefined> {
    return (await new DiskStore(this.data).resolve(repository, tag))?.digest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder[Symbol.asyncDispose]();
  }
}
