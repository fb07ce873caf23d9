import { type ImageEntries, openImageEntries, openLayoutFolder } from "../../bundle/image_entries.ts";
import type { Io } from "../console/io.ts";
import { nameOfBundle, openBundle } from "./open_bundle.ts";

/** Opens a file with images: a bundle or an archive, or the folder of an OCI layout; `-` is standard input. */
export async function openEntries(where: string, io: Io): Promise<ImageEntries> {
  if (where !== "-" && (await Deno.stat(where)).isDirectory) return await openLayoutFolder(where);
  return await openImageEntries(await openBundle(where, io), nameOfBundle(where));
}
