/** A file system in memory, unmounted when this is disposed of. */
export interface Mount extends AsyncDisposable {
  readonly path: string;
  /** Remounts it read-only. */
  freeze(): Promise<void>;
}

async function run(command: string, ...args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

/** Mounts a file system of `size` bytes. @throws {Error} when the user may not mount */
export async function mountSmall(size: number): Promise<Mount> {
  const path = await Deno.makeTempDir({ prefix: "crpe-mount-" });
  if (!await run("mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path)) {
    await Deno.remove(path);
    throw new Error("Cannot mount a tmpfs: it takes root");
  }
  return {
    path,
    freeze: async () => void await run("mount", "-o", "remount,ro", path),
    async [Symbol.asyncDispose]() {
      await run("umount", path);
      await Deno.remove(path);
    },
  };
}
