import { createFolder } from "../files/durable.ts";
import { tryLockFile } from "../files/file_lock.ts";
import { INGEST } from "./layout.ts";

const LOCK = `${INGEST}/writers.lock`;
const TRIES = 4;
const PAUSE_MILLISECONDS = 100;

/**
 * Says that content is being written which nothing refers to yet: an import, a pull or a pack files blobs before the
 * manifests that name them, and passes over what is there already. As long as the lease lives nothing is taken away
 * from the store, neither by `crpe gc` nor by a server's limit. Any number of writers have one at the same time; one
 * that comes while a collector is at work waits for its end.
 *
 * Where it cannot be taken, because the folder cannot be written or its file system knows no locks, there is nothing to
 * protect, or nobody to protect it from: what is to be written will say itself what is wrong.
 */
export async function takeWriteLease(root: string): Promise<Disposable> {
  let file: Deno.FsFile | undefined;
  try {
    await createFolder(`${root}/${INGEST}`);
    file = await Deno.open(`${root}/${LOCK}`, { write: true, create: true });
    await file.lock(false);
    stamp(file);
  } catch {
    file?.close();
    return { [Symbol.dispose]() {} };
  }
  return {
    [Symbol.dispose]() {
      stamp(file);
      file.close();
    },
  };
}

/**
 * Keeps all writers out, for as long as the returned handle lives, so that content can be taken away.
 *
 * @returns `undefined` when there is a writer, or somebody else who wants to be alone
 * @throws when the folder cannot be written
 */
export async function tryKeepWritersOut(root: string): Promise<Disposable | undefined> {
  await createFolder(`${root}/${INGEST}`);
  const file = await Deno.open(`${root}/${LOCK}`, { write: true, create: true });
  if (await tryLockFile(file)) return { [Symbol.dispose]: () => file.close() };
  file.close();
  return undefined;
}

/** As `tryKeepWritersOut`, with some patience for one who is done in a moment. */
export async function keepWritersOut(root: string): Promise<Disposable | undefined> {
  for (let tries = 1;; tries++) {
    const alone = await tryKeepWritersOut(root);
    if (alone !== undefined || tries === TRIES) return alone;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS));
  }
}

/** Says that content has come or gone, to whom has counted it. */
export async function announceChange(root: string): Promise<void> {
  using file = await Deno.open(`${root}/${LOCK}`, { write: true, create: true });
  stamp(file);
}

/** Another value after every lease and every collection. */
export async function readChangeStamp(root: string): Promise<number> {
  try {
    return (await Deno.lstat(`${root}/${LOCK}`)).mtime?.getTime() ?? 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

// The time of the last write is what others look at; what is written does not matter.
function stamp(file: Deno.FsFile): void {
  try {
    file.seekSync(0, Deno.SeekMode.Start);
    file.writeSync(new Uint8Array([10]));
  } catch {
    // A full disk: whoever counts will count again anyway.
  }
}
