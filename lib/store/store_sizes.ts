import { listFolder } from "../files/if_present.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { blobPath, digestOfPartial, INGEST } from "./layout.ts";
import { sizeOfPartials } from "./partial_files.ts";
import { listBlobSizes, sizeOfFile } from "./store_scan.ts";
import { readChangeStamp } from "./write_lease.ts";

const REFRESHES_BEFORE_SCAN = 256;

/** A reservation of space for a blob that is being received. */
interface Booking {
  /** Size of the complete blob. */
  readonly bytes: number;
  /** Digest of the blob, if it is known. */
  readonly digest: Digest | undefined;
}

/** Tracks the space that the blobs and partial files of a store use, including the space booked for downloads. */
export class StoreSizes {
  readonly #root: string;
  readonly #bookings = new Set<Booking>();
  #blobs = new Map<Digest, number>();
  #partials = new Map<Digest, number>();
  // Bytes of ended bookings without a digest. It is not known whether their blobs were stored, so that they count as
  // used until the next scan.
  #unaccountedBytes = 0;
  #stamp = 0;
  #age = 0;
  #measuredMeanwhile: Digest[] = [];

  /** @param root the data folder */
  constructor(root: string) {
    this.#root = root;
  }

  /** Sizes of the blobs in the store, in bytes. */
  get blobs(): ReadonlyMap<Digest, number> {
    return this.#blobs;
  }

  /** Sizes of the partial files of each blob together, in bytes. */
  get partials(): ReadonlyMap<Digest, number> {
    return this.#partials;
  }

  /** Space in use or booked, in bytes. */
  get total(): number {
    const booked = new Map<Digest | undefined, number>();
    let sum = this.#unaccountedBytes;
    for (const { digest, bytes } of this.#bookings) {
      sum += bytes;
      booked.set(digest, (booked.get(digest) ?? 0) + bytes);
    }
    // A booked blob counts with its booking only, which includes the bytes already written.
    for (const [digest, bytes] of this.#blobs) if (!booked.has(digest)) sum += bytes;
    // It may have partial files of other repositories as well.
    for (const [digest, bytes] of this.#partials) sum += Math.max(0, bytes - (booked.get(digest) ?? 0));
    return sum;
  }

  /** Whether a scan could give a smaller total. */
  get hasUnaccountedBytes(): boolean {
    return this.#unaccountedBytes > 0;
  }

  /** Reports whether space is booked for a blob. */
  isBooked(digest: Digest): boolean {
    for (const booking of this.#bookings) if (booking.digest === digest) return true;
    return false;
  }

  /** Books space until the returned handle is disposed of. */
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

  /** Updates the sizes of one blob and its partial files. @returns by how many bytes they are smaller than before */
  measure(digest: Digest): number {
    this.#measuredMeanwhile.push(digest);
    const sizeOf = () => (this.#blobs.get(digest) ?? 0) + (this.#partials.get(digest) ?? 0);
    const before = sizeOf();
    setSize(this.#blobs, digest, sizeOfFile(`${this.#root}/${blobPath(digest)}`));
    setSize(this.#partials, digest, sizeOfPartials(this.#root, digest));
    return Math.max(0, before - sizeOf());
  }

  /** Scans the store again if another process has changed it, and after every 256 calls. */
  async refresh(): Promise<void> {
    if (await readChangeStamp(this.#root) !== this.#stamp || ++this.#age > REFRESHES_BEFORE_SCAN) await this.scan();
  }

  /** Scans the store for the sizes of all blobs and partial files. */
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
    for (const { name } of await listFolder(`${this.#root}/${INGEST}`) ?? []) {
      const digest = digestOfPartial(name);
      const size = isDigest(digest) ? sizeOfFile(`${this.#root}/${INGEST}/${name}`) : undefined;
      if (isDigest(digest) && size !== undefined) found.set(digest, (found.get(digest) ?? 0) + size);
    }
    return found;
  }
}

function setSize(sizes: Map<Digest, number>, digest: Digest, size: number | undefined): void {
  if (size === undefined) sizes.delete(digest);
  else sizes.set(digest, size);
}
