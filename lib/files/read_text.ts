import { decodeText } from "../oci/to_utf8.ts";

/** Reads a text file that a person has made, in UTF-8 or UTF-16; see `toUtf8`. */
export async function readText(path: string): Promise<string> {
  return decodeText(await Deno.readFile(path), path);
}
