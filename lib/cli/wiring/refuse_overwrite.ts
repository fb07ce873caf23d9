import { listWrittenFiles } from "../../bundle/write_bundle_file.ts";
import { ifPresent, listFolder } from "../../files/if_present.ts";
import { cannot, UsageError } from "../../oci/error.ts";
import type { Flag, Invocation } from "../command_line/command.ts";

/** A file in a folder of Kubernetes objects. */
const OBJECT_FILE = /\.(?:ya?ml|json)$/;
const PART = /\.part\d+of\d+\.tgz$/;
const PARTIAL = /^\.(.*)\.partial$/;

/**
 * Refuses an output that is a file which the same command reads, also by another name, or whose partial file is: the input
 * would be lost, and may be a private key. Must be called before anything is written.
 *
 * @param outputs the paths to write; missing ones, `-` and what is no file are passed over
 * @param inputs operands and values of flags, as `listInputs` gives them; those that are no files are passed over
 * @throws {UsageError} when one of the files is both
 */
export async function refuseOverwrite(outputs: readonly string[], inputs: readonly string[]): Promise<void> {
  const read = await Promise.all(inputs.map(async (path) => ({ path, found: await stat(path) })));
  for (const output of outputs) {
    const [target, partial] = await listWrittenFiles(output);
    for (const [written, shown] of [[target, output], [partial, partial]] as const) {
      const found = await stat(written);
      if (found?.isFile !== true || !(await isAmong(written, found, read))) continue;
      throw new UsageError(cannot(`write ${shown}`, "the command reads this file", "name another one for the output"));
    }
  }
}

async function isAmong(
  written: string,
  { dev, ino }: Deno.FileInfo,
  inputs: readonly { readonly path: string; readonly found: Deno.FileInfo | undefined }[],
): Promise<boolean> {
  const real = await Deno.realPath(written);
  for (const { path, found } of inputs) {
    if (found === undefined) continue;
    const input = await Deno.realPath(path);
    const isOneFile = ino !== null && found.ino === ino && found.dev === dev;
    const isInFolder = found.isDirectory && OBJECT_FILE.test(real) && real.startsWith(`${input}/`);
    if (real === input || isOneFile || isInFolder) return true;
  }
  return false;
}

/** Lists what a command reads: its operands, and the values of its flags that name files, but for those of the output. */
export function listInputs(
  invocation: Invocation,
  flags: readonly Flag[],
  { operands = invocation.arguments, output = "output" } = {},
): string[] {
  const named = flags.filter(({ name, value }) => name !== output && /FILE|PKG/.test(value ?? ""));
  const values = named.flatMap(({ name, value }) => {
    return invocation.flags(name).map((it) => value === "HOST=FILE" ? it.slice(it.indexOf("=") + 1) : it);
  });
  return [...operands, ...values];
}

/** Lists the parts of a bundle of which there is a file, complete or partial: packing it in parts may replace them. */
export async function listParts(path: string): Promise<string[]> {
  const slash = path.lastIndexOf("/") + 1;
  const stem = path.slice(slash).replace(/\.(?:tgz|tar\.gz)$/, "");
  const names = (await listFolder(path.slice(0, slash) || ".") ?? []).map(({ name }) => name.replace(PARTIAL, "$1"));
  const parts = new Set(names.filter((name) => PART.test(name) && name.replace(PART, "") === stem));
  return [...parts].map((name) => path.slice(0, slash) + name);
}

// What cannot be looked at is left to the command, which names it.
async function stat(path: string): Promise<Deno.FileInfo | undefined> {
  return await ifPresent(Deno.stat(path)).catch(() => undefined);
}
