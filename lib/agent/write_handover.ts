import { writeFileDurably } from "../content/durable.ts";
import { formatHandover } from "../kubepkg/handover.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";

/**
 * Writes a package's manifests into the folder that k3s (or another watcher) polls: first under a name with a leading
 * dot, which watchers ignore, then renamed.
 *
 * @returns the path of the file
 */
export async function writeHandover(folder: string, kubepkg: KubePkg): Promise<string> {
  const { name, text } = formatHandover(kubepkg);
  const path = `${folder}/${name}`;
  const temporary = `${folder}/.${name}.${crypto.randomUUID()}.tmp`;
  await writeFileDurably(temporary, path, new TextEncoder().encode(text));
  return path;
}
