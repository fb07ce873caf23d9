import { writeFileDurably } from "../files/durable.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { INGEST, temporaryPath } from "../store/layout.ts";

const FILE = `${INGEST}/access.json`;
const MAX_ENTRIES = 20_000;

/**
 * The order in which manifests were last requested. It has no time stamps, so that a wrong clock does not affect it.
 */
export class AccessOrder {
  // A Map iterates in insertion order: the manifest requested last is at its end.
  readonly #ranks = new Map<Digest, number>();
  #last = 0;
  #isSaved = true;

  /** Reads the order that `save` wrote; gives an empty order if the file is missing or corrupt. */
  static async read(root: string): Promise<AccessOrder> {
    const order = new AccessOrder();
    try {
      const entries: unknown = JSON.parse(await Deno.readTextFile(`${root}/${FILE}`));
      if (Array.isArray(entries)) { for (const entry of entries.filter(isDigest)) order.touch(entry); }
    } catch {
      return new AccessOrder();
    }
    order.#isSaved = true;
    return order;
  }

  /** Records that a manifest was requested. */
  touch(digest: Digest): void {
    this.#ranks.delete(digest);
    this.#ranks.set(digest, ++this.#last);
    this.#isSaved = false;
    if (this.#ranks.size <= MAX_ENTRIES) return;
    const [oldest] = this.#ranks.keys();
    this.#ranks.delete(oldest!);
  }

  /** Returns the rank of a manifest: the higher, the more recently it was requested; 0 if it never was. */
  rankOf(digest: Digest): number {
    return this.#ranks.get(digest) ?? 0;
  }

  /** Writes the order to the data folder, if it has changed. */
  async save(root: string): Promise<void> {
    if (this.#isSaved) return;
    this.#isSaved = true;
    const bytes = new TextEncoder().encode(JSON.stringify([...this.#ranks.keys()]));
    await writeFileDurably(`${root}/${FILE}`, bytes, { temporary: temporaryPath(root) });
  }
}
