import { type Digest, isDigest } from "../oci/digest.ts";
import { blobPath, digestOfPartial, INGEST, partialPath } from "./layout.ts";
import { listBlobSizes, sizeOfFile } from "./store_scan.ts";
import { readChangeStamp } from "./write_lease.ts";

const COUNTS_BEFORE_SCAN = 256;

/** A reservation: bytes that a blob on its way will need. */
export interface Booking {
  readonly bytes: number;
  /** `undefined`: nobody said whose they are. */
  readonly digest: Digest | undefined;
}

/** How large the blobs and the partial downloads of a store are, and how large they are going to be. */
export class StoreSizes {
  readonly #root: string;
  readonly #bookings = new Set<Booking>();
  #blobs = new Map<Digest, number>();
  #partials = new Map<Digest, number>();
  // Of bookings that ended nobody knows how: counted as if they were in the store, until that is looked at again.
  #unaccountedBytes = 0;
  #stamp = 0;
  #age = 0;
  #measuredMeanwhile: Digest[] = [];

  /** @param root the data folder */
  constructor(root: string) {
    this.#root = root;
  }

  /** The blobs of the store, in bytes. */
  get blobs(): ReadonlyMap<Digest, number> {
    return this.#blobs;
  }

  /** Bytes of interrupted downloads, which nobody goes on with now. */
  get partials(): ReadonlyMap<Digest, number> {
    return this.#partials;
  }

  /** All bytes that are in use, or will be. */
  get total(): number {
    const booked = new Set([...this.#bookings].map(({ digest }) => digest));
    let sum = this.#unaccountedBytes;
    for (const { bytes } of this.#bookings) sum += bytes;
    // What is on its way is counted whole, not also by what has come of it.
    for (const sizes of [this.#blobs, this.#partials]) {
      for (const [digest, bytes] of sizes) if (!booked.has(digest)) sum += bytes;
    }
    return sum;
  }

  /** Whether counting anew could give less. */
  get isUnsure(): boolean {
    return this.#unaccountedBytes > 0;
  }

  /** Whether bytes are booked for a blob. */
  isBooked(digest: Digest): boolean {
    for (const booking of this.#bookings) if (booking.digest === digest) return true;
    return false;
  }

  /** Books bytes, until the returned handle is disposed of. */
  book(booking: Booking): Disposable {
    this.#bookings.add(booking);
    return {
      [Symbol.dispose]: () => {
        if (!this.#bookings.delete(booking)) return;
        if (booking.digest === undefined) this.#unaccountedBytes += booking.bytes;
        else this.measure(booking.digest);
      },
    };
  }

  /** Looks at one blob. */
  measure(digest: Digest): void {
    this.#measuredMeanwhile.push(digest);
    setSize(this.#blobs, digest, sizeNow(`${this.#root}/${blobPath(digest)}`));
    setSize(this.#partials, digest, sizeNow(`${this.#root}/${partialPath(digest)}`));
  }

  /** Counts anew where others have been at work, and every now and then. */
  async refresh(): Promise<void> {
    if (await readChangeStamp(this.#root) !== this.#stamp || ++this.#age > COUNTS_BEFORE_SCAN) await this.scan();
  }

  /** Counts anew. */
  async scan(): Promise<void> {
    const stamp = await readChangeStamp(this.#root);
    const unaccountedBytes = this.#unaccountedBytes;
    this.#measuredMeanwhile = [];
    const [blobs, partials] = [await listBlobSizes(this.#root), await this.#listPartials()];
    [this.#blobs, this.#partials, this.#stamp, this.#age] = [blobs, partials, stamp, 0];
    this.#unaccountedBytes -= unaccountedBytes;
    for (const digest of [...this.#measuredMeanwhile]) this.measure(digest);
    this.#measuredMeanwhile = [];
  }

  async #listPartials(): Promise<Map<Digest, number>> {
    const found = new Map<Digest, number>();
    try {
      for await (const { name } of Deno.readDir(`${this.#root}/${INGEST}`)) {
        const digest = digestOfPartial(name);
        const size = isDigest(digest) ? await sizeOfFile(`${this.#root}/${INGEST}/${name}`) : undefined;
        if (isDigest(digest) && size !== undefined) found.set(digest, size);
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    return found;
  }
}

function setSize(sizes: Map<Digest, number>, digest: Digest, size: number | undefined): void {
  if (size === undefined) sizes.delete(digest);
  else sizes.set(digest, size);
}

// Synchronous: the end of a booking cannot wait, and it is one look.
function sizeNow(path: string): number | undefined {
  try {
    const { isFile, size } = Deno.lstatSync(path);
    return isFile ? size : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}
