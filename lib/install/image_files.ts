import { headDigestOf, type ImageArchive, planImageArchive } from "../bundle/image_archive.ts";
import { describeShortage } from "../bytes/format_size.ts";
import type { ContentStore } from "../content/source.ts";
import { commitFile, removeIfPresent, syncFolder } from "../files/durable.ts";
import { ifPresent, isAbsent } from "../files/if_present.ts";
import { parentOf } from "../files/parent_of.ts";
import { freeBytesOf } from "../files/free_bytes.ts";
import { writeAll } from "../files/write_all.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { packageIdOf } from "../kubepkg/package_id.ts";
import { digestOfIdentity } from "../kubepkg/version.ts";
import { computeDigest } from "../oci/digest.ts";
import { byForce, cannot, CrpeError, NoSpaceError, RefusedError } from "../oci/error.ts";
import { formatPlatform, parsePlatform, type Platform } from "../oci/platform.ts";
import { absentIfBroken } from "./records/record_file.ts";
import type { ImageFileRecord, ImageFileRecords, OwnedArchive } from "./image_file_records.ts";
import { readInstalledImages } from "./package_images.ts";

/** Where archives of images are written. */
export interface ImageFilesOptions {
  readonly store: ContentStore;
  readonly records: ImageFileRecords;
  /** The folder; by default the one that the record of a package names. Packages without a record get no archive then. */
  readonly folder?: string | undefined;
  /** The platforms to write; used with `folder`. Without it, those in the record. */
  readonly platforms?: readonly Platform[] | undefined;
  /** Replaces a file that crpe did not write. */
  readonly force?: boolean | undefined;
  /** The free space in a folder, in bytes; `undefined` if it is not known. */
  readonly freeBytes?: (folder: string) => Promise<number | undefined>;
}

/** An archive that was written or removed. */
export interface ImageFileResult {
  readonly path: string;
  /** The references of images that are not in the archive, because they are for other platforms. */
  readonly skipped?: readonly string[];
  /** Set if nothing was done; the reason, for a warning. */
  readonly note?: string;
}

interface Place {
  readonly folder: string;
  readonly platforms: readonly Platform[];
  readonly record: ImageFileRecord | undefined;
}

const MODE = 0o600;
/** Longest file name, without `.tar` and the dot of the temporary file, in bytes. */
const MAX_NAME = 200;

/**
 * Writes the images of packages into a folder from which k3s loads them when it starts (`agent/images`): one archive for
 * each package, `<name>-<version>.tar`. It is replaced when the package is upgraded or rolled back, and removed with it. The
 * caller holds the installation lock.
 */
export class ImageFiles {
  readonly #options: ImageFilesOptions;

  constructor(options: ImageFilesOptions) {
    this.#options = options;
  }

