import { createFolder } from "./durable.ts";
import { waitForLock } from "./file_lock.ts";
import { openOwned } from "./inherit_owner.ts";
import { parentOf } from "./parent_of.ts";

/**
 * Waits for the lock of a file that exists only to be locked, and holds it until the returned handle is disposed of. On a
 * file system without locks nothing is waited for.
 */
export async function holdLock(path: string): Promise<Disposable> {
  await createFolder(parentOf(path));
  const file = await openOwned(path, { write: true, create: true });
  try {
    await waitForLock(file, path);
  } catch (error) {
    file.close();
    throw error;
  }
  return { [Symbol.dispose]: () => file.close() };
}
