import type { ObjectStore } from "../../object_store/object_store.ts";
import { listTaggedImages, type TaggedImage } from "../../store/list_images.ts";

const LIST_MILLISECONDS = 60_000;
const IMAGES_AT_ONCE = 8;

/**
 * The tagged images of a bucket, for a page that asks again and again. They are listed at most once a minute, because each list
 * costs requests, and at once when this process has changed a tag.
 */
export class BucketImages {
  readonly #store: ObjectStore;
  readonly #now: () => number;
  #listed: { readonly images: TaggedImage[]; readonly at: number; readonly changes: number } | undefined;

  /** @param now a monotonic clock in milliseconds */
  constructor(store: ObjectStore, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /** Lists the images, sorted by reference. */
  async list(): Promise<readonly TaggedImage[]> {
    const listed = this.#listed;
    // A tag that is changed during a list may not be in it.
    const [at, changes] = [this.#now(), this.#store.tagChanges];
    if (listed?.changes === changes && at - listed.at < LIST_MILLISECONDS) return listed.images;
    const images = await listTaggedImages(this.#store, { atOnce: IMAGES_AT_ONCE });
    this.#listed = { images, at, changes };
    return images;
  }
}
