import { removeIfPresent } from "../files/durable.ts";
import { ifPresent } from "../files/if_present.ts";
import { openOwned } from "../files/inherit_owner.ts";
import { splitRepository } from "../oci/reference.ts";

/** Returns the registry of repositories, which all are of the same one; `undefined` for none. */
export function registryOf(repos: string | ReadonlySet<string> = ""): string | undefined {
  const [repo] = typeof repos === "string" ? repos === "" ? [] : [repos] : repos;
  return repo === undefined ? undefined : splitRepository(repo).host;
}

/**
 * Which registry has sent the bytes of a partial file, in a file beside it. Clients of another registry must not read
 * them before the whole blob is verified: anyone can run a registry that claims to have the rest of a private blob.
 *
 * The record names the partial file by its inode, so that it does not count for another file with the same name.
 */
export class IngestOrigin {
  readonly #path: string;
  #isWritten = false;

  /** @param partial the path of the partial file */
  constructor(partial: string) {
    this.#path = `${partial.replace(/\.partial$/, "")}.from`;
  }

  /**
   * Records that bytes of a registry are going to be appended to a partial file.
   *
   * @param origin the registry; `undefined` for content of another kind, such as that of a bundle
   * @returns whether the bytes that the file has may be of another origin
   */
  async claim(file: Deno.FsFile, origin: string | undefined): Promise<boolean> {
    const { size, ino, birthtime } = file.statSync();
    const record = `${ino ?? ""} ${birthtime?.getTime() ?? ""} ${origin}\n`;
    if (origin !== undefined && size === 0) {
      await this.#write(record);
      return false;
    }
    const known = size === 0 ? undefined : await ifPresent(Deno.readTextFile(this.#path)).catch(() => undefined);
    if (origin !== undefined && known === record) {
      this.#isWritten = true;
      return false;
    }
    await removeIfPresent(this.#path).catch(() => {});
    return size > 0;
  }

  /** Removes the record, because the partial file is gone. */
  async forget(): Promise<void> {
    if (this.#isWritten) await removeIfPresent(this.#path).catch(() => {});
  }

  // Where it cannot be written, the origin of the bytes is not known later.
  async #write(record: string): Promise<void> {
    try {
      using file = await openOwned(this.#path, { read: true, write: true, create: true, truncate: true });
      this.#isWritten = true;
      file.writeSync(new TextEncoder().encode(record));
    } catch {
      await removeIfPresent(this.#path).catch(() => {});
    }
  }
}
