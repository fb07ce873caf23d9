import { createFolder, removeIfThere, writeFileDurably } from "../content/durable.ts";
import { formatHandover } from "../kubepkg/handover.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";

/**
 * Writes a package's manifests into the folder that k3s (or another watcher) polls: first under a name with a leading
 * dot, which watchers ignore, then renamed. One at a time: the temporary name is always the same, so that what a crash has
 * left there does not stay.
 *
 * @returns the path of the file
 */
export async function writeHandover(folder: string, kubepkg: KubePkg): Promise<string> {
  const { name, text } = formatHandover(kubepkg);
  const [path, temporary] = [`${folder}/${name}`, temporaryPath(folder, name)];
  await removeIfThere(temporary);
  await writeFileDurably(temporary, path, new TextEncoder().encode(text));
  return path;
}

/** Tells whether a package's manifests are in the folder, byte for byte. */
export async function isHandedOver(folder: string, kubepkg: KubePkg): Promise<boolean> {
  const { name, text } = formatHandover(kubepkg);
  try {
    const [there, expected] = [await Deno.readFile(`${folder}/${name}`), new TextEncoder().encode(text)];
    return there.length === expected.length && there.every((byte, i) => byte === expected[i]);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

/**
 * Creates the folder of hand-over files, and a file in it that goes again.
 *
 * @throws {Error} when it cannot be written, with the reason in words
 */
export async function probeHandoverFolder(folder: string): Promise<void> {
  try {
    await createFolder(folder);
    const path = temporaryPath(folder, "probe");
    (await Deno.open(path, { write: true, create: true })).close();
    await removeIfThere(path);
  } catch (cause) {
    throw new Error(`Cannot write manifests into ${folder}: ${reasonOf(cause)}; nothing was imported`, { cause });
  }
}

function temporaryPath(folder: string, name: string): string {
  return `${folder}/.${name}.tmp`;
}

// Deno's messages name the call and the path behind the number.
function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.AlreadyExists || error instanceof Deno.errors.NotADirectory) {
    return "a part of the path is a file, not a folder";
  }
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/ \(os error \d+\).*$/s, "").toLowerCase();
}
