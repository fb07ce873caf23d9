import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { KUBEPKG_LIMITS, readKubePkg } from "../kubepkg/read_kubepkg.ts";
import { redactText, textOf } from "../upstream/redact.ts";
import type { Io } from "./io.ts";
import { readBounded } from "./read_bounded.ts";

/** Reads a KubePkg from a file, an `http(s)` URL, or `-`: standard input. */
export async function loadKubePkg(where: string, io: Io): Promise<KubePkg> {
  const limit = KUBEPKG_LIMITS.maxBytes;
  if (where === "-") return readKubePkg(await readBounded(io.stdin, "standard input", limit), "standard input");
  if (!/^https?:\/\//.test(where)) {
    using file = await Deno.open(where);
    return readKubePkg(await readBounded(file.readable, where, limit), where);
  }
  // A URL may carry a password, or a signature that is as good as one.
  const shown = redactText(where);
  let response: Response;
  try {
    response = await fetch(where);
  } catch (error) {
    throw new Error(`Cannot read ${shown}: ${redactText(textOf(error))}`);
  }
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw new Error(`Cannot read ${shown}: it answered ${response.status} ${response.statusText}`.trimEnd());
  }
  return readKubePkg(await readBounded(response.body, shown, limit), shown);
}
