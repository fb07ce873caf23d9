import { createFolder } from "./durable.ts";
import { closeLocked, lockFile, type LockOutcome, waitForLock } from "./file_lock.ts";
import { openOwned } from "./inherit_owner.ts";
import { parentOf } from "./parent_of.ts";

/**
 * Waits for the lock of a file that exists only to be locked, and holds it until the returned handle is disposed of. On a
 * file system without locks nothing is waited for.
 */
export async function holdLock(path: string): Promise<Disposable> {
  return (await open(path, (file) => waitForLock(file, path)))!;
}

/** As `holdLock`, but does not wait. @returns `undefined` while another holder has the lock */
export async function tryHoldLock(path: string): Promise<Disposable | undefined> {
  return await open(path, (file) => lockFile(file, path));
}

async function open(path: string, lock: (file: Deno.FsFile) => Promise<LockOutcome>): Promise<Disposable | undefined> {
  await createFolder(parentOf(path));
  const file = await openOwned(path, { write: true, create: true });
  let outcome: LockOutcome = "taken";
  try {
    outcome = await lock(file);
  } finally {
    if (outcome === "taken") file.close();
  }
  return outcome === "taken" ? undefined : { [Symbol.dispose]: () => closeLocked(file) };
}
