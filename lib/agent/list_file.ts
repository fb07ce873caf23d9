import { ifPresent } from "../files/if_present.ts";
import { holdLock } from "../files/locked_file.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { writePrivateFile } from "../store/private_file.ts";

/** What a `ListFile` has. */
interface ListFileOptions<T> {
  /** The name of the file and of its list: `tokens` is in `kubepkg/.tokens.json`. */
  readonly name: string;
  readonly isItem: (value: unknown) => value is T;
  /** What is wrong with a broken file, and how it is mended: `it is no list of agents; delete it, and add them again`. */
  readonly problem: string;
}

/** A list in a JSON file of the data folder, readable by its owner only. Several processes may change it. */
export class ListFile<T> {
  readonly #data: string;
  readonly #options: ListFileOptions<T>;

  /** @param data the data folder */
  constructor(data: string, options: ListFileOptions<T>) {
    this.#data = data;
    this.#options = options;
  }

  /** Reads the list. @throws {CorruptError} for a file that cannot be read */
  async read(): Promise<T[]> {
    const { name, isItem, problem } = this.#options;
    const path = this.#path;
    const bytes = await ifPresent(Deno.readFile(path));
    if (bytes === undefined) return [];
    const document = parseJson(bytes, path);
    const list = isJsonObject(document) ? document[name] : undefined;
    if (Array.isArray(list) && list.every(isItem)) return list;
    throw new CorruptError(cannot(`read ${path}`, problem));
  }

  /** Changes the list. @throws {CorruptError} for a file that cannot be read @throws what `edit` throws */
  async change(edit: (list: readonly T[]) => T[]): Promise<void> {
    const { name } = this.#options;
    using _lock = await holdLock(`${this.#data}/ingest/${name}.lock`);
    const text = `${JSON.stringify({ [name]: edit(await this.read()) }, undefined, 2)}\n`;
    await writePrivateFile(this.#data, this.#path, text);
  }

  get #path(): string {
    return `${this.#data}/kubepkg/.${this.#options.name}.json`;
  }
}
