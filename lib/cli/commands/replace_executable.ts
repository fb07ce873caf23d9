import { createHash } from "node:crypto";
import { decompress } from "../../archive/decompress.ts";
import { TarReader } from "../../archive/tar_reader.ts";
import { CHUNK_BYTES, drain } from "../../bytes/file_stream.ts";
import { formatSize } from "../../bytes/format_size.ts";
import { describeOwner } from "../../files/describe_owner.ts";
import { commitFile, removeIfPresent } from "../../files/durable.ts";
import { isFileAt, tryLockFile } from "../../files/file_lock.ts";
import { ifPresent } from "../../files/if_present.ts";
import { isNoSpace } from "../../files/no_space.ts";
import { isNotWritable } from "../../files/not_writable.ts";
import { writeAll } from "../../files/write_all.ts";
import { cannot, CorruptError, CrpeError, NoSpaceError, RefusedError } from "../../oci/error.ts";
import type { ReleaseFile } from "../wiring/release_files.ts";

/** Largest file of a release that is read, in bytes: an executable has about 100 MiB. */
const MAX_BYTES = 1024 * 1024 * 1024;
const DPKG_LIST = "/var/lib/dpkg/info/crpe.list";

/**
 * Checks that this user may replace an executable, and that no other program manages it.
 *
 * @param isForced whether the programs that manage files are ignored
 * @throws {RefusedError} when the executable belongs to a package of dpkg or npm
 * @throws {Error} when its folder cannot be written
 */
export async function checkReplaceable(path: string, isForced: boolean): Promise<void> {
  const manager = isForced ? undefined : await findManager(path);
  if (manager !== undefined) throw new RefusedError(cannot(`upgrade ${path}`, `${manager}, or use --force`));
  using _file = await openTemporary(path);
  await removeIfPresent(temporaryPath(path));
}

/**
 * Replaces an executable with that of a release. Until its file is complete and has the right checksum, nothing is changed.
 *
 * @param onProgress receives the number of bytes that were read
 * @returns the path of the old executable, which is kept
 * @throws {CorruptError} when the file of the release does not have its checksum, or no executable
 */
export async function replaceExecutable(
  path: string,
  release: ReleaseFile,
  onProgress: (bytes: number) => void,
): Promise<string> {
  const [packed, unpacked, old] = [temporaryPath(path), `${path}.new`, `${path}.old`];
  // The lock is held until everything temporary is removed: without it, that belongs to another upgrade.
  using file = await openTemporary(path);
  try {
    await download(file, release, onProgress);
    await unpack(file, unpacked, release.file);
    await takeOwner(path, unpacked);
    await keepOld(path, old);
    await commitNew(unpacked, path, old);
    return old;
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    throw new NoSpaceError(cannot(`upgrade ${path}`, "no space left on its disk", "nothing was changed"), {
      cause: error,
    });
  } finally {
    await removeIfPresent(unpacked);
    await removeIfPresent(packed);
  }
}

async function findManager(path: string): Promise<string | undefined> {
  if (/[\\/]node_modules[\\/]/.test(path)) return "npm manages it; install the new npm packages";
  const list = await Deno.readTextFile(DPKG_LIST).catch(() => "");
  return list.split("\n").includes(path) ? "dpkg manages it; install the new .deb" : undefined;
}

function temporaryPath(path: string): string {
  return `${path}.download`;
}

// The lock keeps a second upgrade away. What an interrupted one left is overwritten.
async function openTemporary(path: string): Promise<Deno.FsFile> {
  const temporary = temporaryPath(path);
  let file: Deno.FsFile;
  try {
    file = await Deno.open(temporary, { read: true, write: true, create: true });
  } catch (error) {
    if (!isNotWritable(error)) throw error;
    throw new CrpeError(cannot(`upgrade ${path}`, describeOwner(temporary).text, "run as that user"), {
      cause: error,
    });
  }
  const isLocked = await tryLockFile(file, temporary);
  if (isLocked && isFileAt(temporary, file)) return file;
  file.close();
  const reason = isLocked ? `${temporary} is a link, or was just removed` : "another upgrade is in progress";
  throw new CrpeError(cannot(`upgrade ${path}`, reason));
}

async function download(file: Deno.FsFile, release: ReleaseFile, onProgress: (bytes: number) => void): Promise<void> {
  await file.truncate();
  const hash = createHash("sha256");
  let size = 0;
  await drain(await release.open(), async (chunk) => {
    size += chunk.length;
    if (size > MAX_BYTES) {
      throw new CorruptError(cannot(`use ${release.file}`, `it has more than ${formatSize(MAX_BYTES)}`));
    }
    hash.update(chunk);
    await writeAll(file, chunk);
    onProgress(size);
  });
  if (hash.digest("hex") === release.sha256) return;
  throw new CorruptError(cannot(`use ${release.file}`, "its checksum does not match", "nothing was changed"));
}

async function unpack(packed: Deno.FsFile, target: string, what: string): Promise<void> {
  await removeIfPresent(target);
  // What was verified is what is unpacked: the path may name another file by now.
  await packed.seek(0, Deno.SeekMode.Start);
  const { reader } = await decompress(readOpen(packed), what);
  const tar = new TarReader(reader, what);
  try {
    for (let entry = await tar.next(); entry !== undefined; entry = await tar.next()) {
      if (!/^package\/crpe(?:\.exe)?$/.test(entry.name)) continue;
      if (entry.size > MAX_BYTES) {
        throw new CorruptError(cannot(`use ${what}`, `its executable has ${formatSize(entry.size)}`));
      }
      using executable = await Deno.open(target, { write: true, createNew: true, mode: 0o755 });
      for (let chunk = await entry.read(CHUNK_BYTES); chunk !== undefined; chunk = await entry.read(CHUNK_BYTES)) {
        await writeAll(executable, chunk);
      }
      await executable.sync();
      return;
    }
    throw new CorruptError(cannot(`use ${what}`, "it has no executable"));
  } finally {
    await tar.cancel();
  }
}

// The file stays open.
function readOpen(file: Deno.FsFile): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const buffer = new Uint8Array(CHUNK_BYTES);
      const got = await file.read(buffer);
      if (got === null) controller.close();
      else controller.enqueue(buffer.subarray(0, got));
    },
  }, { highWaterMark: 0 });
}

async function takeOwner(from: string, to: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  const [wanted, now] = [await Deno.stat(from), await Deno.stat(to)];
  if (now.uid !== wanted.uid || now.gid !== wanted.gid) await Deno.chown(to, wanted.uid, wanted.gid);
  await Deno.chmod(to, wanted.mode! & 0o7777);
}

async function keepOld(path: string, old: string): Promise<void> {
  await removeIfPresent(old);
  // Windows renames a running executable, and does not replace it.
  if (Deno.build.os === "windows") return await Deno.rename(path, old);
  // With a link there is an executable at every moment. Some file systems have none.
  await Deno.link(path, old).catch(() => Deno.copyFile(path, old));
}

async function commitNew(unpacked: string, path: string, old: string): Promise<void> {
  try {
    await commitFile(unpacked, path);
  } catch (error) {
    // Where the old one was renamed, there is no executable now.
    if (await ifPresent(Deno.lstat(path)) === undefined) await Deno.rename(old, path);
    throw error;
  }
}
