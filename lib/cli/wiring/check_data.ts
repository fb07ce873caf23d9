import { describeOwner } from "../../files/describe_owner.ts";
import { listFolder } from "../../files/if_present.ts";
import { parentOf } from "../../files/parent_of.ts";
import { BLOBS, INGEST, REPOSITORIES } from "../../store/layout.ts";
import { findNearest } from "../command_line/parse_command_line.ts";
import { defaultDataFolder } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { baseName } from "../console/progress.ts";

/** What is found where a data folder is looked for. */
type FolderState = "filled" | "empty" | "denied" | "absent";

const PACKAGES = "kubepkg";
const PARTIAL = ".partial";
// From a folder of blobs up to the data folder: docker/registry/v2/blobs/sha256.
const MAX_LEVELS_UP = 5;
// A folder that is one level too high, such as /var/lib, has some dozens of entries.
const MAX_LEVEL_ENTRIES = 200;
/** The data folder of the service units (scripts/service). */
const SERVICE_FOLDER = "/var/lib/crpe";

/** What `findDataProblem` has to know. */
interface DataQuestion {
  /** Whether the command only uses what the folder has. An empty folder is then reported in any case. */
  readonly isReading: boolean;
  /** The data folder of this user when none is named; `undefined` when it cannot be told. */
  readonly usual: string | undefined;
  /** What to put in front of the folders of the machine. */
  readonly prefix?: string;
}

/** Folders that only a data folder has: a folder `kubepkg` may be anything. */
const CONTENT = [REPOSITORIES, `${BLOBS}/sha256`];

/**
 * Finds out whether a data folder was probably named by mistake: it has no content, and is inside another one, above
 * another one, or beside one with a similar name or in a usual place.
 *
 * @returns a sentence for the user; `undefined` when there is nothing to report
 */
export async function findDataProblem(
  data: string,
  { isReading, usual, prefix = "" }: DataQuestion,
): Promise<string | undefined> {
  const state = await lookInto(data);
  if (state === "filled" || state === "denied") return undefined;
  const real = await Deno.realPath(data).catch(() => data);
  for (let at = parentOf(real), level = 0; level < MAX_LEVELS_UP; at = parentOf(at), level++) {
    if (await lookInto(at, CONTENT) === "filled") {
      return `${data} is inside the data folder ${at}; is --data=${at} meant?`;
    }
    if (parentOf(at) === at) break;
  }
  const lack = state === "absent" ? `the data folder ${data} does not exist` : `the data folder ${data} is empty`;
  const below = await findBelow(data);
  if (below !== undefined) return `${lack}, but ${below} in it has content; is --data=${below} meant?`;
  // A new folder that the user has named is no mistake.
  if (!isReading && data !== usual) return undefined;
  const beside = isReading ? await findBeside(real) : undefined;
  if (beside !== undefined) return `${lack}, but ${beside} has content; is --data=${beside} meant?`;
  for (const other of await listUsual(usual, prefix)) {
    if (other === data) continue;
    const found = await lookInto(other);
    if (found === "filled") return `${lack}, but ${other} has content; is --data=${other} meant?`;
    if (found === "denied") {
      return `${lack}, and ${other}, which this user must not read, may be meant: use --data=${other} as its owner`;
    }
  }
  return isReading ? `${lack}; another one is named with --data` : undefined;
}

/** Warns when a data folder was probably named by mistake, or is empty; see `findDataProblem`. */
export async function warnOfData(
  data: string,
  io: Io,
  { isReading = true, warn = createWarning(io) }: { isReading?: boolean; warn?: (message: string) => void } = {},
): Promise<void> {
  const problem = await findDataProblem(data, { isReading, usual: defaultDataFolder(io) });
  if (problem !== undefined) warn(problem);
}

/** As which user content is written, and what follows from that. */
interface WriterReport {
  /** Set when the folder is another user's. */
  readonly note?: string;
  /** What the registry of that user will not be able to do. */
  readonly problems: readonly string[];
}

