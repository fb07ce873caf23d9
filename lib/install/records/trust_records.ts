import * as v from "valibot";
import { listFolder } from "../../files/if_present.ts";
import { formatRecord, readRecordFile } from "./record_file.ts";
import type { RecordWriter } from "./record_writer.ts";
import { type PackageId, packageIdOf } from "../../kubepkg/package_id.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import { digestOfIdentity } from "../../kubepkg/version.ts";
import { removeIfPresent } from "../../files/durable.ts";
import type { TrustVerdict } from "../../signature/trust_policy.ts";

/** The evidence of a release's origin, with which it can be verified again. */
interface TrustRecord {
  readonly verdict: TrustVerdict;
  /** The text of `kubepkg.json`, which was signed. */
  readonly document: string;
  /** The text of `kubepkg.json.sig`. */
  readonly signatures: string;
}

const LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 16 };
const FOLDER = "trust";
const Record = v.object({
  verdict: v.object({
    state: v.picklist(["trusted", "signed", "unsigned"]),
    keys: v.array(v.object({
      id: v.string(),
      entry: v.exactOptional(v.string()),
      algorithm: v.exactOptional(v.picklist(["ed25519", "p256"])),
    })),
  }),
  document: v.string(),
  signatures: v.string(),
});

/** The evidence of signed releases, a file for each in the folder of its package. */
export class TrustRecords {
  readonly #writer: RecordWriter;

  constructor(writer: RecordWriter) {
    this.#writer = writer;
  }

  /** Reads the evidence of a release. @throws {RecordError} when the record cannot be read */
  async read(kubepkg: KubePkg): Promise<TrustRecord | undefined> {
    return await readRecordFile(this.#pathOf(kubepkg), LIMITS, (document) => v.parse(Record, document));
  }

  /** Records the evidence of a release. The caller holds the installation lock. */
  async write(kubepkg: KubePkg, record: TrustRecord): Promise<void> {
    await this.#writer.write(this.#pathOf(kubepkg), formatRecord(record));
  }

  /** Removes the evidence of all releases of a package. */
  async remove(id: PackageId): Promise<void> {
    const folder = `${this.#writer.folders.pathOf(id)}/${FOLDER}`;
    for (const { name } of await listFolder(folder) ?? []) await removeIfPresent(`${folder}/${name}`);
    await removeIfPresent(folder);
  }

  #pathOf(kubepkg: KubePkg): string {
    const [, hex] = digestOfIdentity(kubepkg).split(":");
    return `${this.#writer.folders.pathOf(packageIdOf(kubepkg))}/${FOLDER}/${hex}.json`;
  }
}
