import * as v from "valibot";
import type { PackageId } from "../../kubepkg/package_id.ts";
import { cannot, UntrustedError } from "../../oci/error.ts";
import { parsePublicDer, type PublicKey } from "../../signature/keys.ts";
import { formatRecord, readRecordFile, RecordError } from "./record_file.ts";
import type { RecordWriter } from "./record_writer.ts";

const LIMITS = { maxBytes: 65_536, maxDepth: 8 };
const Keys = v.object({ keys: v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(32)) });

/**
 * The keys that signed the first release of each package that was imported, in
 * `<data>/kubepkg/.trusted-keys/<name>[@<namespace>].json`.
 * They stay when the package is removed.
 */
export class FirstUseKeys {
  readonly #writer: RecordWriter;

  constructor(writer: RecordWriter) {
    this.#writer = writer;
  }

  /** Reads the keys of a package. @throws {UntrustedError} when the record is damaged */
  async read(id: PackageId): Promise<readonly PublicKey[] | undefined> {
    const path = this.#pathOf(id);
    try {
      return await readRecordFile(path, LIMITS, (document) => {
        return v.parse(Keys, document).keys.map((key) => parsePublicDer(Uint8Array.fromBase64(key), path));
      });
    } catch (cause) {
      if (!(cause instanceof RecordError)) throw cause;
      throw new UntrustedError(
        cannot(
          `read ${path}`,
          "it is damaged. Restore it, or delete it to trust the keys of the next import of the package",
        ),
        { cause },
      );
    }
  }

  /** Records the keys of a package. The caller holds the installation lock. */
  async write(id: PackageId, keys: readonly PublicKey[]): Promise<void> {
    await this.#writer.write(this.#pathOf(id), formatRecord({ keys: keys.map(({ der }) => der.toBase64()) }));
  }

  #pathOf(id: PackageId): string {
    const folder = this.#writer.folders.pathOf(id);
    return `${this.#writer.folders.root}/.trusted-keys/${folder.slice(folder.lastIndexOf("/") + 1)}.json`;
  }
}
