import { splitDigest } from "../../oci/digest.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { listTaggedImages } from "../../store/list_images.ts";
import type { Invocation } from "../command_line/command.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatSize } from "../console/quantity.ts";
import { formatJson, formatTable } from "../console/table.ts";

/** `crpe images` */
export async function runImages(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  const images = await listTaggedImages(new DiskStore(data, { warn: createWarning(io), isReadOnly: true }));
  if (invocation.isSet("json")) {
    io.out(formatJson(images));
    return 0;
  }
  const rows = images.map(({ reference, digest, platforms, size, isComplete }) => [
    reference,
    splitDigest(digest).hex.slice(0, 12),
    platforms.join(",") || "-",
    formatSize(size),
    isComplete ? "yes" : "no",
  ]);
  io.out(formatTable(["IMAGE", "DIGEST", "PLATFORMS", "SIZE", "COMPLETE"], rows));
  return 0;
}