/** Compares the user who writes into a data folder with its owner. @param uid the user; `null` where there are none */
export function describeWriter(data: string, uid: number | null): WriterReport {
  const ownerOf = (folder: string) => describeOwner(`${folder}/_`).owner;
  const owner = ownerOf(data);
  // The owner of a new folder is decided when it is created.
  if (uid === null || !isUser(owner) || !exists(data)) return { problems: [] };
  const writer = uid === 0 ? "root" : `uid ${uid}`;
  if (writer === owner) return { problems: [] };
  const note = `this command writes as ${writer} into ${data}, which belongs to ${owner}`;
  if (uid !== 0 && owner === "root") return { note, problems: [] };
  if (uid !== 0) {
    const lost = `a registry of ${owner} will not be able to repair, replace or remove what it writes`;
    return { note, problems: [`${lost}; run it as ${owner} or as root`] };
  }
  const folders = [REPOSITORIES, BLOBS, INGEST, PACKAGES].map((name) => `${data}/${name}`);
  // What root creates is given to the owner of the folder that it is in, which is not the owner of the data folder here.
  const foreign = folders.filter((folder) => isUser(ownerOf(folder)) && ownerOf(folder) !== owner);
  const problems = foreign.map((folder) =>
    `${folder} belongs to ${ownerOf(folder)}: a registry of ${owner} cannot keep new content there; ` +
    `chown -R ${owner.replace("uid ", "")} ${data}`
  );
  return { note: `${note}; new files are given to ${owner}`, problems };
}

/** Prints what `describeWriter` finds for the user of this process. */
export function reportWriter(data: string, io: Io): void {
  const { note, problems } = describeWriter(data, currentUser());
  if (note !== undefined) io.err(`crpe: ${note}\n`);
  problems.forEach(createWarning(io));
}

function currentUser(): number | null {
  try {
    return Deno.uid();
  } catch {
    // Started without the permission.
    return null;
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

function isUser(owner: string): boolean {
  return owner === "root" || owner.startsWith("uid ");
}

async function lookInto(data: string, folders: readonly string[] = [...CONTENT, PACKAGES]): Promise<FolderState> {
  try {
    for (const folder of folders) {
      if ((await listFolder(`${data}/${folder}`) ?? []).length > 0) return "filled";
    }
    // A first pull that was interrupted has left no more.
    const ingest = await listFolder(`${data}/${INGEST}`) ?? [];
    if (ingest.some(({ name }) => name.endsWith(PARTIAL))) return "filled";
    await Deno.lstat(data);
    return "empty";
  } catch (error) {
    if (!(error instanceof Deno.errors.PermissionDenied)) return "absent";
  }
  // The folder itself must be seen: everything in the home folder of another user looks denied.
  return await Deno.lstat(data).then(() => "denied" as const, () => "absent" as const);
}

async function findBelow(data: string): Promise<string | undefined> {
  const folders = (await listFolder(data).catch(() => undefined) ?? []).filter(({ isFile }) => !isFile);
  for (const { name } of folders.slice(0, MAX_LEVEL_ENTRIES)) {
    if (await lookInto(`${data}/${name}`, CONTENT) === "filled") return `${data}/${name}`;
  }
  return undefined;
}

/** Finds a data folder of which the name was probably misspelt. */
async function findBeside(data: string): Promise<string | undefined> {
  const [parent, name] = [parentOf(data), baseName(data)];
  const others = (await listFolder(parent).catch(() => undefined) ?? []).slice(0, MAX_LEVEL_ENTRIES);
  for (const other of others) {
    if (other.isFile || other.name === name || findNearest(name, [other.name]) === undefined) continue;
    const path = `${parent === "/" ? "" : parent}/${other.name}`;
    if (await lookInto(path, CONTENT) === "filled") return path;
  }
  return undefined;
}

async function listUsual(usual: string | undefined, prefix: string): Promise<string[]> {
  const homes = await listFolder(`${prefix}/home`).catch(() => undefined) ?? [];
  const users = [`${prefix}/root`, ...homes.slice(0, MAX_LEVEL_ENTRIES).map(({ name }) => `${prefix}/home/${name}`)];
  return [
    prefix + SERVICE_FOLDER,
    ...usual === undefined ? [] : [usual],
    ...users.map((it) => `${it}/.local/share/crpe`),
  ];
}
