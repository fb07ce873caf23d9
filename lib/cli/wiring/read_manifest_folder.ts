import { readBounded } from "../../bytes/read_bounded.ts";
import { streamFile } from "../../bytes/file_stream.ts";
import { cannot, CorruptError, CrpeError } from "../../oci/error.ts";

/** A file of a folder. */
export interface ManifestFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

const MAX_FILES = 10_000;
const MAX_DEPTH = 32;
const MANIFEST = /\.(?:ya?ml|json)$/i;

/**
 * Reads the files `*.yaml`, `*.yml` and `*.json` of a folder and the folders in it, sorted by their paths. Names that
 * begin with a dot are left out. Symbolic links are followed, each folder once.
 *
 * @param limit of all files together, in bytes
 * @throws {CorruptError} when they are too many or too large
 * @throws {Error} when there is none
 */
export async function readManifestFolder(folder: string, limit: number): Promise<ManifestFile[]> {
  const root = folder.replace(/(?<=.)\/+$/, "");
  const paths: string[] = [];
  const seen = new Set<string>();
  const list = async (path: string, depth: number) => {
    if (depth > MAX_DEPTH) throw new CorruptError(cannot(`read ${folder}`, `nested deeper than ${MAX_DEPTH} folders`));
    const real = await Deno.realPath(path);
    if (seen.has(real)) return;
    seen.add(real);
    for await (const { name } of Deno.readDir(path)) {
      if (name.startsWith(".")) continue;
      const inner = `${path === "/" ? "" : path}/${name}`;
      const { isDirectory, isFile } = await Deno.stat(inner);
      if (isDirectory) await list(inner, depth + 1);
      else if (isFile && MANIFEST.test(name)) paths.push(inner);
      if (paths.length > MAX_FILES) {
        throw new CorruptError(cannot(`read ${folder}`, `it has more than ${MAX_FILES} files`));
      }
    }
  };
  await list(root, 0);
  if (paths.length === 0) throw new CrpeError(cannot(`read ${folder}`, "it has no .yaml, .yml or .json file"));
  const files: ManifestFile[] = [];
  let rest = limit;
  for (const path of paths.sort((a, b) => a < b ? -1 : 1)) {
    const file = await Deno.open(path);
    const { size } = await file.stat();
    if (size > rest) {
      file.close();
      throw new CorruptError(cannot(`read ${folder}`, `its files have more than ${limit} bytes`));
    }
    const bytes = await readBounded(streamFile(file, size), path, rest);
    rest -= bytes.length;
    files.push({ path, bytes });
  }
  return files;
}
