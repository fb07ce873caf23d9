import { writePrivateFile } from "../../store/private_file.ts";
import { PackageFolders } from "./package_folders.ts";
import { restrictFolder } from "./restrict_folder.ts";
import type { SharedRecords } from "./shared_records.ts";

/** Writes the records of a data folder. */
export class RecordWriter {
  /** The folders of the packages. */
  readonly folders: PackageFolders;
  readonly #data: string;
  readonly #shared: SharedRecords | undefined;

  /**
   * @param data the data folder
   * @param shared what the folder is a copy of, if other machines have the records, too
   */
  constructor(data: string, shared?: SharedRecords) {
    this.folders = new PackageFolders(data);
    this.#data = data;
    this.#shared = shared;
  }

  /**
   * Writes a record durably. Manifests may hold Secrets, so only the owner can read the file, and only the owner can
   * enter the folder of all records.
   */
  async write(path: string, text: string): Promise<void> {
    await this.change(path, async () => {
      await writePrivateFile(this.#data, path, text);
      await restrictFolder(this.folders.root);
    });
  }

  /** Changes the file of a record, also where other machines have it. */
  async change(path: string, run: () => Promise<void>): Promise<void> {
    if (this.#shared === undefined) await run();
    else await this.#shared.change(path, run);
  }
}
