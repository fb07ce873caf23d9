import { absentIfNotFound } from "./list_folder.ts";

/** The text of a file; `undefined` where there is none. */
export async function readTextIfThere(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    return absentIfNotFound(error);
  }
}
