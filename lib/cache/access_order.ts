import { writeFileDurably } from "../files/durable.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { INGEST } from "../store/layout.ts";

const FILE = `${INGEST}/access.json`;
const MAX_ENTRIES = 20_000;

/** In which order manifests were asked for. It knows no times, so that a wrong clock changes nothing. */
export class AccessOrder {
  // A Map keeps the order of insertion: what was asked for last is its end.
  readonly #ranks = new Map<Digest, number>();
  #last = 0;
  #isSaved = true;

  /** Takes up what `save` has written; where that cannot be read, nothing was ever asked for. */
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

  /** Something was asked for. */
  touch(digest: Digest): void {
    this.#ranks.delete(digest);
    this.#ranks.set(digest, ++this.#last);
    this.#isSaved = false;
    if (this.#ranks.size <= MAX_ENTRIES) return;
    const [oldest] = this.#ranks.keys();
    this.#ranks.delete(oldest!);
  }

  /** The later something was asked for, the higher; 0 where it never was. */
  rankOf(digest: Digest): number {
    return this.#ranks.get(digest) ?? 0;
  }

  /** Makes the order outlive the process, if it has changed. */
  async save(root: string, randomName: () => string): Promise<void> {
    if (this.#isSaved) return;
    this.#isSaved = true;
    const bytes = new TextEncoder().encode(JSON.stringify([...this.#ranks.keys()]));
    await writeFileDurably(`${root}/${INGEST}/${randomName()}.tmp`, `${root}/${FILE}`, bytes);
  }
}
