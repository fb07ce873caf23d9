import * as v from "valibot";
import type { PackageId } from "../../kubepkg/package_id.ts";
import { parsePublicDer, type PublicKey } from "../../signature/keys.ts";
import { PackageFolders } from "./package_folders.ts";
import { formatRecord, readRecordFile, RecordWriter } from "./record_file.ts";

const LIMITS = { maxBytes: 65_536, maxDepth: 8 };
const Keys = v.object({ keys: v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(32)) });

/**
 * The keys that signed the first release of each package that was imported: `<data>/trusted-keys/<name>[@<namespace>].json`.
 * They stay when the package is removed.
 */
export class FirstUseKeys {
  readonly #data: string;
  readonly #folders: PackageFolders;
  readonly #writer: RecordWriter;

  /** @param data the data folder */
  constructor(data: string) {
    this.#data = data;
    this.#folders = new PackageFolders(data);
    this.#writer = new RecordWriter(data);
  }

  /** Reads the keys of a package. @throws {RecordError} when the record cannot be read */
  async read(id: PackageId): Promise<readonly PublicKey[] | undefined> {
    const path = this.#pathOf(id);
    return await readRecordFile(path, LIMITS, (document) => {
      return v.parse(Keys, document).keys.map((key) => parsePublicDer(Uint8Array.fromBase64(key), path));
    });
  }

  /** Records the keys of a package. The caller holds the installation lock. */
  async write(id: PackageId, keys: readonly PublicKey[]): Promise<void> {
    await this.#writer.write(this.#pathOf(id), formatRecord({ keys: keys.map(({ der }) => der.toBase64()) }));
  }

  #pathOf(id: PackageId): string {
    const folder = this.#folders.pathOf(id);
    return `${this.#data}/trusted-keys/${folder.slice(folder.lastIndexOf("/") + 1)}.json`;
  }
}
