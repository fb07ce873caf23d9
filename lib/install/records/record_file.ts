import { removeIfPresent, syncFolder } from "../../files/durable.ts";
import { describeReadRefusal } from "../../files/read_refusal.ts";
import { parentOf } from "../../files/parent_of.ts";
import { computeDigest } from "../../oci/digest.ts";
import { cannot, CorruptError, CrpeError, type Failure } from "../../oci/error.ts";
import { isJsonObject, type JsonLimits, parseJson } from "../../oci/json.ts";
import { describeSystemError } from "../../oci/system_error.ts";

/** What is added to the name of a record that is set aside. */
export const SET_ASIDE = ".broken";

// A record begins with the checksum of the bytes that remain when this field is taken out.
const CHECKSUM = /^\{"checksum":"(sha256:[0-9a-f]{64})",/;
const CHECKSUM_BYTES = `{"checksum":"sha256:${"0".repeat(64)}",`.length;
// The next field is the version of the format, which a later crpe may raise. Records with a checksum alone count as 1.
const VERSION = 1;

/** A record that cannot be read. The message names the file, and how the package is repaired. */
export class RecordError extends CorruptError {
  /** The file of the record. */
  readonly path: string;
  /** Whether the file is damaged. If not, the system refused to open it, and it may be intact: exit status 1. */
  readonly isDamaged: boolean;

  /** The advice of a damaged file is the commands that repair the package. */
  constructor(path: string, cause: unknown) {
    const refusal = describeReadRefusal(cause);
    super(
      refusal === undefined ? describeDamage(path, cause) : cannot(`read ${path}`, refusal),
      { cause, exit: refusal === undefined ? 4 : 1 },
    );
    [this.path, this.isDamaged] = [path, refusal === undefined];
  }

  /** The folder of the package. */
  get folder(): string {
    return /^.*\/kubepkg\/[^/]+/.exec(this.path)?.[0] ?? parentOf(this.path);
  }
}

function describeDamage(path: string, cause: unknown): Failure {
  const advice = describeRepair(path);
  if (!(cause instanceof CrpeError)) return cannot(`read ${path}`, describeSystemError(cause), advice);
  const { action, reason } = cause;
  // The action of a parser need not name the file.
  return action?.includes(path) ? { action, reason, advice } : cannot(`read ${path}`, reason, advice);
}

function describeRepair(path: string): string {
  return `import the package again with --force, or drop its record with crpe packages remove ${
    packageOf(path)
  } --forget`;
}

// The folder `<name>@<namespace>` as a user names the package.
function packageOf(path: string): string {
  const image = /\/kubepkg\/\.images\/([^/]+\/[^/]+)\//.exec(path)?.[1];
  const folder = /\/kubepkg\/([^/]+)\//.exec(path)?.[1] ?? "NAME";
  return image ?? folder.split("@").reverse().join("/");
}

/** Returns `undefined` for a `RecordError`. Throws any other error. */
export function absentIfBroken(error: unknown): undefined {
  if (!(error instanceof RecordError)) throw error;
}

/**
 * Reads a record, and verifies its checksum and the version of its format. Records of crpe 0.1.0 have neither.
 *
 * @param parse converts the document, without these fields
 * @returns `undefined` when the file is missing
 * @throws {RecordError} when the file cannot be read, or is damaged
 */
export async function readRecordFile<T>(
  path: string,
  limits: JsonLimits,
  parse: (document: unknown) => T,
): Promise<T | undefined> {
  try {
    const { size } = await Deno.stat(path);
    if (size > limits.maxBytes) {
      throw new CorruptError(cannot(`read ${path}`, `it has ${size} bytes, ${limits.maxBytes} are allowed`));
    }
    return parse(parseRecord(await Deno.readFile(path), path, limits));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new RecordError(path, error);
  }
}

function parseRecord(bytes: Uint8Array, path: string, limits: JsonLimits): unknown {
  const damaged = cannot(`use ${path}`, "its checksum is wrong, so it was damaged or changed by hand");
  const checksum = CHECKSUM.exec(new TextDecoder().decode(bytes.subarray(0, CHECKSUM_BYTES)))?.[1];
  let body = bytes;
  if (checksum !== undefined) {
    body = bytes.subarray(CHECKSUM_BYTES - 1);
    body[0] = "{".charCodeAt(0);
    if (computeDigest(body) !== checksum) throw new CorruptError(damaged);
  }
  const document = parseJson(body, path, limits);
  if (!isJsonObject(document) || document.recordVersion === undefined) return document;
  const { recordVersion, ...rest } = document;
  // A record without the field was changed by hand, and is valid. Here something is in its place: the field was damaged.
  if (checksum === undefined && Object.keys(document)[0] !== "recordVersion") throw new CorruptError(damaged);
  if (recordVersion === VERSION) return rest;
  if (typeof recordVersion !== "number") throw new CorruptError(damaged);
  throw new CorruptError(
    cannot(`use ${path}`, `a later version of crpe wrote it (format ${recordVersion}); use that one`),
  );
}

/** Reports whether a file begins as a record with a checksum does; false when it is missing. */
export async function hasChecksum(path: string): Promise<boolean> {
  try {
    using file = await Deno.open(path);
    const start = new Uint8Array(CHECKSUM_BYTES);
    let filled = 0;
    for (let got: number | null = 1; got && filled < start.length; filled += got ?? 0) {
      got = await file.read(start.subarray(filled));
    }
    return CHECKSUM.test(new TextDecoder().decode(start.subarray(0, filled)));
  } catch {
    // The reader of the record reports why it cannot be read.
    return false;
  }
}

/** Formats a record, with its checksum and the version of its format in front. @param indent the number of spaces for a level; 0 for one line */
export function formatRecord(document: object, indent = 0): string {
  const body = `${JSON.stringify({ recordVersion: VERSION, ...document }, undefined, indent)}\n`;
  return `{"checksum":"${computeDigest(body)}",${body.slice(1)}`;
}

/** Renames a record that cannot be read to `<file>.broken`. @returns the new name */
export async function setRecordAside(path: string): Promise<string> {
  const aside = `${path}${SET_ASIDE}`;
  await removeIfPresent(aside);
  await Deno.rename(path, aside);
  await syncFolder(parentOf(path));
  return aside;
}
