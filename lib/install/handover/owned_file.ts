import { removeIfPresent, syncFolder } from "../../files/durable.ts";
import { parentOf } from "../../files/parent_of.ts";
import type { Digest } from "../../oci/digest.ts";
import type { OwnedFile } from "./handover_records.ts";
import { baseNameOf, readManifestFile } from "./manifest_folder.ts";

/** Whose content a manifest file has: as crpe wrote it, as a person left it since, or not crpe's at all. */
type FileOwner = "crpe" | "changed by hand" | "another program";

/**
 * Tells whose content the file at a path has.
 *
 * @param digest of the content; `undefined` for what crpe does not write
 */
export function ownerOf(path: string, digest: Digest | undefined, files: readonly OwnedFile[]): FileOwner {
  const isOwn = (file: OwnedFile) => digest !== undefined && (file.digests?.includes(digest) ?? file.path === path);
  const recorded = files.find((file) => file.path === path);
  if (recorded !== undefined) return isOwn(recorded) ? "crpe" : "changed by hand";
  // The folder may have another name here than where it was written, as in a container.
  return files.some((file) => baseNameOf(file.path) === baseNameOf(path) && isOwn(file)) ? "crpe" : "another program";
}

/** Finds out whether a recorded file is as crpe wrote it. */
export async function checkOwnedFile(file: OwnedFile): Promise<"own" | "changed" | "missing"> {
  const found = await readManifestFile(file.path);
  if (found === undefined) return "missing";
  return ownerOf(file.path, found.digest, [file]) === "crpe" ? "own" : "changed";
}

/**
 * Removes a file as it is, if it still has crpe's content. Its objects stay in the cluster, since watchers delete what
 * leaves a file, and not what was in a removed one.
 *
 * @returns what the file was
 */
export async function removeOwnedFile(file: OwnedFile): Promise<"own" | "changed" | "missing"> {
  const state = await checkOwnedFile(file);
  if (state !== "own") return state;
  await removeIfPresent(file.path);
  await syncFolder(parentOf(file.path));
  return state;
}
