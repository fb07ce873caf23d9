import { formatPackageId, formatRelease } from "../kubepkg/package_id.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { isJsonObject } from "../oci/json.ts";
import { formatReference, parseReference, type Reference, repositoryOf, withTagOrDigest } from "../oci/reference.ts";
import { tagLinkPath } from "../store/layout.ts";
import { readLinkText } from "../store/links.ts";
import { ManifestReader } from "../store/manifest_reader.ts";
import { markReachable } from "../store/reachable.ts";
import { repositoryNames } from "../store/repository_names.ts";
import { collectPackageDigests } from "./package_digests.ts";
import { PackageRecords } from "./package_records.ts";
import { formatRecord, readRecordFile, RecordError } from "./records/record_file.ts";
import { RecordWriter } from "./records/record_writer.ts";

const LIMITS = { maxBytes: 16 * 1024 * 1024, maxDepth: 4 };

/** The pinned images, in `<data>/kubepkg/.pins.json`: a size limit does not evict them. A pin need not be in the store. */
export class ImagePins {
  /** The file of the record. */
  readonly path: string;
  readonly #writer: RecordWriter;

  /** @param data the data folder */
  constructor(data: string) {
    this.path = `${data}/kubepkg/.pins.json`;
    this.#writer = new RecordWriter(data);
  }

  /**
   * Lists the pinned references, sorted.
   *
   * @throws {RecordError} when the system refuses to open the file, which may be intact
   * @throws {CorruptError} when it is damaged
   */
  async list(): Promise<string[]> {
    try {
      return await readRecordFile(this.path, LIMITS, parsePins) ?? [];
    } catch (error) {
      if (!(error instanceof RecordError) || !error.isDamaged) throw error;
      const { action, reason } = error;
      const advice = "remove the file, and pin the images again (crpe images pin)";
      throw new CorruptError({ action, reason, advice }, { cause: error });
    }
  }

  /** Replaces the list durably. The caller has held the installation lock since it read the list. */
  async write(references: Iterable<string>): Promise<void> {
    await this.#writer.write(this.path, formatRecord({ images: [...new Set(references)].sort() }));
  }
}

/** Returns the key of a pin: the reference by tag, or by digest where there is no tag. */
export function pinOf(reference: Reference): string {
  return formatReference(withTagOrDigest(reference));
}

/**
 * Collects the digests of all content that is never evicted: what packages need, and the content of pinned images.
 *
 * @param data the data folder
 * @throws {CorruptError} when a record cannot be read, because the content that it needs is not known then
 */
export async function collectKeptDigests(
  data: string,
  options?: Parameters<typeof collectPackageDigests>[1],
): Promise<Set<Digest>> {
  const kept = await collectPackageDigests(new PackageRecords(data), options);
  const pins = (await new ImagePins(data).list()).map(parseReference);
  if (pins.length === 0) return kept;
  const roots = pins.flatMap((pin) => {
    const { tag, digest } = pin;
    if (tag === undefined) return digest ?? [];
    const links = repositoryNames(repositoryOf(pin)).map((name) => readLinkText(`${data}/${tagLinkPath(name, tag)}`));
    return links.filter(isDigest);
  });
  const reader = new ManifestReader(data);
  for (const digest of await markReachable({ roots, read: (it) => reader.read(it) })) kept.add(digest);
  return kept;
}

/** An image that something needs, so that it is not removed. */
interface ImageUser {
  /** Why it must stay: `the package shop/web@1.2.0 needs it`, `it is pinned`. */
  readonly what: string;
  /** What to do first. */
  readonly advice: string;
}

/** Finds what needs an image: a pin, or a package that is installed, kept for a rollback, or pending. */
export async function findImageUser(
  data: string,
  reference: Reference,
  digest: Digest | undefined,
): Promise<ImageUser | undefined> {
  const pin = pinOf(reference);
  if ((await new ImagePins(data).list()).includes(pin)) {
    return { what: "it is pinned", advice: `crpe images unpin ${pin} releases it` };
  }
  return await findPackageUser(new PackageRecords(data), reference, digest);
}

/** Finds the package that needs an image: one that is installed, kept for a rollback, or pending. */
export async function findPackageUser(
  records: PackageRecords,
  reference: Reference,
  digest: Digest | undefined,
): Promise<ImageUser | undefined> {
  const kept = await collectPackageDigests(records);
  if (digest === undefined || !kept.has(digest)) return undefined;
  const repository = repositoryOf(reference);
  for (const id of await records.listIds()) {
    const installed = await records.read(id);
    const releases = [...installed === undefined ? [] : [installed], ...await records.listHistory(id)];
    for (const release of releases) {
      const { digests = [] } = release.status ?? {};
      if (!digests.some((line) => line.digest === digest && line.name === repository)) continue;
      return {
        what: `the package ${formatRelease(release)} needs it`,
        advice: `crpe packages remove ${formatPackageId(id)} releases it`,
      };
    }
  }
  // A pending package, or one that has the same content in another repository.
  return undefined;
}

function parsePins(document: unknown): string[] {
  const images: unknown = isJsonObject(document) ? document.images : undefined;
  if (!Array.isArray(images) || !images.every((it) => typeof it === "string")) {
    throw new CorruptError("it is not a list of images");
  }
  return images.map((it) => pinOf(parseReference(it))).sort();
}
