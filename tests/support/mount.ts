/** A file system of its own in memory; it goes when this is disposed of. */
export interface Mount extends AsyncDisposable {
  readonly path: string;
  /** Makes it read-only. */
  freeze(): Promise<void>;
}

async function run(command: string, ...args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(command, { args, stdout: "null", stderr: "null" }).output()).success;
  } catch {
    return false;
  }
}

/** Mounts a file system of `size` bytes. @throws where this user may not */
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

/** Registers a test that mounts file systems; where that is not allowed it is a named skip, in CI a failure. */
export function mountTest(name: string, fn: () => Promise<void>): void {
  const isRoot = Deno.build.os === "linux" && Deno.uid() === 0;
  if (isRoot || Deno.env.get("CI") === "true") return Deno.test(name, fn);
  Deno.test({ name: `${name} (skipped: needs root)`, ignore: true, fn });
}
