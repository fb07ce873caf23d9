/** Copies the content of a folder into another one, with modes and times; symbolic links are copied as such. */
export async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory, isSymlink } of Deno.readDir(from)) {
    const [source, target] = [`${from}/${name}`, `${to}/${name}`];
    if (isDirectory) await copyFolder(source, target);
    else if (isSymlink) await Deno.symlink(await Deno.readLink(source), target);
    else {
      await Deno.copyFile(source, target);
      await copyAttributes(source, target);
    }
  }
  await copyAttributes(from, to);
}

async function copyAttributes(from: string, to: string): Promise<void> {
  const { mode, atime, mtime } = await Deno.stat(from);
  if (mode !== null) await Deno.chmod(to, mode & 0o7777);
  await Deno.utime(to, atime!, mtime!);
}
