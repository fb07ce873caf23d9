import { removeIfPresent } from "../files/durable.ts";
import { parentOf } from "../files/parent_of.ts";
import type { PackageId } from "../kubepkg/package_id.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { isJsonObject } from "../oci/json.ts";
import { formatRecord, readRecordFile } from "./records/record_file.ts";
import { RecordWriter } from "./records/record_writer.ts";

/** An archive of images that crpe wrote. */
export interface OwnedArchive {
  /** Absolute. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** The number of bytes of its documents, and their digest. With the size they identify the file. */
  readonly headSize: number;
  readonly headDigest: Digest;
}

/** What is recorded of the archive with a package's images. */
export interface ImageFileRecord {
  /** The folder that archives of the package are written into. Absolute. */
  readonly folder: string;
  /** The platforms of the images, as `linux/arm64`. */
  readonly platforms: readonly string[];
  /** The archive of the installed release; after an interruption also an earlier or a later one. */
  readonly files: readonly OwnedArchive[];
  /** The identity of the release in the archive (`digestOfIdentity`); absent while the archive is being written. */
  readonly release?: Digest;
}

const LIMITS = { maxBytes: 1024 * 1024, maxDepth: 16 };

/** The records of image archives, in `<data>/kubepkg/.images/<namespace>/<name>/record.json`. */
export class ImageFileRecords {
  readonly #data: string;
  readonly #writer: RecordWriter;

  /** @param data the data folder */
  constructor(data: string) {
    this.#data = data;
    this.#writer = new RecordWriter(data);
  }

  /** Returns the record of a package; `undefined` if it has no archive. @throws {RecordError} when it cannot be read */
  async read(id: PackageId): Promise<ImageFileRecord | undefined> {
    const path = this.#path(id);
    return await readRecordFile(path, LIMITS, (document) => parseRecord(document, path));
  }

  /** Writes a record durably. */
  async write(id: PackageId, record: ImageFileRecord): Promise<void> {
    await this.#writer.write(this.#path(id), formatRecord(record));
  }

  /** Removes the record of a package. */
  async remove(id: PackageId): Promise<void> {
    const path = this.#path(id);
    await removeIfPresent(path);
    // The folder of the namespace stays if it has other packages.
    const folder = parentOf(path);
    await removeIfPresent(folder).catch(() => {});
    await removeIfPresent(parentOf(folder)).catch(() => {});
  }

  #path({ name, namespace }: PackageId): string {
    return `${this.#data}/kubepkg/.images/${namespace}/${name}/record.json`;
  }
}

function parseRecord(json: unknown, path: string): ImageFileRecord {
  const { folder, platforms, files, release } = isJsonObject(json) ? json : {};
  const isText = (value: unknown): value is string => typeof value === "string";
  if (
    isText(folder) && Array.isArray(platforms) && platforms.every(isText) && Array.isArray(files) &&
    files.every(isOwnedArchive)
  ) return { folder, platforms, files, ...(isDigest(release) ? { release } : {}) };
  throw new CorruptError(cannot(`use ${path}`, "it is not valid"));
}

function isOwnedArchive(value: unknown): value is OwnedArchive {
  return isJsonObject(value) && typeof value.path === "string" && isDigest(value.headDigest) &&
    [value.size, value.headSize].every((size) => Number.isSafeInteger(size) && (size as number) >= 0);
}
