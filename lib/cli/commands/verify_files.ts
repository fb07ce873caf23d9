import { NamedTokens } from "../../agent/named_tokens.ts";
import { readTokenFile } from "../../agent/api_token.ts";
import { removeIfPresent } from "../../files/durable.ts";
import { ifPresent, isAbsent, listFolder } from "../../files/if_present.ts";
import { describeReadRefusal } from "../../files/read_refusal.ts";
import { isJsonObject, parseJson } from "../../oci/json.ts";
import { INGEST } from "../../store/layout.ts";
import { toOneLine } from "../console/describe_error.ts";

/** A damaged file that is neither an image nor a record of a package. */
interface BrokenFile {
  /** Path in the data folder. */
  readonly path: string;
  readonly reason: string;
  /** What happens when the file is removed; `undefined` if that repairs nothing. */
  readonly whenRemoved?: string | undefined;
}

const LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 16 };

interface WorkFile {
  readonly isIt: (name: string) => boolean;
  readonly isValid: (document: unknown) => boolean;
  readonly whenRemoved: string;
}

/** The files in `ingest` that a server or an import reads again. */
const WORK_FILES: readonly WorkFile[] = [
  {
    isIt: (name) => name.endsWith(".pieces.json"),
    isValid: (document) => isJsonObject(document) && Array.isArray(document.ranges),
    whenRemoved: "the parts that brought these pieces must be imported again",
  },
  {
    isIt: (name) => name === "access.json",
    isValid: (document) => Array.isArray(document),
    whenRemoved: "eviction forgets in which order images were used",
  },
  {
    isIt: (name) => name === "image-use.json",
    isValid: isJsonObject,
    whenRemoved: "the page forgets when images were used",
  },
  {
    isIt: (name) => name === "scrub.json",
    isValid: isJsonObject,
    whenRemoved: "the check of the store begins again",
  },
];

/** Checks the tokens, and the files by which interrupted work is resumed. */
export async function verifyFiles(data: string): Promise<BrokenFile[]> {
  const found: BrokenFile[] = [];
  const token = "kubepkg/.token";
  try {
    await ifPresent(readTokenFile(`${data}/${token}`));
  } catch (error) {
    const advice = "remove the file and restart the agent, which makes a new token, and copy that to the senders";
    const reason = describeReadRefusal(error) ?? `${toOneLine((error as Error).message)}; ${advice}`;
    found.push({ path: token, reason });
  }
  await new NamedTokens(data).list().catch((error) => {
    const reason = describeReadRefusal(error) ?? toOneLine((error as Error).message);
    found.push({ path: "kubepkg/.tokens.json", reason });
  });
  for (const { name, isFile } of await listFolder(`${data}/${INGEST}`) ?? []) {
    const kind = WORK_FILES.find(({ isIt }) => isIt(name));
    if (kind === undefined) continue;
    const path = `${INGEST}/${name}`;
    const fault = isFile ? await findFault(`${data}/${path}`, kind) : { reason: "it is not a regular file" };
    if (fault !== undefined) found.push({ path, whenRemoved: kind.whenRemoved, ...fault });
  }
  return found;
}

/** Removes a damaged file, if that repairs it. @returns what was done */
export async function repairFile(
  data: string,
  { path, whenRemoved }: BrokenFile,
): Promise<{ isRepaired: boolean; outcome: string }> {
  if (whenRemoved === undefined) return { isRepaired: false, outcome: "it cannot be repaired" };
  await removeIfPresent(`${data}/${path}`);
  return { isRepaired: true, outcome: `removed; ${whenRemoved}` };
}

async function findFault(path: string, { isValid }: WorkFile): Promise<Omit<BrokenFile, "path"> | undefined> {
  try {
    const document = parseJson(await Deno.readFile(path), path, LIMITS);
    return isValid(document) ? undefined : { reason: "its content is not valid" };
  } catch (error) {
    // Work that has ended since removes its files.
    if (isAbsent(error)) return undefined;
    const refusal = describeReadRefusal(error);
    // A file that cannot be opened may be intact.
    if (refusal !== undefined) return { reason: refusal, whenRemoved: undefined };
    return { reason: toOneLine((error as Error).message) };
  }
}
