import { DiskStore } from "../content/disk_store.ts";
import { listHeldImages } from "../content/held_images.ts";
import { splitDigest } from "../oci/digest.ts";
import type { Invocation } from "./command.ts";
import type { Io } from "./io.ts";
import { formatSize } from "./quantity.ts";
import { readSettings } from "./settings.ts";
import { formatJson, formatTable } from "./table.ts";
import { createWarning } from "./warn.ts";

/** `crpe images` */
export async function runImages(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  const images = await listHeldImages(new DiskStore(data, { warn: createWarning(io) }));
  if (invocation.isSet("json")) {
    io.out(formatJson(images));
    return 0;
  }
  const rows = images.map(({ reference, digest, platforms, size, isComplete }) => [
    reference,
    splitDigest(digest).hex.slice(0, 12),
    platforms.join(",") || "-",
    formatSize(size),
    isComplete ? "yes" : "in part",
  ]);
  io.out(formatTable(["IMAGE", "DIGEST", "PLATFORMS", "SIZE", "HELD"], rows));
  return 0;
}
