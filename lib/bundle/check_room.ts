import { describeShortage, formatSize } from "../bytes/format_size.ts";
import { type FileSystemRoom, readRoom } from "../files/free_bytes.ts";
import { cannot, NoSpaceError } from "../oci/error.ts";

/** A file that is about to be written. */
export interface PlannedFile {
  readonly path: string;
  /** Its size in bytes. */
  readonly size: number;
  /** How much of it an interrupted pack left, in bytes. */
  readonly present: number;
}

/** Options of `checkRoom`. */
interface CheckRoomOptions {
  /** What to do about a file that is too large for FAT. By default, that a bundle can be split. */
  readonly advice?: string | undefined;
  readonly read?: (folder: string) => Promise<FileSystemRoom | undefined>;
}

/**
 * Checks, before anything is written, that a folder has room for files.
 *
 * @throws {NoSpaceError} when it does not; the message has the numbers
 */
export async function checkRoom(
  folder: string,
  files: readonly PlannedFile[],
  { advice = "use --split=4095MiB, or a stick with exFAT", read = readRoom }: CheckRoomOptions = {},
): Promise<void> {
  const room = await read(folder);
  if (room === undefined) return;
  const { free, maxFile = Infinity } = room;
  const large = files.find(({ size }) => size > maxFile);
  if (large !== undefined) {
    throw new NoSpaceError(
      cannot(
        `write ${large.path}`,
        `it has ${formatSize(large.size)}, and the file system of ${folder} (FAT) takes files ` +
          `of less than ${formatSize(maxFile + 1)}`,
        advice,
      ),
    );
  }
  const needed = files.reduce((sum, { size, present }) => sum + Math.max(0, size - present), 0);
  if (needed <= free) return;
  const what = files.length === 1 ? files[0]!.path : `${files.length} parts`;
  throw new NoSpaceError(cannot(`write ${what}`, describeShortage(needed, free, folder)));
}
