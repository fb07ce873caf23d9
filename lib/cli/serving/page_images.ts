import { collectKeptDigests } from "../../install/image_pins.ts";
import type { PageImages } from "../../page/page_options.ts";
import { collectGarbage } from "../../store/gc.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import { describeError } from "../console/describe_error.ts";
import { pullImage } from "../wiring/pull_image.ts";
import { removeImage } from "../wiring/remove_image.ts";
import { untagImage } from "../wiring/untag_image.ts";
import type { ServerContext } from "./serve_registry.ts";
import { formatImage } from "../console/image_text.ts";

/** Creates what the page does with images of the store: through the server's own cache. */
export function createPageImages({ settings, content, openRecords, log }: ServerContext): PageImages {
  const { data } = settings;
  return {
    async pull(image, platforms, { signal, onProgress }) {
      using _lease = await takeWriteLease(data);
      const pulled = await pullImage(image, {
        ...content,
        data: content.bucket === undefined ? data : undefined,
        platforms: platforms.length > 0 ? platforms : settings.platforms,
        warn: (message) => log.write("warning", message),
        onProgress: (bytes, total) => {
          signal.throwIfAborted();
          onProgress({ bytes, total });
        },
      });
      log.write("info", `pulled ${formatImage(pulled.reference, pulled.digest)}`);
      return pulled;
    },
    async remove(image) {
      const { store } = content;
      if (!(store instanceof DiskStore)) {
        const reference = await untagImage(image, { store, records: await openRecords() });
        log.write("info", `removed the tag of ${reference}`);
        return { reference, removed: true, note: "crpe gc --untagged frees the space of what is older than a day" };
      }
      const reference = await removeImage(image, data);
      log.write("info", `removed ${reference}`);
      try {
        const { bytes } = await collectGarbage(data, { readKeep: () => collectKeptDigests(data) });
        return { reference, removed: true, freedBytes: bytes };
      } catch (error) {
        // The image is gone; the next collection frees its space.
        return { reference, removed: true, note: `the space is not freed yet: ${describeError(error)}` };
      }
    },
  };
}
