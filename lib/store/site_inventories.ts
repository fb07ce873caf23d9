import { removeIfPresent, writeFileDurably } from "../files/durable.ts";
import { ifPresent, listFolder } from "../files/if_present.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import { HeldContent } from "./held_content.ts";
import { temporaryPath } from "./layout.ts";

/** The inventory of a site that the next pack can leave out. */
interface SiteInventory {
  readonly name: string;
  /** The size of the file, in bytes. */
  readonly size: number;
  /** When it was saved, in milliseconds since 1970. */
  readonly time: number;
}

const ENDING = ".json";
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** The inventories of sites, in the folder `inventories` of the data folder. */
export class SiteInventories {
  readonly #data: string;

  /** @param data the data folder */
  constructor(data: string) {
    this.#data = data;
  }

  /** Lists the inventories, sorted by name. */
  async list(): Promise<SiteInventory[]> {
    const found: SiteInventory[] = [];
    for (const { name: file } of await listFolder(this.#folder) ?? []) {
      const name = file.slice(0, -ENDING.length);
      if (!file.endsWith(ENDING) || !NAME.test(name)) continue;
      const info = await ifPresent(Deno.stat(`${this.#folder}/${file}`));
      if (info?.isFile) found.push({ name, size: info.size, time: info.mtime?.getTime() ?? 0 });
    }
    return found.sort((a, b) => a.name < b.name ? -1 : 1);
  }

  /**
   * Keeps an inventory, or the text of a site's QR code, in the place of one of the same name.
   *
   * @throws {CorruptError} when it is neither
   * @throws {RegistryError} `NAME_INVALID`
   */
  async save(name: string, bytes: Uint8Array): Promise<void> {
    const path = this.#pathOf(name);
    new HeldContent().addInventory(bytes, "the inventory");
    await writeFileDurably(path, bytes, { temporary: temporaryPath(this.#data) });
  }

  /** Reads an inventory. @throws {RegistryError} `NOT_FOUND`, or `NAME_INVALID` */
  async read(name: string): Promise<HeldContent> {
    const path = this.#pathOf(name);
    const bytes = await ifPresent(Deno.readFile(path));
    if (bytes === undefined) throw notFound(name);
    const held = new HeldContent();
    held.addInventory(bytes, path);
    return held;
  }

  /** Removes an inventory. @throws {RegistryError} `NOT_FOUND`, or `NAME_INVALID` */
  async remove(name: string): Promise<void> {
    const path = this.#pathOf(name);
    if (await ifPresent(Deno.stat(path)) === undefined) throw notFound(name);
    await removeIfPresent(path);
  }

  get #folder(): string {
    return `${this.#data}/inventories`;
  }

  #pathOf(name: string): string {
    if (NAME.test(name)) return `${this.#folder}/${name}${ENDING}`;
    throw new RegistryError(
      "NAME_INVALID",
      cannot(
        `use the name ${JSON.stringify(name.slice(0, 100))} for an inventory`,
        'write letters, digits, "-", "_" and "."',
      ),
    );
  }
}

function notFound(name: string): RegistryError {
  return new RegistryError("NOT_FOUND", cannot(`find the inventory ${name}`, "there is none of that name"));
}
