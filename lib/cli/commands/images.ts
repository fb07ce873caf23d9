import { ImagePins } from "../../install/image_pins.ts";
import { splitDigest } from "../../oci/digest.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { listTaggedImages } from "../../store/list_images.ts";
import { listPartialBlobs } from "../../store/partial_files.ts";
import { listBlobSizes } from "../../store/store_scan.ts";
import type { Invocation } from "../command_line/command.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatCount, formatDate, formatSize } from "../console/quantity.ts";
import { formatJson, formatTable } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";

// Each image is listed once, so that only content that several tags of a repository have in common is read again.
const CACHE_BYTES = 1024 * 1024;

/** `crpe images` */
export async function runImages(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  await warnOfData(data, io);
  if (invocation.isSet("partial")) return await printPartial(data, invocation.isSet("json"), io);
  const pins = new Set(await new ImagePins(data).list());
  const store = new DiskStore(data, { warn: createWarning(io), isReadOnly: true, cacheBytes: CACHE_BYTES });
  const tagged = await listTaggedImages(store);
  const images = tagged.map((image) => ({ ...image, isPinned: pins.has(image.reference) }));
  if (invocation.isSet("json")) {
    io.out(formatJson(images));
    return 0;
  }
  const rows = images.map(({ reference, digest, platforms, size, tagged, isComplete, isPinned }) => [
    reference,
    splitDigest(digest).hex.slice(0, 12),
    platforms.join(",") || "-",
    formatSize(size),
    formatDate(tagged),
    isComplete ? "yes" : "no",
    ...(pins.size === 0 ? [] : [isPinned ? "yes" : "-"]),
  ]);
  const headings = [
    "IMAGE",
    "DIGEST",
    "PLATFORMS",
    "SIZE",
    "TAGGED (UTC)",
    "COMPLETE",
    ...(pins.size === 0 ? [] : ["PINNED"]),
  ];
  io.out(formatTable(headings, rows));
  if (!invocation.isSet("quiet")) {
    const total = [...(await listBlobSizes(data)).values()].reduce((sum, size) => sum + size, 0);
    io.err(`crpe: ${formatCount(images.length, "image")}, ${formatSize(total)} in the store\n`);
  }
  return 0;
}

async function printPartial(data: string, asJson: boolean, io: Io): Promise<number> {
  const partial = await listPartialBlobs(data);
  if (asJson) {
    io.out(formatJson(partial));
    return 0;
  }
  const rows = partial.map(({ digest, size, written, isInUse }) => [
    digest,
    formatSize(size),
    formatDate(written),
    isInUse ? "yes" : "no",
  ]);
  io.out(formatTable(["BLOB", "RECEIVED", "LAST WRITTEN (UTC)", "IN USE"], rows));
  return 0;
}
