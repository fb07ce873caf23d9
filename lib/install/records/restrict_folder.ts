const OWNER_ONLY = 0o700;

/**
 * Lets only its owner enter a folder. A file system without permissions refuses this, and so does a folder of another user:
 * then it stays as it is.
 */
export async function restrictFolder(path: string): Promise<void> {
  const { mode } = await Deno.stat(path);
  if (mode !== null && (mode & 0o777) !== OWNER_ONLY) await Deno.chmod(path, OWNER_ONLY).catch(() => {});
}
