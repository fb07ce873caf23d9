import type { TarEntry, TarReader } from "../archive/tar_reader.ts";
import type { BundleSource } from "../bytes/byte_reader.ts";
import { cannot, CorruptError, type Failure } from "../oci/error.ts";
import { ENTRY_NAME, parseDeltaEntryName, parsePieceEntryName } from "./entry_names.ts";

/** Creates the error for a file that is an archive of another kind. It is not damaged: exit status 1, HTTP 422. */
export function otherArchive(failure: Failure): CorruptError {
  return new CorruptError(failure, { exit: 1 });
}

// By the first entry. docker names a folder, a config or a layer by 64 hex digits; later releases write an image layout.
const KINDS: readonly (readonly [RegExp, string])[] = [
  [
    /^(?:manifest\.json|repositories|(?:sha256:)?[0-9a-f]{64}(?:\.json|\.tar|\.tar\.gz|\/.*)?)$/,
    "this is a docker save archive, not a bundle: crpe load",
  ],
  [
    /^(?:oci-layout|index\.json|blobs\/.*)$/,
    "this is an image archive (docker save, podman save or OCI layout), not a bundle: crpe load",
  ],
  [/^[^/]+\/Chart\.yaml$/, "this is a Helm chart, not a bundle: helm template"],
];

// By the first bytes: containers and compressions that crpe does not read.
const OTHER_FORMATS: readonly (readonly [magic: readonly number[], kind: string, reader: string])[] = [
  [[0x50, 0x4b, 0x03, 0x04], "a zip archive", "unzip"],
  [[0x50, 0x4b, 0x05, 0x06], "a zip archive", "unzip"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], "compressed with xz", "xz -d"],
  [[0x42, 0x5a, 0x68], "compressed with bzip2", "bzip2 -d"],
  [[0x04, 0x22, 0x4d, 0x18], "compressed with lz4", "lz4 -d"],
  [[0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], "a 7z archive", "7z x"],
];

/**
 * Returns the error for a file that is neither a tar nor compressed with gzip or zstd.
 *
 * @param head its first bytes
 * @param what name of the file in errors
 * @param expected what it should be: `bundle`, `image archive`
 */
export function notATar(head: Uint8Array, what: string, expected: "bundle" | "image archive"): CorruptError {
  if (head.length === 0) return new CorruptError(cannot(`read ${what}`, "it is empty"));
  const format = OTHER_FORMATS.find(([magic]) => magic.every((byte, i) => head[i] === byte));
  if (format !== undefined) {
    const [, kind, reader] = format;
    return otherArchive(
      cannot(
        `read ${what}`,
        `it is ${kind}, which crpe does not read`,
        `if it has the ${expected}, unpack it first: ` +
          withFile(reader, what),
      ),
    );
  }
  const reason = `it is not ${expected === "bundle" ? "a" : "an"} ${expected} (neither gzip, zstd nor tar)`;
  const advice = String.fromCharCode(...head.subarray(0, 64)).trimStart().startsWith("{")
    ? `; crpe pack makes a bundle of a release: ${withFile("crpe pack", what)}`
    : "";
  return new CorruptError(cannot(`read ${what}`, `${reason}${advice}`));
}

/**
 * Returns the error for a file whose first entry is not `kubepkg.json`. A well-known archive is named for what it is,
 * with the command that reads it.
 *
 * @param firstEntry its name; `undefined` if the file has none
 * @param what name of the file in errors
 */
export function notABundle(firstEntry: string | undefined, what: string): CorruptError {
  if (firstEntry === undefined) {
    return otherArchive(cannot(`use ${what}`, `it has no files, not ${ENTRY_NAME.kubepkg}`));
  }
  const kind = KINDS.find(([pattern]) => pattern.test(firstEntry));
  if (kind !== undefined) return otherArchive(cannot(`use ${what}`, withFile(kind[1], what)));
  const entry = JSON.stringify(firstEntry.slice(0, 200));
  return otherArchive(
    cannot(
      `use ${what}`,
      `this is a tar archive, but not a bundle: its first entry is ${entry}, not ${ENTRY_NAME.kubepkg}`,
    ),
  );
}

// What a bundle has beside `kubepkg.json`, also in one folder.
const BUNDLE_ENTRY =
  /^((?:[^/]+\/)?)(?:(?:blobs|deltas|pieces)\/.+|index\.json|manifest\.json|oci-layout|kubepkg\.json(?:\.sig)?)$/;

const [MOST_ENTRIES, MOST_BYTES] = [1000, 256 * 1024 * 1024];

/**
 * As `notABundle`, and searches the begin of a file for a `kubepkg.json` that is not its first entry: `tar czf FILE *` puts
 * it behind the blobs. A stream is not read on, which may be a long upload.
 *
 * @param tar its first entry is open
 */
export async function explainOther(
  tar: Pick<TarReader, "next">,
  first: Pick<TarEntry, "name" | "size"> | undefined,
  { source, what }: { readonly source: BundleSource; readonly what: string },
): Promise<CorruptError> {
  const firstEntry = first?.name;
  const other = notABundle(firstEntry, what);
  const [, folder] = BUNDLE_ENTRY.exec(firstEntry ?? "") ?? [];
  if (folder === undefined || source instanceof ReadableStream) return other;
  const name = `${folder}${ENTRY_NAME.kubepkg}`;
  let [entries, bytes] = [0, 0];
  try {
    for (let at = first; at?.name !== name; at = await tar.next()) {
      if (at === undefined || ++entries > MOST_ENTRIES || (bytes += at.size) > MOST_BYTES) return other;
    }
  } catch (error) {
    if (error instanceof CorruptError) return other;
    throw error;
  }
  const where = folder === ""
    ? `its first file is ${firstEntry}, and not ${ENTRY_NAME.kubepkg}`
    : `its files are in the folder ${folder}`;
  return otherArchive(
    cannot(
      `use ${what}`,
      `this is a bundle that was packed again: ${where}`,
      "unpack it, and pack it again in its folder: tar czf NEW.tgz kubepkg.json* [!k]*",
    ),
  );
}

// A command reads standard input without a name; the body of a request has none that the reader would know.
function withFile(command: string, what: string): string {
  return what === "standard input" ? command : `${command} ${what === "the bundle" ? "FILE" : what}`;
}

/** Says why a file does not belong in an image archive, if it is one of those that only crpe import reads. */
export function describeForeignEntry(name: string): string | undefined {
  if (parsePieceEntryName(name) !== undefined) return "it is a part of a split bundle, which crpe import reads";
  return parseDeltaEntryName(name) === undefined ? undefined : "it has layers as deltas, which crpe import reads";
}

// `.dockerenv` is the first file that docker export writes. Linux has these folders.
const FILE_SYSTEM = /^(?:\.dockerenv$|(?:bin|dev|etc|proc|sbin|sys|usr|var)\/)/;

/**
 * Refuses the root of a file system, as `docker export` writes it: it is not read to its end in search of an image.
 *
 * @param entry the name of a file; of another entry, with a `/` behind it
 * @throws {CorruptError} when it belongs to one
 */
export function checkFileSystem(entry: string, what: string): void {
  if (!FILE_SYSTEM.test(entry)) return;
  const reason = "it is a file system, as docker export writes it";
  throw otherArchive(cannot(`read ${what}`, reason, "docker save writes the image"));
}