  /**
   * Returns why the archive of a package cannot be written, as far as it is known before its content is in the store.
   *
   * @param bytesToWrite the bytes that the import writes into the store, which may be on the same file system
   */
  async findRefusal(kubepkg: KubePkg, bytesToWrite: number): Promise<CrpeError | undefined> {
    const place = await this.#placeOf(kubepkg);
    // A folder that only the record names may be that of another machine or container.
    if (place === undefined || this.#options.folder === undefined) return undefined;
    const { metadata: { name }, spec: { version } } = kubepkg;
    const stat = await Deno.stat(place.folder).catch(() => undefined);
    if (!stat?.isDirectory) {
      return new CrpeError(
        cannot(
          `write the images of ${name}@${version}`,
          `there is no folder ${place.folder}`,
          "create it with mkdir -p",
        ),
      );
    }
    const path = pathOf(kubepkg, place.folder);
    if (!await this.#isReplaceable(path, place.record)) return refuseForeign(kubepkg, path);
    return await this.#refuseSpace(kubepkg, place, bytesToWrite + estimateSize(kubepkg, place.platforms));
  }

  /** Checks that the folder is writable, before anything is written. @throws {Error} when it is not */
  async prepare(): Promise<void> {
    const { folder } = this.#options;
    if (folder === undefined) return;
    const path = `${folder}/.probe.tmp`;
    (await Deno.open(path, { write: true, create: true })).close();
    await removeIfPresent(path);
  }

  /**
   * Reports whether the folder has the archive of exactly this release. True if no folder was asked for: k3s has loaded an
   * archive that was removed.
   */
  async isWritten(kubepkg: KubePkg): Promise<boolean> {
    const place = this.#options.folder === undefined ? undefined : await this.#placeOf(kubepkg);
    if (place === undefined) return true;
    const { release, folder, platforms, files } = place.record ?? {};
    const isRecorded = release === digestOfIdentity(kubepkg) && folder === place.folder &&
      platforms?.join() === place.platforms.map(formatPlatform).join();
    for (const file of files ?? []) if (!await isFile(file)) return false;
    return isRecorded;
  }

  /**
   * Writes the archive of an installed package from the content of the store, and removes that of an earlier release. A
   * package without images for the platforms has no archive.
   *
   * @returns `undefined` if the package has no archive
   * @throws {RefusedError} when a file of that name was not written by crpe
   * @throws {NoSpaceError} when there is not enough space
   * @throws {IncompleteError} when the store misses content
   */
  async write(kubepkg: KubePkg): Promise<ImageFileResult | undefined> {
    const place = await this.#placeOf(kubepkg);
    if (place === undefined) return undefined;
    const { metadata: { name }, spec: { version } } = kubepkg;
    const path = pathOf(kubepkg, place.folder);
    if (this.#options.folder === undefined && !await isFolder(place.folder)) {
      return {
        path,
        note: `the images of ${name}@${version} were not written: there is no folder ${place.folder} here`,
      };
    }
    if (!await this.#isReplaceable(path, place.record)) throw refuseForeign(kubepkg, path);
    const { store, records } = this.#options;
    const graphs = await readInstalledImages(store, kubepkg, `write the images of ${name}@${version}`);
    const images = graphs.filter(({ subject }) => subject === undefined);
    const archive = await planImageArchive(images, store, place.platforms);
    const refusal = await this.#refuseSpace(kubepkg, place, archive.size);
    if (refusal !== undefined) throw refusal;
    const file = { path, size: archive.size, headSize: archive.head.length, headDigest: headDigestOf(archive) };
    const files: OwnedArchive[] = archive.images.length === 0 ? [] : [file];
    const record = { folder: place.folder, platforms: place.platforms.map(formatPlatform) };
    const earlier = place.record?.files ?? [];
    // Recorded before and after, so that the files of an interrupted import are known.
    await records.write(packageIdOf(kubepkg), { ...record, files: [...earlier, ...files] });
    if (files.length > 0) await writeArchive(path, archive);
    for (const old of earlier) {
      if ((files.length === 0 || old.path !== path) && await isFile(old)) await removeIfPresent(old.path);
    }
    await records.write(packageIdOf(kubepkg), { ...record, files, release: digestOfIdentity(kubepkg) });
    const { skipped } = archive;
    if (files.length > 0) return { path, skipped };
    return skipped.length === 0 ? undefined : { path, note: `no image of ${name}@${version} is for this platform` };
  }

  async #placeOf(kubepkg: KubePkg): Promise<Place | undefined> {
    const { folder, platforms, records, force } = this.#options;
    const record = await records.read(packageIdOf(kubepkg)).catch((error) => {
      if (!force) throw error;
      return absentIfBroken(error);
    });
    if (folder !== undefined) {
      return { folder: await Deno.realPath(folder).catch(() => folder), platforms: platforms ?? [], record };
    }
    return record && { folder: record.folder, platforms: record.platforms.map(parsePlatform), record };
  }

  async #isReplaceable(path: string, record: ImageFileRecord | undefined): Promise<boolean> {
    if (this.#options.force || !await exists(path)) return true;
    for (const file of record?.files ?? []) if (file.path === path && await isFile(file)) return true;
    return false;
  }

  async #refuseSpace(kubepkg: KubePkg, { folder }: Place, needed: number): Promise<NoSpaceError | undefined> {
    const free = await (this.#options.freeBytes ?? freeBytesOf)(folder);
    if (free === undefined || needed <= free) return undefined;
    const { metadata: { name }, spec: { version } } = kubepkg;
    return new NoSpaceError(
      cannot(`write the images of ${name}@${version}`, describeShortage(needed, free, folder)),
    );
  }
}

/**
 * Removes the archive of a package, and its record. A file that was changed since crpe wrote it is left alone.
 *
 * @param dryRun only says which file would be removed
 * @returns `undefined` if the package has no archive
 */
export async function removeImageFile(
  records: ImageFileRecords,
  kubepkg: KubePkg,
  { dryRun = false } = {},
): Promise<ImageFileResult | undefined> {
  const record = await records.read(packageIdOf(kubepkg));
  let result: ImageFileResult | undefined;
  for (const file of record?.files ?? []) {
    const { path } = file;
    if (await isFile(file)) {
      if (!dryRun) {
        await removeIfPresent(path);
        await syncFolder(parentOf(path));
      }
      result ??= { path };
    } else if (await exists(path)) {
      result = { path, note: `${path} was changed since crpe wrote it, and is left alone` };
    }
  }
  if (!dryRun) await records.remove(packageIdOf(kubepkg));
  return result;
}

/** The path of a package's archive. Neither a name nor a namespace has an `@`. */
function pathOf({ metadata: { name, namespace }, spec: { version } }: KubePkg, folder: string): string {
  const text = `${namespace === "default" ? name : `${name}@${namespace}`}-${version}`;
  const hash = computeDigest(text).slice("sha256:".length, "sha256:".length + 10);
  return `${folder}/${text.length <= MAX_NAME ? text : `${text.slice(0, MAX_NAME)}-${hash}`}.tar`;
}

// Before the manifests are known: everything that is declared for one of the platforms, or for no platform alone.
function estimateSize({ status }: KubePkg, platforms: readonly Platform[]): number {
  const wanted = new Set(platforms.map(formatPlatform));
  const lines = (status?.digests ?? []).filter(({ platform }) => platform === undefined || wanted.has(platform));
  const sizes = new Map(lines.map(({ digest, size }) => [digest, size]));
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

function refuseForeign({ metadata: { name }, spec: { version } }: KubePkg, path: string): RefusedError {
  return new RefusedError(
    cannot(
      `write the images of ${name}@${version}`,
      `${path} exists, and crpe did not write it for this package`,
      "move it away",
    ),
    byForce("--force replaces it"),
  );
}

// The temporary name is always the same, so that the file of a crash does not stay. k3s ignores its ending.
async function writeArchive(path: string, archive: ImageArchive): Promise<void> {
  const slash = path.lastIndexOf("/");
  const temporary = `${path.slice(0, slash)}/.${path.slice(slash + 1)}.tmp`;
  await removeIfPresent(temporary);
  const file = await Deno.open(temporary, { write: true, createNew: true, mode: MODE });
  try {
    try {
      await writeAll(file, archive.head);
      for await (const piece of archive.readBody()) await writeAll(file, piece);
      await file.syncData();
    } finally {
      file.close();
    }
    await commitFile(temporary, path);
  } catch (error) {
    await removeIfPresent(temporary);
    throw error;
  }
}

/** Reports whether a file is the recorded one: its size, and the documents at its start. */
async function isFile({ path, size, headSize, headDigest }: OwnedArchive): Promise<boolean> {
  try {
    using file = await Deno.open(path);
    const stat = await file.stat();
    if (!stat.isFile || stat.size !== size || headSize > size) return false;
    const head = new Uint8Array(headSize);
    for (let at = 0; at < headSize;) {
      const got = await file.read(head.subarray(at));
      if (got === null) return false;
      at += got;
    }
    return computeDigest(head) === headDigest;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return await ifPresent(Deno.lstat(path)) !== undefined;
}

async function isFolder(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isDirectory }) => isDirectory, () => false);
}
